"""Training from a folder to a model and its card, on synthetic speakers."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.errors import ModelError, TriageError
from emotion_triage.prosody.functionals import FEATURE_NAMES, STATISTIC_NAMES, TONE_NAMES, features
from emotion_triage.synthesis.sounds import hold_music
from emotion_triage.synthesis.speech import synthetic_speech
from emotion_triage.training.card import MEASURED
from emotion_triage.training.corpora import COLUMNS, Corpora, _groups
from emotion_triage.training.dataset import NOISE, WindowSet, measure
from emotion_triage.training.encoder import WIDTH, Encoder, cut
from emotion_triage.training.export import check_parity, export
from emotion_triage.training.figures import auc, bootstrap, calibration_error
from emotion_triage.training.fit import Linear, Model, held_out_scores, held_out_tone, tone_of
from emotion_triage.training.tone import Tone, fit_tone, silent, sums

N_SPEAKERS = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three corpora of two synthetic speakers each, calm and angry, and one piece of hold music."""
    folder = tmp_path_factory.mktemp("corpora")
    rows = []
    for speaker in range(N_SPEAKERS):
        corpus, voice = f"corpus_{speaker % 3}", ("female", "male")[speaker % 2]
        for mood, emotion in (("calm", "neutral"), ("angry", "angry")):
            samples = synthetic_speech(8.0, mood=mood, voice=voice, seed=speaker)
            path = Path(corpus) / f"{speaker}_{mood}.wav"
            (folder / corpus).mkdir(exist_ok=True)
            soundfile.write(folder / path, samples, 8000)
            about = (str(path), corpus, "none", f"{corpus}_{speaker}", voice, emotion, "8.0", "CC0")
            rows.append(dict(zip(COLUMNS, about, strict=True)))
    write(folder / "manifest.csv", rows)
    (folder / "noise").mkdir()
    soundfile.write(folder / "noise" / "hold.wav", hold_music(8.0, seed=1), 8000)
    write(folder / "noise" / "noise.csv", [{"path": "hold.wav", "kind": "hold music"}])
    return folder


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def train(folder: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command a user would run."""
    root = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-m", "emotion_triage.training", str(folder), "--out", str(out), *options],
        env=os.environ | {"PYTHONPATH": str(root)},
        cwd=out.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "tiny.onnx"
    run = train(folder, out, "--passes", "1", "--name", "tiny", "--workers", "2")
    assert run.returncode == 0, run.stderr
    return out


# End to end


def test_one_command_writes_a_model_and_its_card(trained: Path, folder: Path) -> None:
    """The model loads, names its data and its seed, and the card beside it names the model and its digest."""
    classifier = Classifier.load(trained)
    training = classifier.contract.training
    assert classifier.contract.name == "tiny"
    assert training["manifest_sha256"] == Corpora.read(folder).digest
    assert training["corpora"] == ["corpus_0", "corpus_1", "corpus_2"]
    assert (training["speakers"], training["passes"], training["seed"]) == (N_SPEAKERS, 1, 0)
    card = trained.with_suffix(".md").read_text()
    assert "# Model card: tiny" in card
    assert classifier.digest[:12] in card
    (row,) = [line for line in card.splitlines() if "mean of corpora" in line]
    assert min(float(figure) for figure in re.findall(r"\d\.\d{3}", row)) > 0.95


def speakers(mood: str) -> list[np.ndarray]:
    """Ten seconds each of four speakers whom no test's model heard."""
    return [
        synthetic_speech(10.0, mood=mood, voice=voice, seed=100 + seed)
        for voice in ("female", "male")
        for seed in range(2)
    ]


def statistics_of(model: Path, samples: np.ndarray) -> np.ndarray:
    """Statistics of a recording's windows, the tone among them."""
    measured = measure(samples, Encoder(model))
    branches = (branch.g for node in onnx.load(model).graph.node for branch in node.attribute if branch.HasField("g"))
    head = [constant for branch in branches for constant in branch.initializer]
    weights, bias = (numpy_helper.to_array(next(t for t in head if t.name == f"tone_{x}")) for x in ("weights", "bias"))
    measured.statistics[:, -len(TONE_NAMES) :] = measured.embeddings.astype(np.float32) @ weights + bias
    return measured.statistics


def test_a_trained_model_tells_anger_from_calm(trained: Path) -> None:
    """Of speakers it never heard, angry speech scores higher in anger and arousal than calm speech, and is a voice."""
    classifier = Classifier.load(trained)
    calm, angry = (
        classifier.score(features(np.concatenate([statistics_of(trained, each) for each in speakers(mood)]), None))
        for mood in ("calm", "angry")
    )
    for label in ("anger", "arousal"):
        k = LABELS.index(label)
        truth = np.repeat([False, True], [len(calm), len(angry)])
        assert auc(truth, np.concatenate((calm[:, k], angry[:, k]))) > 0.95, label
    assert angry[:, LABELS.index("anger")].mean() > 0.5 > calm[:, LABELS.index("anger")].mean()
    assert np.median(np.concatenate((calm, angry))[:, LABELS.index("speech")]) > 0.5


def test_the_same_seed_gives_the_same_model(trained: Path, folder: Path, tmp_path: Path) -> None:
    """Trained again with another number of processes the file is the same to the byte; with another seed it is not.

    What the benchmark added to the card stays with the same model, and leaves with another.
    """
    added = MEASURED.format(digest=Classifier.load(trained).digest) + "\n\nfigures\n"
    for name, options in (("same", ("--workers", "1")), ("other", ("--seed", "1"))):
        (tmp_path / f"{name}.md").write_text(trained.with_suffix(".md").read_text() + added)
        run = train(folder, tmp_path / f"{name}.onnx", "--passes", "1", "--name", "tiny", *options)
        assert run.returncode == 0, run.stderr
    digest = Classifier.load(trained).digest
    assert Classifier.load(tmp_path / "same.onnx").digest == digest
    assert Classifier.load(tmp_path / "other.onnx").digest != digest
    assert (tmp_path / "same.md").read_text().endswith(added)
    assert MEASURED.partition("{")[0] not in (tmp_path / "other.md").read_text()


# Folders


def test_a_bad_folder_ends_with_a_message(tmp_path: Path) -> None:
    """Without a manifest the command ends with 2, says what it expected, shows no traceback and writes nothing."""
    run = train(tmp_path / "none", tmp_path / "model.onnx")
    assert run.returncode == 2
    assert "error:" in run.stderr
    assert "expected a corpora folder with a manifest.csv in it" in run.stderr
    assert "Traceback" not in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_without_its_columns(tmp_path: Path) -> None:
    """Missing columns are named, and what is expected."""
    write(tmp_path / "manifest.csv", [{"path": "a.wav", "emotion": "angry"}])
    with pytest.raises(TriageError, match=r"columns corpus, language, speaker, .* are missing; expected at least path"):
        Corpora.read(tmp_path)


def test_an_empty_manifest(tmp_path: Path) -> None:
    """A manifest of no clips is refused."""
    (tmp_path / "manifest.csv").write_text(",".join(COLUMNS) + "\n")
    with pytest.raises(TriageError, match=r"manifest\.csv"):
        Corpora.read(tmp_path)


def test_an_unknown_emotion(tmp_path: Path) -> None:
    """An emotion that no label knows is named."""
    write(tmp_path / "manifest.csv", [dict.fromkeys(COLUMNS, "1.0") | {"emotion": "ennui"}])
    with pytest.raises(TriageError, match=r"got emotions \['ennui'\], expected some of .*'angry'"):
        Corpora.read(tmp_path)


def test_a_clip_that_is_missing(tmp_path: Path) -> None:
    """A clip that the manifest names and the folder lacks ends the command with 2 and the clip's path."""
    about = dict(zip(COLUMNS, ("a.wav", "a", "en", "a_1", "female", "angry", "1.0", "CC0"), strict=True))
    write(tmp_path / "manifest.csv", [about])
    run = train(tmp_path, tmp_path / "model.onnx", "--passes", "1", "--workers", "1")
    assert run.returncode == 2
    assert "a.wav" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_digest_follows_the_manifests(folder: Path, tmp_path: Path) -> None:
    """Any change of a manifest changes the digest that a model carries."""
    (tmp_path / "manifest.csv").write_bytes((folder / "manifest.csv").read_bytes())
    without_noise = Corpora.read(tmp_path)
    assert without_noise.digest != Corpora.read(folder).digest
    assert (without_noise.noises, len(without_noise.clips)) == ([], 2 * N_SPEAKERS)


# Splits


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), min_size=1, max_size=30))
def test_corpora_that_share_a_speaker_are_one_group(rows: list[tuple[int, int]]) -> None:
    """No speaker is in two groups, in whatever order the rows come, and corpora that nothing links stay apart."""
    groups = _groups([{"corpus": f"c{corpus}", "speaker": f"s{speaker}"} for corpus, speaker in rows])
    linked = {corpus: {corpus} for corpus, _ in rows}
    for _ in rows:
        for corpus, speaker in rows:
            for other, same in rows:
                if speaker == same:
                    linked[corpus] |= linked[other]
    for corpus in linked:
        assert {other for other in linked if groups[f"c{other}"] == groups[f"c{corpus}"]} == linked[corpus]


