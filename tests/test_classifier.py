"""The classifier scores rows by themselves, and refuses what was not made for this library."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from emotion_triage.affect.classifier import LABELS, METADATA_KEY, Classifier, default_model_path
from emotion_triage.affect.weights import not_finite
from emotion_triage.errors import ModelError
from emotion_triage.prosody.functionals import FEATURE_NAMES, TONE_NAMES
from emotion_triage.synthesis.speech import synthetic_speech

ROWS = np.random.default_rng(0).standard_normal((500, len(FEATURE_NAMES))).astype(np.float32) * 5


@pytest.fixture(scope="module", params=["by hand", "shipped"])
def classifier(request: pytest.FixtureRequest, anger_model: Path) -> Classifier:
    return Classifier.load(anger_model if request.param == "by hand" else None)


def test_a_row_does_not_depend_on_its_neighbours(classifier: Classifier) -> None:
    """Alone, in pairs, among 7 and among 500 rows, a row's probabilities are the same to the bit."""
    together = classifier.score(ROWS)
    for size in (1, 2, 7, 64):
        for start in range(0, 100, size):
            alone = classifier.score(ROWS[start : start + size])
            np.testing.assert_array_equal(alone, together[start : start + len(alone)])


def test_the_encoder_rests_while_features_are_scored(tmp_path: Path) -> None:
    """Scoring rows runs no convolution, encoding a second does: it costs a hundred times as much."""
    ran = {}
    for outputs, n_rows in (("probabilities", 3), ("tone", 0)):
        options = onnxruntime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / outputs)
        session = onnxruntime.InferenceSession(default_model_path().read_bytes(), options)
        session.run([outputs], {"mel": np.zeros((1, 80, 100), np.float32), "features": ROWS[:n_rows]})
        events = json.loads(Path(session.end_profiling()).read_text())
        ran[outputs] = {event["args"]["op_name"] for event in events if "op_name" in event.get("args", {})}
    assert not any("Conv" in name for name in ran["probabilities"])
    assert any("Conv" in name for name in ran["tone"])


def test_a_tone_is_the_same_wherever_its_second_lies() -> None:
    """The same second gives the same bits at any place in memory, after other seconds, and in other threads."""
    classifier = Classifier.load()
    second = synthetic_speech(2.0, mood="angry", seed=4)[:8000]
    alone = classifier.tone(second)
    assert alone.shape == (len(TONE_NAMES),)
    for offset in (1, 3, 8):
        buffer = np.zeros(8000 + offset, np.float32)
        buffer[offset:] = second
        classifier.tone(ROWS.ravel()[:8000].copy())
        np.testing.assert_array_equal(classifier.tone(buffer[offset:]), alone)
    with ThreadPoolExecutor(4) as pool:
        for tone in pool.map(classifier.tone, [second] * 16):
            np.testing.assert_array_equal(tone, alone)


def test_a_tone_says_nothing_of_level() -> None:
    """A second at half the level has the same tone but for int8's rounding, which moves a second by half a log-odd."""
    classifier = Classifier.load()
    second = synthetic_speech(2.0, mood="calm", seed=4)[:8000]
    np.testing.assert_allclose(classifier.tone(second / 2), classifier.tone(second), atol=0.75)


def test_probabilities_are_probabilities(classifier: Classifier) -> None:
    """Every label of every row, however odd, lies from 0 to 1."""
    scores = classifier.score(np.concatenate((ROWS, 1e6 * ROWS)))
    assert scores.shape == (1000, len(LABELS))
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0


def test_a_model_by_hand_does_what_its_weights_say(anger_model: Path) -> None:
    """One standard deviation of F0 change, 4 semitones, adds its weight of 1.5 to the log-odds of anger."""
    rows = np.tile(Classifier.load(anger_model).mean, (2, 1))
    rows[1, FEATURE_NAMES.index("f0_mean_semitone_change")] += 4.0
    p = Classifier.load(anger_model).score(rows)[:, LABELS.index("anger_against_baseline")].astype(np.float64)
    assert np.diff(np.log(p / (1 - p)))[0] == pytest.approx(1.5, abs=1e-4)


def test_threads_share_a_session(classifier: Classifier) -> None:
    """Eight threads score on one session what one thread scores."""
    blocks = np.split(ROWS, 20)
    with ThreadPoolExecutor(8) as pool:
        for scores, block in zip(pool.map(classifier.score, blocks), blocks, strict=True):
            np.testing.assert_array_equal(scores, classifier.score(block))


