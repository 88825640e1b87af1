"""The contour network as an ONNX graph, from rows as a call holds them to one number a window."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from emotion_triage.prosody.lld import LLD_NAMES
from emotion_triage.prosody.vad import WINDOW_FRAMES
from emotion_triage.training.contour import (
    CHANNELS,
    CLIP,
    DESCRIBED,
    EPSILON,
    F0_REFERENCE_HZ,
    KERNEL,
    LOUDEST,
    OCTAVE,
    POOL,
    QUIET_DB,
    SILENCE_DBFS,
    WIDTH,
    Contour,
)

__all__ = ["contour_graph"]

VECTOR = 32
"""A multiple of the numbers that any processor takes at once."""
_REST = [name for name in CHANNELS if name not in ("energy_dbfs", "f0_hz")]


def contour_graph(contour: Contour) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.generic]]]:
    """Return the nodes from ``rows`` to ``contour``, and their constants by name.

    Sums run within one window only, so that its result does not depend on the windows beside it.
    """
    order = [CHANNELS.index(name) for name in ("energy_dbfs", "f0_hz", *_REST)]
    order += [len(CHANNELS), len(CHANNELS) + 1]
    n_inputs = len(order)
    conv_1 = contour.conv_1.reshape(KERNEL, n_inputs, WIDTH)[:, order]
    rest = [CHANNELS.index(name) for name in _REST]
    constants: dict[str, NDArray[np.generic]] = {
        "c_energy_at": np.array([LLD_NAMES.index("energy_dbfs")]),
        "c_f0_at": np.array([LLD_NAMES.index("f0_hz")]),
        "c_described_at": np.array([LLD_NAMES.index(DESCRIBED)]),
        "c_rest_at": np.array([LLD_NAMES.index(name) for name in _REST]),
        "c_silence": np.array(SILENCE_DBFS),
        "c_loudest": np.array([LOUDEST]),
        "c_loudest_at": np.array([LOUDEST - 1]),
        "c_quiet": np.array(-QUIET_DB),
        "c_zero": np.array(0.0),
        "c_one": np.array(1.0),
        "c_level_offset": np.array(20.0),
        "c_level_scale": np.array(12.0),
        "c_reference": np.array(F0_REFERENCE_HZ),
        "c_padding": np.array([0, 0, 0, 0, 0, -WINDOW_FRAMES % VECTOR]),
        "c_start": np.array([0]),
        "c_end": np.array([WINDOW_FRAMES]),
        "c_time": np.array([2]),
        "c_octave": np.array(OCTAVE / np.log(2.0)),
        "c_low": np.array(-CLIP),
        "c_high": np.array(CLIP),
        "c_mean": contour.mean[rest][:, None],
        "c_scale": contour.scale[rest][:, None],
        "c_last": np.array([n_inputs - 1]),
        "c_least": np.array(1.0 / 75.0),
        "c_epsilon": np.array(EPSILON),
        "c_conv_1": conv_1.transpose(2, 1, 0),
        "c_own_1": contour.own_1[order].T[:, :, None],
        "c_bias_1": contour.bias_1,
        "c_conv_2": contour.conv_2.reshape(KERNEL, WIDTH, WIDTH).transpose(2, 1, 0),
        "c_bias_2": contour.bias_2,
        "c_dense": contour.dense[None, :, None],
        "c_bias": np.array([contour.bias]),
        "c_flat": np.array([-1]),
    }
    reach = KERNEL // 2
    n = helper.make_node
    nodes = [
        n("Gather", ["rows", "c_energy_at"], ["c_energy"], axis=1),
        n("Gather", ["rows", "c_f0_at"], ["c_f0_hz"], axis=1),
        n("Gather", ["rows", "c_rest_at"], ["c_others"], axis=1),
        n("Gather", ["rows", "c_described_at"], ["c_described"], axis=1),
        n("IsNaN", ["c_energy"], ["c_lost"]),
        n("IsNaN", ["c_described"], ["c_unheard"]),
        n("IsNaN", ["c_f0_hz"], ["c_unvoiced"]),
        n("IsNaN", ["c_others"], ["c_unknown"]),
        n("Where", ["c_lost", "c_silence", "c_energy"], ["c_energy_known"]),
        n("TopK", ["c_energy_known", "c_loudest"], ["c_loud", "c_loud_at"], axis=2),
        n("Gather", ["c_loud", "c_loudest_at"], ["c_top"], axis=2),
        n("Sub", ["c_energy_known", "c_top"], ["c_below"]),
        n("Clip", ["c_below", "c_quiet", "c_zero"], ["c_below_clipped"]),
        n("Add", ["c_below_clipped", "c_level_offset"], ["c_level_raised"]),
        n("Div", ["c_level_raised", "c_level_scale"], ["c_level"]),
        n("Where", ["c_unvoiced", "c_reference", "c_f0_hz"], ["c_f0_known"]),
        n("Div", ["c_f0_known", "c_reference"], ["c_f0_ratio"]),
        # onnxruntime's Log rounds otherwise in the remainder of its vectors: a whole number of them leaves none
        n("Pad", ["c_f0_ratio", "c_padding"], ["c_f0_padded"], mode="edge"),
        n("Log", ["c_f0_padded"], ["c_f0_padded_log"]),
        n("Slice", ["c_f0_padded_log", "c_start", "c_end", "c_time"], ["c_f0_log"]),
        n("Mul", ["c_f0_log", "c_octave"], ["c_f0_steps"]),
        n("Clip", ["c_f0_steps", "c_low", "c_high"], ["c_f0"]),
        n("Where", ["c_unknown", "c_mean", "c_others"], ["c_known"]),
        n("Sub", ["c_known", "c_mean"], ["c_centred"]),
        n("Div", ["c_centred", "c_scale"], ["c_scaled"]),
        n("Clip", ["c_scaled", "c_low", "c_high"], ["c_standard"]),
        n("Where", ["c_unvoiced", "c_zero", "c_one"], ["c_voiced"]),
        n("Where", ["c_unheard", "c_zero", "c_one"], ["c_heard"]),
        n("Concat", ["c_level", "c_f0", "c_standard", "c_voiced", "c_heard"], ["c_every"], axis=1),
        n("AveragePool", ["c_every"], ["c_x"], kernel_shape=[POOL], strides=[POOL]),
        n("Gather", ["c_x", "c_last"], ["c_mask"], axis=1),
        n("Mul", ["c_x", "c_mask"], ["c_masked"]),
        n("GlobalAveragePool", ["c_masked"], ["c_sum"]),
        n("GlobalAveragePool", ["c_mask"], ["c_share"]),
        n("Max", ["c_share", "c_least"], ["c_share_some"]),
        n("Div", ["c_sum", "c_share_some"], ["c_own"]),
        n("Sub", ["c_x", "c_own"], ["c_apart"]),
        n("Mul", ["c_apart", "c_mask"], ["c_relative"]),
        n("Conv", ["c_relative", "c_conv_1"], ["c_h1_rows"], pads=[reach, reach]),
        n("Conv", ["c_own", "c_own_1", "c_bias_1"], ["c_h1_own"]),
        n("Add", ["c_h1_rows", "c_h1_own"], ["c_h1"]),
        n("Relu", ["c_h1"], ["c_r1"]),
        n("AveragePool", ["c_r1"], ["c_p1"], kernel_shape=[2], strides=[2]),
        n("Conv", ["c_p1", "c_conv_2", "c_bias_2"], ["c_h2"], pads=[reach, reach]),
        n("Relu", ["c_h2"], ["c_r2"]),
        n("GlobalAveragePool", ["c_r2"], ["c_m2"]),
        n("Sub", ["c_r2", "c_m2"], ["c_d2"]),
        n("Mul", ["c_d2", "c_d2"], ["c_q2"]),
        n("GlobalAveragePool", ["c_q2"], ["c_v2"]),
        n("Add", ["c_v2", "c_epsilon"], ["c_v2_some"]),
        n("Sqrt", ["c_v2_some"], ["c_s2"]),
        n("Concat", ["c_m2", "c_s2"], ["c_z"], axis=1),
        n("Conv", ["c_z", "c_dense", "c_bias"], ["c_out"]),
        n("Reshape", ["c_out", "c_flat"], ["contour"]),
    ]
    return nodes, constants