def windows_of(n: int, groups: list[str], speakers: list[str], emotions: list[str]) -> WindowSet:
    """Random statistics under these labels."""
    statistics = np.random.default_rng(0).standard_normal((n, len(STATISTIC_NAMES))).astype(np.float32)
    words = (np.resize(np.array(each), n) for each in (emotions, groups, speakers, ["en"], [""]))
    embeddings = np.zeros((n, WIDTH), np.float16)
    return WindowSet(embeddings, statistics, np.full_like(statistics, np.nan), *words)


def test_no_score_comes_from_a_model_that_heard_the_speaker() -> None:
    """A speaker whose anger is known only from him scores at chance: his group is left out of his own model."""
    n = 400
    windows = windows_of(n, ["a", "b"], ["a_1", "b_1"], ["angry", "angry", "neutral", "neutral"])
    angry = windows.emotion == "angry"
    # one feature tells anger in group a, and the opposite in group b
    sign = np.where(windows.group == "a", 1.0, -1.0) * np.where(angry, 1.0, -1.0)
    windows.statistics[:, STATISTIC_NAMES.index("f0_mean_semitone")] += 5.0 * sign.astype(np.float32)
    scores = held_out_scores(windows)[:, LABELS.index("anger")]
    for group in ("a", "b"):
        inside = windows.group == group
        assert auc(angry[inside], scores[inside]) < 0.1


