"""Recordings in, records out."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from emotion_triage.affect.affect import Affect
from emotion_triage.batch.inputs import find_recordings, read_spans
from emotion_triage.batch.process_pool import READ_AHEAD, in_order
from emotion_triage.batch.scoring import Record, ScoringOptions, run_locally, score, score_recording
from emotion_triage.call.triage import Triage
from emotion_triage.errors import AudioError, PolicyError
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.policy import Policy
from emotion_triage.synthesis.speech import synthetic_speech

CALM_S, ANGRY_S = 10.0, 8.0
"""How long the caller of the fixture `temper` is calm, then angry."""


def records_of(triage: Triage, sources: Iterable[str], workers: int = 1) -> Iterator[Record]:
    """Return the record of each source, each of the caller alone."""
    scored = run_locally(triage, ScoringOptions(caller_channel="mono"), sources, workers=workers)
    return (each.record for each in scored)


@pytest.fixture(scope="module")
def model(write_model: Callable[..., Path]) -> Path:
    """A model to which a caller is angry when he is louder than before, and for no other reason."""
    return write_model({"level_dbfs_change": 3.0}, bias=-4.0)


@pytest.fixture(scope="module")
def triage(model: Path) -> Triage:
    settings = "baseline_s = 4.0\nrelative_shift = -1.0\nsmoothing_s = 1.0\nhold_s = 4.0"
    return Triage.load(model=model, policy=Policy.parse(f"[escalation]\n{settings}"))


@pytest.fixture(scope="module")
def folder(temper: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four recordings of a caller: he loses his temper, stays calm, says nothing, is no audio at all."""
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "angry.wav", temper[: round((CALM_S + ANGRY_S) * 8000)], 8000)
    soundfile.write(folder / "calm.flac", temper[: round(CALM_S * 8000)], 8000)
    soundfile.write(folder / "silence.wav", np.zeros(40000, np.float32), 8000)
    (folder / "text.wav").write_text("Bonjour.\n" * 50)
    return folder


@pytest.fixture(scope="module")
def angry(triage: Triage, folder: Path) -> Record:
    return score_recording(triage, folder / "angry.wav", caller_channel="mono")


# A record


def test_a_lost_temper(angry: Record) -> None:
    """A caller who turns angry half way is escalated from then on and routed to a senior."""
    assert (angry.status, angry.error, angry.peak_level) == ("scored", None, "escalated")
    assert (angry.route, angry.rule) == ("senior", "escalated caller")
    assert angry.first_escalation_s is not None
    assert CALM_S < angry.first_escalation_s < CALM_S + ANGRY_S
    assert angry.drivers is not None
    assert re.fullmatch(r"voice \d+ dB louder", angry.drivers)
    assert angry.duration_s == CALM_S + ANGRY_S
    assert angry.lost_s == 0.0


def test_escalated_to_the_end(angry: Record) -> None:
    """A level that never falls lasts until the recording ends."""
    assert angry.first_escalation_s is not None
    assert angry.escalated_s == pytest.approx(CALM_S + ANGRY_S - angry.first_escalation_s)


def test_a_record_is_a_call(triage: Triage, folder: Path, angry: Record) -> None:
    """A record tells what a call does to which all of the recording is pushed at once, then flushed."""
    samples, _ = soundfile.read(folder / "angry.wav", dtype="float32")
    call = triage.call("by hand", encoding="float32")
    events = call.push(samples) + call.flush()
    affects = [event for event in events if isinstance(event, Affect)]
    for name in ("anger", "distress", "arousal"):
        scores = [getattr(affect, name) for affect in affects]
        assert getattr(angry, f"{name}_mean") == pytest.approx(np.mean(scores), abs=5e-4)
        assert getattr(angry, f"{name}_max") == pytest.approx(np.max(scores), abs=5e-4)
    rises = [event for event in events if isinstance(event, Escalation) and event.level is Level.ESCALATED]
    assert angry.first_escalation_s == pytest.approx(rises[0].time_s, abs=5e-4)
    assert angry.peak_s == pytest.approx(max(rises, key=lambda rise: rise.score).time_s, abs=5e-4)
    assert angry.speech_s == pytest.approx(call.speech_s, abs=5e-4)
    assert (angry.route, angry.model_digest) == (call.route.queue, call.route.model_digest)


def test_time_at_a_level_that_falls(triage: Triage, folder: Path, tmp_path: Path, angry: Record) -> None:
    """Time at ESCALATED ends where silence lets the level fall, `hold_s` after the last speech."""
    samples, _ = soundfile.read(folder / "angry.wav", dtype="float32")
    path = tmp_path / "hold.wav"
    soundfile.write(path, np.append(samples, np.zeros(30 * 8000, np.float32)), 8000)
    record = score_recording(triage, path, caller_channel="mono")
    assert (record.first_escalation_s, record.peak_level) == (angry.first_escalation_s, "escalated")
    assert record.escalated_s is not None
    assert angry.escalated_s is not None
    hold_s = triage.policy.escalation.hold_s
    assert record.escalated_s == pytest.approx(angry.escalated_s + hold_s, abs=3.0)


