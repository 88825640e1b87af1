"""A fitted model to an ONNX file that carries its whole contract."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emotion_triage.classifier import LABELS, METADATA_KEY, Classifier, Contract
from emotion_triage.errors import ModelError
from emotion_triage.functionals import FEATURE_NAMES
from emotion_triage.training.fit import CLIP, Linear

__all__ = ["PARITY", "check_parity", "export"]

PARITY = 1e-5
"""Largest difference allowed between the trainer's probabilities and the ONNX file's."""
_PADDED = 1 << (len(FEATURE_NAMES) - 1).bit_length()


def export(path: Path, model: Linear, *, name: str, training: dict[str, str | float | int | list[str]]) -> None:
    """Write a model, then read it back as a user would.

    The dense layer is a product and a tree of additions. The rounding of a matrix product depends on how many rows it
    is given, that of onnxruntime's ReduceSum on where a row lies in memory: a call must score the same alone and among
    five hundred.

    Parameters
    ----------
    path : Path
    model : Linear
    name : str
    training : dict
        What goes into `Contract.training`.
    """
    contract = Contract(
        name=name, feature_mean=tuple(model.mean.tolist()), feature_scale=tuple(model.scale.tolist()), training=training
    )
    constants = {
        "mean": model.mean,
        "scale": model.scale,
        "low": np.array(-CLIP),
        "high": np.array(CLIP),
        "weights": model.weights[None],
        "bias": model.bias,
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("Unsqueeze", ["clipped", "label_axis"], ["rows"]),
        helper.make_node("Mul", ["rows", "weights"], ["products"]),
        *_sum_nodes("products", "sums"),
        helper.make_node("Squeeze", ["sums", "feature_axis"], ["squeezed"]),
        helper.make_node("Add", ["squeezed", "bias"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["probabilities"]),
    ]
    initializers = [numpy_helper.from_array(value.astype(np.float32), key) for key, value in constants.items()]
    initializers.append(numpy_helper.from_array(np.array([1]), "label_axis"))
    initializers.append(numpy_helper.from_array(np.array([2]), "feature_axis"))
    initializers.append(numpy_helper.from_array(np.array([0, 0, 0, 0, 0, _PADDED - len(FEATURE_NAMES)]), "padding"))
    graph = helper.make_graph(
        nodes,
        "emotion_triage",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["windows", len(FEATURE_NAMES)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["windows", len(LABELS)])],
        initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(proto, {METADATA_KEY: msgspec.json.encode(contract).decode()})
    onnx.checker.check_model(proto)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(proto.SerializeToString())


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


def check_parity(path: Path, model: Linear, features: NDArray[np.float32]) -> float:
    """Return the largest difference between the file's probabilities and the trainer's.

    Raises
    ------
    ModelError
        If it is larger than 1e-5.
    """
    expected = 1.0 / (1.0 + np.exp(-model.log_odds(features)))
    worst = float(np.abs(Classifier.load(path).score(features) - expected).max())
    if worst > PARITY:
        raise ModelError(f"{path}: got probabilities {worst:.1e} off the trainer's, expected {PARITY:.0e} at most")
    return worst
