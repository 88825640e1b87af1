"""The weights of an ONNX file, read from its bytes: onnxruntime does not show them, and infinite ones may score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["not_finite"]

GRAPH = 7
NODE, INITIALIZER = 1, 5
ATTRIBUTE = 5
BRANCH = 6
TYPE, PACKED_FLOATS, NAME, RAW = 2, 4, 8, 9
"""Numbers of the fields of ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto in onnx.proto."""
FLOATS: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
"""By the numbers that TensorProto gives element types."""
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5
"""Kinds of fields on protobuf's wire."""


def not_finite(model: bytes) -> list[str]:
    """Return the names of the weights of an ONNX model that hold NaN or infinity.

    Parameters
    ----------
    model : bytes
        A whole model that onnxruntime has loaded, its weights inside.

    Examples
    --------
    >>> from emotion_triage.affect.classifier import default_model_path
    >>> not_finite(default_model_path().read_bytes())
    []
    """
    names = []
    for tensor in (each for graph in _parts(memoryview(model), GRAPH) for each in _tensors(graph)):
        numbers = [each for number, each in _fields(tensor) if number == TYPE and isinstance(each, int)]
        dtype = FLOATS.get(numbers[0]) if numbers else None
        if dtype is None:
            continue
        values = [*_parts(tensor, RAW), *_parts(tensor, PACKED_FLOATS)]
        if not all(np.isfinite(np.frombuffer(each, dtype)).all() for each in values):
            names += [bytes(name).decode("utf-8", "replace") for name in _parts(tensor, NAME)]
    return names


def _tensors(graph: memoryview) -> Iterator[memoryview]:
    """Yield the weights of a graph and of the branches of its nodes: the encoder stands in one."""
    yield from _parts(graph, INITIALIZER)
    for node in _parts(graph, NODE):
        for attribute in _parts(node, ATTRIBUTE):
            for branch in _parts(attribute, BRANCH):
                yield from _tensors(branch)


def _parts(message: memoryview, number: int) -> Iterator[memoryview]:
    return (value for each, value in _fields(message) if each == number and isinstance(value, memoryview))


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = {FIXED_64: 8, FIXED_32: 4}.get(kind)
        if size is None:
            size, at = _varint(message, at)
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