def test_noise_is_held_out_kind_by_kind() -> None:
    """A kind of noise is scored by a model that heard the others and not it."""
    n = 300
    windows = windows_of(n, ["a", "b", NOISE], ["a_1", "b_1", "noise_x"], ["angry", "neutral", NOISE])
    windows.emotion[1::6] = "neutral"
    windows.emotion[4::6] = "angry"
    noise = windows.emotion == NOISE
    windows.speaker[np.flatnonzero(noise)[::2]] = "noise_y"
    kind_y = windows.speaker == "noise_y"
    at = STATISTIC_NAMES.index("level_std_db")
    windows.statistics[noise & ~kind_y, at] += 8.0
    windows.statistics[kind_y, at] -= 8.0
    scores = held_out_scores(windows)[:, LABELS.index("speech")]
    # each kind lies on the side of speech where the other kind does not
    assert np.median(scores[kind_y]) > np.median(scores[~noise])


# Parts


def test_parity_is_checked(tmp_path: Path) -> None:
    """The file's probabilities are the trainer's to 1e-5, and a file with other weights is refused."""
    draw = np.random.default_rng(0)
    shape = (len(LABELS), len(FEATURE_NAMES))
    linear = Linear(
        draw.normal(size=shape[1]), 0.5 + draw.random(shape[1]), draw.normal(size=shape), draw.normal(size=shape[0])
    )
    tone = Tone(draw.normal(0.0, 0.1, (WIDTH, len(TONE_NAMES))), draw.normal(size=len(TONE_NAMES)))
    model = Model(tone, linear)
    export(tmp_path / "model.onnx", model, Encoder(), name="random", training={})
    features = (3 * draw.standard_normal((300, shape[1]))).astype(np.float32)
    assert check_parity(tmp_path / "model.onnx", model, features) <= 1e-5
    others = (
        model._replace(linear=linear._replace(bias=linear.bias + 1e-3)),
        model._replace(tone=tone._replace(bias=tone.bias + 1e-2)),
    )
    for other in others:
        with pytest.raises(ModelError, match=r"off the trainer's, expected 1e-05 at most"):
            check_parity(tmp_path / "model.onnx", other, features)


# Tone


