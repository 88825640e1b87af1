"""A fitted model to an ONNX file that carries its whole contract."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emotion_triage.affect.classifier import LABELS, MEL, METADATA_KEY, Classifier, Contract
from emotion_triage.errors import ModelError
from emotion_triage.prosody.functionals import FEATURE_NAMES, TONE_NAMES
from emotion_triage.prosody.mel import N_BANDS, N_FRAMES, SECOND
from emotion_triage.training.encoder import EMBEDDING, Encoder
from emotion_triage.training.fit import CLIP, Model

__all__ = ["PARITY", "check_parity", "export"]

PARITY = 1e-5
"""Largest difference allowed between the trainer's probabilities and the ONNX file's."""
_PADDED = 1 << (len(FEATURE_NAMES) - 1).bit_length()


def export(
    path: Path, model: Model, encoder: Encoder, *, name: str, training: dict[str, str | float | int | list[str]]
) -> None:
    """Write a model, then read it back as a user would.

    One file, two graphs: ``mel`` to ``tone``, ``features`` to ``probabilities``. onnxruntime runs all of a graph
    whatever is asked of it, so the encoder stands in a branch that is taken only where there are no rows of features to
    score. It takes one second a run, so that its shapes never change. The dense layer over features is a product and a
    tree of additions: the rounding of a matrix product depends on how many rows it is given, that of onnxruntime's
    ReduceSum on where a row lies in memory, and a call must score the same alone and among five hundred.

    Parameters
    ----------
    path : Path
    model : Model
    encoder : Encoder
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
    graph = helper.make_graph(
        [*_encoder_nodes(model, encoder), *nodes],
        "emotion_triage",
        [
            helper.make_tensor_value_info(MEL, TensorProto.FLOAT, [1, N_BANDS, N_FRAMES]),
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["windows", len(FEATURE_NAMES)]),
        ],
        [
            helper.make_tensor_value_info("tone", TensorProto.FLOAT, [1, len(TONE_NAMES)]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["windows", len(LABELS)]),
        ],
        [tensor(key, value) for key, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(proto, {METADATA_KEY: msgspec.json.encode(contract).decode()})
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())


def _encoder_nodes(model: Model, encoder: Encoder) -> list[onnx.NodeProto]:
    """Return nodes that encode a second where there are no rows of features, and else give zeros."""
    heard = encoder.graph.graph
    encode = helper.make_graph(
        [
            *heard.node,
            helper.make_node("MatMul", [EMBEDDING, "tone_weights"], ["tone_sums"]),
            helper.make_node("Add", ["tone_sums", "tone_bias"], ["tone_of_second"]),
        ],
        "encode",
        [],
        [helper.make_tensor_value_info("tone_of_second", TensorProto.FLOAT, [1, len(TONE_NAMES)])],
        [*heard.initializer, tensor("tone_weights", model.tone.weights), tensor("tone_bias", model.tone.bias)],
    )
    zeros = tensor("no_tone", np.zeros((1, len(TONE_NAMES))))
    rest = helper.make_graph(
        [helper.make_node("Constant", [], ["no_tone"], value=zeros)],
        "rest",
        [],
        [helper.make_tensor_value_info("no_tone", TensorProto.FLOAT, [1, len(TONE_NAMES)])],
    )
    return [
        helper.make_node("Size", ["features"], ["n_features"]),
        helper.make_node("Cast", ["n_features"], ["scores"], to=TensorProto.BOOL),
        helper.make_node("If", ["scores"], ["tone"], then_branch=rest, else_branch=encode),
    ]


def tensor(name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
    """Return a constant: real numbers in single precision, indices and booleans as they are."""
    return numpy_helper.from_array(value.astype(np.float32) if value.dtype.kind == "f" else value, name)


def _sum_nodes(products: str, total: str) -> list[onnx.NodeProto]:
    """Return nodes that add up the last axis, half upon half, element by element: one order for every row."""
    nodes = [helper.make_node("Pad", [products, "padding"], [f"{total}_{_PADDED}"])]
    width = _PADDED
    while width > 1:
        halves = [f"{total}_{width}_{side}" for side in ("low", "high")]
        nodes.append(helper.make_node("Split", [f"{total}_{width}"], halves, axis=2, num_outputs=2))
        width //= 2
        nodes.append(helper.make_node("Add", halves, [f"{total}_{width}" if width > 1 else total]))
    return nodes


def check_parity(path: Path, model: Model, features: NDArray[np.float32]) -> float:
    """Return the largest difference between what the file makes of features and of sound and what the trainer does.

    The encoder is int8 in the trainer too, so that nothing but the rounding of single precision is left.

    Raises
    ------
    ModelError
        If it is larger than 1e-5.
    """
    classifier, encoder = Classifier.load(path), Encoder(path)
    sounds = np.random.default_rng(0).normal(0.0, 0.1, (8, SECOND)).astype(np.float32).cumsum(axis=1) * np.float32(0.1)
    tones = np.array([classifier.tone(sound) for sound in sounds])
    expected = model.tone.of(np.array([encoder.embed(sound) for sound in sounds]))
    pairs = (
        (classifier.score(features), _probability(model.linear.log_odds(features))),
        (_probability(tones), _probability(expected)),
    )
    worst = max(float(np.abs(got - want).max(initial=0.0)) for got, want in pairs)
    if worst > PARITY:
        raise ModelError(f"{path}: got probabilities {worst:.1e} off the trainer's, expected {PARITY:.0e} at most")
    return worst


def _probability(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-log_odds.astype(np.float64)))
