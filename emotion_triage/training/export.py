"""A fitted model to an ONNX file that carries its whole contract."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emotion_triage.affect.classifier import LABELS, METADATA_KEY, Classifier, Contract
from emotion_triage.errors import ModelError
from emotion_triage.prosody.functionals import FEATURE_NAMES
from emotion_triage.prosody.lld import LLD_NAMES
from emotion_triage.prosody.vad import WINDOW_FRAMES
from emotion_triage.training.contour import CHANNEL_COLUMNS, log_odds
from emotion_triage.training.contour_graph import contour_graph
from emotion_triage.training.fit import CLIP, Model

__all__ = ["PARITY", "check_parity", "export"]

PARITY = 1e-5
"""Largest difference allowed between the trainer's probabilities and the ONNX file's."""
_PADDED = 1 << (len(FEATURE_NAMES) - 1).bit_length()


def export(path: Path, model: Model, *, name: str, training: dict[str, str | float | int | list[str]]) -> None:
    """Write a model, then read it back as a user would.

    One file, two graphs: ``rows`` to ``contour``, ``features`` to ``probabilities``. The dense layer is a product and
    a tree of additions. The rounding of a matrix product depends on how many rows it is given, that of onnxruntime's
    ReduceSum on where a row lies in memory: a call must score the same alone and among five hundred.

    Parameters
    ----------
    path : Path
    model : Model
    name : str
    training : dict
        What goes into `Contract.training`.
    """
    linear = model.linear
    contract = Contract(
        name=name,
        feature_mean=tuple(linear.mean.tolist()),
        feature_scale=tuple(linear.scale.tolist()),
        training=training,
    )
    constants = {
        "mean": linear.mean,
        "scale": linear.scale,
        "low": np.array(-CLIP),
        "high": np.array(CLIP),
        "weights": linear.weights[None],
        "bias": linear.bias,
        "label_axis": np.array([1]),
        "feature_axis": np.array([2]),
        "padding": np.array([0, 0, 0, 0, 0, _PADDED - len(FEATURE_NAMES)]),
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Unsqueeze", ["clipped", "label_axis"], ["lines"]),
        helper.make_node("Mul", ["lines", "weights"], ["products"]),
        *_sum_nodes("products", "sums"),
        helper.make_node("Squeeze", ["sums", "feature_axis"], ["squeezed"]),
        helper.make_node("Add", ["squeezed", "bias"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["probabilities"]),
    ]
    contour_nodes, contour_constants = contour_graph(model.contour)
    graph = helper.make_graph(
        nodes + contour_nodes,
        "emotion_triage",
        [
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["spoken", len(LLD_NAMES), WINDOW_FRAMES]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["windows", len(FEATURE_NAMES)]),
        ],
        [
            helper.make_tensor_value_info("contour", TensorProto.FLOAT, ["spoken"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["windows", len(LABELS)]),
        ],
        [tensor(key, value) for key, value in (constants | contour_constants).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(proto, {METADATA_KEY: msgspec.json.encode(contract).decode()})
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())


def tensor(name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
    """Return a constant: real numbers in single precision, indices and booleans as they are."""
    return numpy_helper.from_array(value.astype(np.float32) if value.dtype.kind == "f" else value, name)


def _sum_nodes(products: str, total: str) -> list[onnx.NodeProto]:
    """Return nodes that add up the last axis, half upon half, element by element: one order for every row."""
    nodes = [helper.make_node("Pad", [products, "padding"], [f"{total}_{_PADDED}"])]
    width = _PADDED
    while width > 1:
        halves = [f"{total}_{width}_{side}" for side in ("low", "high")]
        nodes.append(helper.make_node("Split", [f"{total}_{width}"], halves, axis=2))
        width //= 2
        nodes.append(helper.make_node("Add", halves, [f"{total}_{width}" if width > 1 else total]))
    return nodes


def check_parity(
    path: Path, model: Model, features: NDArray[np.float32], rows: NDArray[np.float16] | NDArray[np.float32]
) -> float:
    """Return the largest difference between what the file makes of features and rows and what the trainer does.

    Raises
    ------
    ModelError
        If it is larger than 1e-5.
    """
    classifier = Classifier.load(path)
    every = np.full((len(rows), len(LLD_NAMES), WINDOW_FRAMES), np.nan, np.float32)
    every[:, CHANNEL_COLUMNS] = rows
    pairs = (
        (classifier.score(features), _probability(model.linear.log_odds(features))),
        (_probability(classifier.contour(every)), _probability(log_odds(model.contour, rows))),
    )
    worst = max(float(np.abs(got - expected).max(initial=0.0)) for got, expected in pairs)
    if worst > PARITY:
        raise ModelError(f"{path}: got probabilities {worst:.1e} off the trainer's, expected {PARITY:.0e} at most")
    return worst


def _probability(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-log_odds.astype(np.float64)))