def test_french(triage: Triage, folder: Path) -> None:
    """Drivers are told in the language asked for."""
    record = score_recording(triage, folder / "angry.wav", caller_channel="mono", language="fr")
    assert record.drivers is not None
    assert re.fullmatch(r"voix \d+ dB plus forte", record.drivers)


def test_a_calm_call(triage: Triage, folder: Path) -> None:
    """A calm call has its scores, no escalation, and says when anger was highest."""
    record = score_recording(triage, folder / "calm.flac", caller_channel="mono")
    assert (record.peak_level, record.escalated_s, record.first_escalation_s) == ("calm", 0.0, None)
    assert record.route == triage.call("any").route.queue
    assert record.peak_s is not None
    assert 0 < record.peak_s <= CALM_S


def test_no_speech(triage: Triage, folder: Path) -> None:
    """Without speech nothing is known: no score, no level, and above all no calm."""
    record = score_recording(triage, folder / "silence.wav", caller_channel="mono")
    assert (record.status, record.duration_s, record.speech_s) == ("no_speech", 5.0, 0.0)
    told = msgspec.structs.asdict(record)
    unknown = (
        "anger_mean",
        "anger_max",
        "distress_mean",
        "arousal_max",
        "peak_level",
        "peak_s",
        "escalated_s",
        "drivers",
    )
    assert all(told[name] is None for name in unknown)


def test_a_broken_file(triage: Triage, folder: Path) -> None:
    """A file that cannot be read is a record with its error and nothing else."""
    record = score_recording(triage, folder / "text.wav", caller_channel="mono")
    assert record.status == "error"
    assert record.error is not None
    assert "cannot be decoded" in record.error
    assert (record.duration_s, record.route, record.peak_level) == (None, None, None)


def test_a_file_that_breaks_half_way(triage: Triage, tmp_path: Path) -> None:
    """What was heard before a broken sample makes no record of its own: half a call is not a call."""
    samples = synthetic_speech(20.0, seed=1)
    samples[-100] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 8000, subtype="FLOAT")
    record = score_recording(triage, tmp_path / "nan.wav", caller_channel="mono")
    assert record.status == "error"
    assert record.anger_mean is None


def test_a_name_that_is_not_text(triage: Triage, tmp_path: Path) -> None:
    """A file name of bytes that are not UTF-8 makes a record that can be written."""
    path = tmp_path / "app\udce9l.wav"
    try:
        path.write_bytes(b"no audio")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes only UTF-8 names")
    for record in records_of(triage, [str(path)]):
        assert record.source.endswith(r"app\udce9l.wav")
        assert record.status == "error"
        assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


def test_notice_that_a_recording_cannot_prove(triage: Triage, folder: Path) -> None:
    """A policy that wants the notice played first scores no recordings."""
    told = Triage(triage.classifier, Policy.parse('[notice]\nmode = "required"'))
    with pytest.raises(PolicyError, match="a recording cannot tell when the notice was"):
        records_of(told, [str(folder / "calm.flac")])


# The caller's spans


def test_only_the_callers_spans_are_scored(triage: Triage, folder: Path, tmp_path: Path) -> None:
    """Of a mono file of both sides only the caller's spans count; the rest is lost audio."""
    spans = tmp_path / "spans.csv"
    spans.write_text(f"source,start_s,end_s\n{folder / 'angry.wav'},0,{CALM_S}\n")
    record = score_recording(triage, folder / "angry.wav", caller_channel=None, caller_spans=read_spans(spans))
    assert (record.status, record.peak_level, record.lost_s) == ("scored", "calm", ANGRY_S)


def test_a_recording_without_spans(triage: Triage, folder: Path, tmp_path: Path) -> None:
    """A recording of which the spans file says nothing is not scored."""
    spans = tmp_path / "spans.csv"
    spans.write_text("source,start_s,end_s\nanother.wav,0,1\n")
    record = score_recording(triage, folder / "calm.flac", caller_channel="mono", caller_spans=read_spans(spans))
    assert record.status == "error"
    assert record.error is not None
    assert "got no caller spans for it" in record.error


def test_spans_in_csv_and_json(tmp_path: Path) -> None:
    """CSV and JSON tell the same spans; a source is found beside the spans file."""
    rows = [("a.wav", 0.0, 1.5), ("a.wav", 2.0, 3.0), ("b.wav", 0.5, 1.0)]
    lines = [f"{source},{start},{end}" for source, start, end in rows]
    (tmp_path / "s.csv").write_text("\n".join(["source,start_s,end_s", *lines]))
    keys = ("source", "start_s", "end_s")
    (tmp_path / "s.json").write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    for name in ("s.csv", "s.json"):
        spans = read_spans(tmp_path / name)
        assert spans.of(str(tmp_path / "a.wav")) == ((0.0, 1.5), (2.0, 3.0))
        assert spans.of(str(tmp_path / "b.wav")) == ((0.5, 1.0),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.csv", "source,start\na.wav,1\n", "missing required field `start_s`"),
        ("s.csv", "source,start_s,end_s\na.wav,one,2\n", r"Expected `float`.*start_s"),
        ("s.json", "{", "got what is not caller spans"),
        ("s.json", '{"source": "a.wav"}', "Expected `array`"),
    ],
)
def test_bad_spans_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    """A spans file with a wrong column, number or form is refused, and told the right form."""
    (tmp_path / name).write_text(text)
    with pytest.raises(AudioError, match=message) as caught:
        read_spans(tmp_path / name)
    assert "source,start_s,end_s" in str(caught.value)
    with pytest.raises(AudioError, match="cannot be read"):
        read_spans(tmp_path / "missing.csv")