def test_a_file_is_loaded_once(anger_model: Path) -> None:
    """Loading the same file again, by any spelling of its path, gives the same object."""
    assert Classifier.load(anger_model) is Classifier.load(str(anger_model))
    assert Classifier.load(anger_model) is Classifier.load(anger_model.parent / "." / anger_model.name)


def test_a_digest_is_that_of_the_file(anger_model: Path, write_model: Callable[..., Path]) -> None:
    """The same content has the same digest wherever it lies, other weights another."""
    assert Classifier.load(anger_model).digest == Classifier.load(write_model()).digest
    assert Classifier.load(anger_model).digest != Classifier.load(write_model(bias=-2.9)).digest
    assert len(Classifier.load(anger_model).digest) == 64


def test_a_classifier_pickles_as_its_path(anger_model: Path) -> None:
    """Pickled and read back in the same process a classifier is the shared one, and the pickle holds no weights."""
    classifier = Classifier.load(anger_model)
    stored = pickle.dumps(classifier)
    assert len(stored) < 1000
    assert pickle.loads(stored) is classifier


def test_a_replaced_model_is_not_a_pickled_ones(write_model: Callable[..., Path]) -> None:
    """A stored classifier whose file has been replaced is refused by its digest."""
    path = write_model()
    stored = pickle.dumps(Classifier.load(path))
    path.write_bytes(write_model(bias=0.0).read_bytes())
    with pytest.raises(ModelError, match=r"got a model with digest \w{12}, expected \w{12}.*put the old model back"):
        pickle.loads(stored)


def test_the_mean_cannot_be_written_to(classifier: Classifier) -> None:
    """What calls share cannot be changed by one of them."""
    with pytest.raises(ValueError, match="read-only"):
        classifier.mean[0] = 1.0


# Refusals


def changed_contract(source: Path, path: Path, **fields: object) -> Path:
    """A copy of a model with some fields of its contract replaced."""
    model = onnx.load(source)
    (entry,) = [each for each in model.metadata_props if each.key == METADATA_KEY]
    contract = msgspec.json.decode(entry.value) | fields
    entry.value = msgspec.json.encode(contract).decode()
    onnx.save(model, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as refused:
        Classifier.load(path)
    assert str(path) in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, np.nan) for name in ("weights", "bias", "mean", "tone_weights", "tone_bias", "pool_least")),
        *((name, np.inf) for name in ("weights", "bias", "mean", "tone_weights", "tone_bias")),
        *((name, -np.inf) for name in ("weights", "bias", "mean", "tone_weights", "tone_bias")),
    ],
)
def test_weights_that_are_no_numbers(tmp_path: Path, name: str, value: float) -> None:
    """A model with NaN or infinite weights is refused when it is loaded, not scored with."""
    model = onnx.load(default_model_path())
    branches = [branch.g for node in model.graph.node for branch in node.attribute if branch.HasField("g")]
    (weights,) = [each for graph in (model.graph, *branches) for each in graph.initializer if each.name == name]
    array = onnx.numpy_helper.to_array(weights).copy()
    array.flat[:] = value
    weights.CopyFrom(onnx.numpy_helper.from_array(array, name))
    onnx.save(model, tmp_path / "nan.onnx")
    assert "numbers that are not finite" in refusal(tmp_path / "nan.onnx")


def test_weights_of_a_branch_are_read() -> None:
    """One infinite weight of the encoder's branch is found by its name, whatever silence makes of it."""
    model = onnx.load(default_model_path())
    branches = [branch.g for node in model.graph.node for branch in node.attribute if branch.HasField("g")]
    for name in ("tone_weights", "pool_least"):
        (weights,) = [each for branch in branches for each in branch.initializer if each.name == name]
        before, array = onnx.TensorProto.FromString(weights.SerializeToString()), onnx.numpy_helper.to_array(weights)
        array = array.copy()
        array.flat[-1] = np.inf
        weights.CopyFrom(onnx.numpy_helper.from_array(array, name))
        assert not_finite(model.SerializeToString()) == [name]
        weights.CopyFrom(before)
    assert not_finite(model.SerializeToString()) == []