def embedded(n: int = 1200) -> WindowSet:
    """Windows of three corpora whose anger lies along one direction, and whose lines lie along another."""
    windows = windows_of(n, ["a", "b", "c"], ["a_1", "b_1", "c_1"], ["angry", "neutral", "happy", "sad"])
    draw = np.random.default_rng(1)
    angry, line = (windows.emotion == "angry"), np.unique(windows.group, return_inverse=True)[1]
    windows.embeddings[:] = draw.standard_normal((n, WIDTH)).astype(np.float16)
    windows.embeddings[:, 0] += 3.0 * angry
    windows.embeddings[:, 1] += 10.0 * line
    return windows


def test_a_tone_is_found_in_corpora_it_never_heard() -> None:
    """What parts anger in two corpora parts it in the third, whatever its line adds."""
    windows = embedded()
    scores, tones = held_out_tone(windows)
    assert len(tones) == 3
    for group in ("a", "b", "c"):
        inside = windows.group == group
        assert auc(windows.emotion[inside] == "angry", scores[inside, 0]) > 0.85


def test_a_tone_held_out_is_one_fitted_without() -> None:
    """Subtracting a corpus gives what leaving it out gives, to the last digits of a sum."""
    windows = embedded()
    scores, _ = held_out_tone(windows)
    truth = np.stack([windows.emotion == "angry"] * len(TONE_NAMES), axis=1)
    rest = windows.group != "a"
    part = sums(windows.embeddings[rest], truth[rest], np.ones(rest.sum()), windows.group[rest])
    alone = fit_tone([part]).of(windows.embeddings[~rest])[:, 0]
    assert np.corrcoef(alone, scores[~rest, 0])[0, 1] > 0.999


def test_no_contrast_no_tone() -> None:
    """Corpora in which nobody is angry teach no tone of anger: it is 0 for everyone."""
    windows = windows_of(60, ["a", "b"], ["a_1", "b_1"], ["neutral"])
    assert not tone_of(windows).of(windows.embeddings)[:, 0].any()
    assert not silent().of(windows.embeddings).any()


def test_a_model_holds_the_encoder_it_was_made_with(trained: Path) -> None:
    """A site that trains from a model of ours hears with the same encoder, bit for bit."""
    second = synthetic_speech(1.0, mood="angry", seed=1)[:8000]
    np.testing.assert_array_equal(Encoder(trained).embed(second), Encoder().embed(second))


def test_a_file_without_an_encoder_is_refused(tmp_path: Path) -> None:
    """A file that is no ONNX, and an ONNX file of something else, are named with what is expected."""
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    other = helper.make_model(helper.make_graph([], "empty", [], []))
    onnx.save(other, tmp_path / "other.onnx")
    for name in ("no.onnx", "other.onnx", "missing.onnx"):
        with pytest.raises(ModelError, match=rf"{name}.*expected Smart Turn's"):
            cut(tmp_path / name)


def test_an_area_under_the_curve() -> None:
    """1 where every angry window scores above every calm one, 0 the other way round, one half for a constant."""
    truth = np.array([False, True, False, True])
    assert auc(truth, np.array([0.1, 0.8, 0.2, 0.9])) == 1.0
    assert auc(truth, np.array([0.9, 0.2, 0.8, 0.1])) == 0.0
    assert auc(truth, np.zeros(4)) == 0.5
    assert np.isnan(auc(np.ones(4, bool), np.zeros(4)))


def test_intervals_are_over_speakers() -> None:
    """Repeating a speaker's clips does not make an interval narrower; more speakers do."""
    draw = np.random.default_rng(0)
    values = draw.standard_normal(8)

    def width(n_speakers: int, clips: int) -> float:
        own = np.resize(values, n_speakers).repeat(clips)
        names = np.arange(n_speakers).astype(str).repeat(clips)
        figure = bootstrap(lambda rows: float(own[rows].mean()), names)
        assert figure.low <= figure.value <= figure.high
        return figure.high - figure.low

    assert width(8, 50) == pytest.approx(width(8, 1), rel=0.3)
    assert width(32, 1) < 0.7 * width(8, 1)


def test_calibration_error() -> None:
    """Said 0.9 and right in 60 % of cases, the error is 0.3; right in 90 %, it is 0."""
    said, weights = np.full(100, 0.9), np.ones(100)
    assert calibration_error(np.arange(100) < 60, said, weights) == pytest.approx(0.3)
    assert calibration_error(np.arange(100) < 90, said, weights) == pytest.approx(0.0)