# Many recordings


def test_a_folder(triage: Triage, folder: Path, model: Path) -> None:
    """`score` takes a folder and gives a record each, in order, the broken one among them."""
    records = list(score([folder], caller_channel="mono", model=model, policy=triage.policy))
    assert [(Path(record.source).name, record.status) for record in records] == [
        ("angry.wav", "scored"),
        ("calm.flac", "scored"),
        ("silence.wav", "no_speech"),
        ("text.wav", "error"),
    ]


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers(triage: Triage, folder: Path, workers: int) -> None:
    """Records and their order are the same for any number of workers."""
    sources = find_recordings([folder])
    alone, together = (list(records_of(triage, sources, workers=n)) for n in (1, workers))
    assert alone == together


def test_records_come_one_by_one(triage: Triage, folder: Path) -> None:
    """Nothing is read before it is asked for."""

    def sources() -> Iterator[str]:
        yield str(folder / "calm.flac")
        raise AssertionError("read ahead")

    record = next(records_of(triage, sources()))
    assert record.peak_level == "calm"


# Workers


def test_an_item_that_kills_its_worker() -> None:
    """An item that ends its process twice is given up; every other item has its result, in order."""
    items = [f"{i} * {i}" for i in range(6)]
    items[2] = "__import__('os')._exit(9)"
    results = list(in_order(eval, items, workers=2, given_up=lambda item, reason: f"gave up {item}, {reason}"))
    assert results == [0, 1, f"gave up {items[2]}, dead", 9, 16, 25]


def test_a_worker_killed_once(tmp_path: Path) -> None:
    """An item whose worker was killed from outside is given to another."""
    seen = tmp_path / "seen"
    first = f"(open({str(seen)!r}, 'w').close(), __import__('os')._exit(9))"
    item = f"7 if __import__('os').path.exists({str(seen)!r}) else {first}"
    assert list(in_order(eval, [item, "1"], workers=2, given_up=str)) == [7, 1]


def test_what_a_worker_raises() -> None:
    """A fault that is nobody's death is raised here, and no worker is left."""
    with pytest.raises(ZeroDivisionError):
        list(in_order(eval, ["1", "1 / 0"], workers=2, given_up=str))
    assert multiprocessing.active_children() == []


def test_reading_ahead_is_bounded() -> None:
    """However many items there are, only so many are read before a result is taken, and stopping ends the workers."""
    read = []

    def items() -> Iterator[str]:
        for i in range(1000):
            read.append(i)
            yield str(i)

    results = in_order(eval, items(), workers=2, given_up=str)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(read) <= 3 + 2 * READ_AHEAD
    results.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


# What to score


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.WAV", "notes.txt", ".hidden.wav", "deep/er/c.opus", "deep/d.mp3"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_folders_and_globs(tree: Path) -> None:
    """A folder gives the audio in it and below; a glob what it matches; nothing comes twice."""

    def names(*paths: str) -> list[str]:
        return [str(Path(found).relative_to(tree)) for found in find_recordings([tree / path for path in paths])]

    assert names(".") == ["a.WAV", "b.wav", "deep/d.mp3", "deep/er/c.opus"]
    assert names("**/*.mp3") == ["deep/d.mp3"]
    assert names("*.wav", ".", "b.wav") == ["b.wav", "a.WAV", "deep/d.mp3", "deep/er/c.opus"]
    assert names("notes.txt") == ["notes.txt"]
    assert names("de*") == ["deep/d.mp3", "deep/er/c.opus"]


def test_a_name_with_magic_in_it(tree: Path) -> None:
    """A file whose name looks like a glob is itself."""
    (tree / "call[1].wav").touch()
    assert find_recordings([tree / "call[1].wav"]) == [str(tree / "call[1].wav")]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.wav", "no such file or folder"),
        ("*.flac", "a pattern that matches nothing"),
        ("empty", "a folder without recordings"),
    ],
)
def test_nothing_to_score(tree: Path, path: str, message: str) -> None:
    """A path that leads to no recording is an error that names it."""
    (tree / "empty").mkdir()
    with pytest.raises(AudioError, match=message) as caught:
        find_recordings([tree / path])
    assert str(tree / path) in str(caught.value)


def test_one_missing_among_others(tree: Path) -> None:
    """A file gone from a list stops nothing: it becomes a record with its error."""
    assert len(find_recordings([tree / "b.wav", tree / "gone.wav"])) == 2