def test_a_missing_file(tmp_path: Path) -> None:
    """No file, or a folder in its place, is refused with the way to get one."""
    assert "No such file" in refusal(tmp_path / "none.onnx")
    assert "python -m emotion_triage.training" in refusal(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_file_cut_short(anger_model: Path, tmp_path: Path, share: float) -> None:
    """A model cut anywhere is refused as one that may be cut short, or that has lost its contract."""
    path = tmp_path / "cut.onnx"
    content = anger_model.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "expected" in refusal(path)


def test_a_file_cut_in_half(anger_model: Path, tmp_path: Path) -> None:
    """Half a model is told from its length and that it may have been cut."""
    path = tmp_path / "half.onnx"
    content = anger_model.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    message = refusal(path)
    assert f"got {len(content) // 2} bytes that onnxruntime cannot load" in message
    assert "cut short" in message


def test_a_file_that_is_not_onnx(tmp_path: Path) -> None:
    """Text named .onnx is refused."""
    path = tmp_path / "text.onnx"
    path.write_text("Bonjour.\n" * 100)
    assert "onnxruntime cannot load" in refusal(path)


def test_a_model_of_someone_else(anger_model: Path, tmp_path: Path) -> None:
    """An ONNX model without our metadata is refused, naming what is missing."""
    model = onnx.load(anger_model)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "theirs.onnx")
    assert f"without the metadata '{METADATA_KEY}'" in refusal(tmp_path / "theirs.onnx")


def test_a_model_of_other_features(anger_model: Path, tmp_path: Path) -> None:
    """Features that only one side knows are named, on the side that knows them."""
    names = ["loudness_sone", *FEATURE_NAMES[1:]]
    message = refusal(changed_contract(anger_model, tmp_path / "other.onnx", features=names))
    assert "the model wants features this library does not compute: loudness_sone;" in message
    assert f"this library computes features the model does not know: {FEATURE_NAMES[0]};" in message
    assert "retrain it" in message


def test_a_model_of_the_same_features_in_another_order(anger_model: Path, tmp_path: Path) -> None:
    """The order counts."""
    names = [*FEATURE_NAMES[::-1]]
    assert "another order" in refusal(changed_contract(anger_model, tmp_path / "order.onnx", features=names))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema", 1),
        ("sample_rate_hz", 16000),
        ("frame_length", 400),
        ("hop_length", 80),
        ("window_frames", 300),
        ("step_frames", 50),
        ("labels", ["anger", "distress", "arousal"]),
    ],
)
def test_a_model_of_another_geometry(anger_model: Path, tmp_path: Path, field: str, value: object) -> None:
    """Another schema, rate, frame, window or set of labels is refused by name, with both values."""
    message = refusal(changed_contract(anger_model, tmp_path / "other.onnx", **{field: value}))
    shown = tuple(value) if isinstance(value, list) else value
    assert f"the model has {field} {shown}, this library has " in message


@pytest.mark.parametrize(("field", "value"), [("features", 3), ("training", None), ("feature_mean", ["a"])])
def test_a_contract_that_cannot_be_read(anger_model: Path, tmp_path: Path, field: str, value: object) -> None:
    """A contract with a field of the wrong type is refused, naming the field."""
    message = refusal(changed_contract(anger_model, tmp_path / "odd.onnx", **{field: value}))
    assert "contract that this library cannot read" in message
    assert field in message


@pytest.mark.parametrize(("graph_input", "n_outputs"), [("rows", len(LABELS)), ("features", 2)])
def test_a_graph_that_breaks_its_contract(anger_model: Path, tmp_path: Path, graph_input: str, n_outputs: int) -> None:
    """A graph whose input or output is not what its contract promises is refused when it is loaded, not in a call."""
    (entry,) = [each for each in onnx.load(anger_model).metadata_props if each.key == METADATA_KEY]
    shape = ["windows", len(FEATURE_NAMES)]
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["zero"], value_ints=[0]),
            helper.make_node("Constant", [], ["stop"], value_ints=[n_outputs]),
            helper.make_node("Constant", [], ["axis"], value_ints=[1]),
            helper.make_node("Slice", [graph_input, "zero", "stop", "axis"], ["some"]),
            helper.make_node("Sigmoid", ["some"], ["probabilities"]),
        ],
        "odd",
        [helper.make_tensor_value_info(graph_input, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["windows", n_outputs])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {METADATA_KEY: entry.value})
    onnx.save(model, tmp_path / "odd.onnx")
    assert "not that of its contract" in refusal(tmp_path / "odd.onnx")


def test_a_mean_of_another_length(anger_model: Path, tmp_path: Path) -> None:
    """A contract whose means are fewer than its features is refused."""
    path = changed_contract(anger_model, tmp_path / "odd.onnx", feature_mean=[0.0])
    assert "not that of its contract" in refusal(path)


def test_the_shipped_model_is_ours() -> None:
    """The model that ships loads, names its data, and has a card beside it with its digest."""
    classifier = Classifier.load()
    assert classifier.contract.features == FEATURE_NAMES
    assert classifier.contract.training["manifest_sha256"]
    card = default_model_path().with_suffix(".md").read_text()
    assert classifier.digest[:12] in card
