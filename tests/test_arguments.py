"""Whatever is passed to a public function, what comes out is the library's own error, or nothing at all."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile

import emotion_triage as et
from emotion_triage.adapters.protocol import Started
from emotion_triage.affect.affect import describe, describe_fall
from emotion_triage.audio.decoding import Headerless
from emotion_triage.audio.recordings import open_recording
from emotion_triage.audio.stream import AudioStream
from emotion_triage.batch import scoring
from emotion_triage.batch.feature_table import check_table_path
from emotion_triage.batch.inputs import find, read_spans
from emotion_triage.batch.manifests import find_manifest, read_manifest
from emotion_triage.batch.measurements import measure
from emotion_triage.batch.options import ScoringOptions
from emotion_triage.batch.result_file import RecordFile, events_path, read_records, read_timelines
from emotion_triage.calibration.fit import calibrate, compare
from emotion_triage.calibration.labelled import Labelled, read_labelled
from emotion_triage.call.sharding import Shards
from emotion_triage.destinations.fields import text_fields
from emotion_triage.proportions import wilson
from emotion_triage.report.pages import write_report
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.synthesis import sounds
from emotion_triage.synthesis.speech import synthetic_speech
from emotion_triage.texts import clock, day_and_time, number

pytest.importorskip("sqlalchemy")
from emotion_triage.ledger.labelled import packed
from emotion_triage.ledger.log_events import Override

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
CALLER = "+33123456789"
NAIVE = datetime(2026, 3, 2, 10)
JUNK: dict[str, object] = {
    "None": None,
    "empty": "",
    "3": 3,
    "x": "x",
    "nul": "\0",
    "nan": float("nan"),
    "inf": float("inf"),
    "-1": -1,
    "1.5": 1.5,
    "huge": 10**400,
    "True": True,
    "bytes": b"x",
    "list": [],
    "list of None": [None],
    "tuple": (),
    "dict": {},
    "object": object(),
    "empty array": np.zeros(0),
    "array of texts": np.array(["a"]),
    "complex array": np.zeros((2, 3), complex),
    "naive datetime": NAIVE,
}
RESTRICTION: dict[str, Any] = {
    "kind": "callback_only",
    "decided_by": "m",
    "reason": "r",
    "until": AT + timedelta(days=3),
    "review_at": AT + timedelta(days=2),
}
CONTACT: dict[str, Any] = {
    "contact_id": "c-1",
    "caller": CALLER,
    "agent_id": "a",
    "started_at": AT,
    "duration_s": 3.0,
    "queue": "q",
    "peak": et.Level.CALM,
    "escalated_s": 1.0,
    "drivers": ("loudness",),
    "disposition": et.Disposition.OK,
    "language": "fr",
    "line_type": "mobile",
    "gender": "f",
}


class Case(NamedTuple):
    """A public function, and arguments that it takes."""

    name: str
    function: Callable[..., object]
    arguments: Mapping[str, Any]


def to_the_end(function: Callable[..., Iterator[object]]) -> Callable[..., object]:
    """Run a generator to its end, so that its checks are met wherever they are."""
    return lambda **arguments: list(function(**arguments))


def pushed(triage: et.Triage, encoding: Any, **arguments: Any) -> object:
    """Push a chunk to a new call."""
    return triage.call("c", encoding=encoding).push(**arguments)


def library_cases(triage: et.Triage, folder: Path) -> Iterator[Case]:
    """The functions that need no ledger."""
    wav, numbers = folder / "call.wav", itertools.count()
    soundfile.write(wav, np.zeros(8000), 8000)
    tables = {
        "manifest.csv": "source\ncall.wav\n",
        "spans.csv": "source,start_s,end_s\ncall.wav,0,1\n",
        "labelled.csv": "caller,angry,anger,anger_alone\na,yes,0.5,0.2\n",
    }
    for name, text in tables.items():
        (folder / name).write_text(text)
    record = scoring.score_recording(triage, wav, caller_channel="mono")
    digests = {"model_digest": record.model_digest, "policy_digest": record.policy_digest}
    scores = folder / "scores.jsonl"

    def write(**arguments: Any) -> None:
        name = arguments.pop("path")
        if name is None:
            name = folder / f"{next(numbers)}.jsonl"
        with RecordFile(name, **arguments) as file:
            file.append(record)
            file.finish()

    write(path=scores, mode="new", caller_channel="mono", **digests)
    options = ScoringOptions(caller_channel="mono")
    rng = np.random.default_rng(0)
    windows = Labelled(np.arange(400) // 10, rng.random(400) < 0.5, rng.normal(size=400), rng.normal(size=400))
    call: dict[str, Any] = {"encoding": "mulaw", "sample_rate_hz": 8000, "standing": None, "objection": False}
    driver = et.Driver(name="loudness", change=1.0, unit="dB", reference="caller", weight=1.0)
    change = et.Escalation(
        time_s=1.0, level=et.Level.CALM, previous=et.Level.TENSE, score=0.1, held_s=1.0, cause="silence"
    )
    fits: dict[str, Any] = {"windows": windows, "false_alarm_rate": 0.1}

    yield Case("Triage.load", et.Triage.load, {"model": None, "policy": None})
    yield Case("Triage", et.Triage, {"classifier": triage.classifier, "policy": triage.policy})
    yield Case("Triage.call", triage.call, {"call_id": "c", **call})
    yield Case("Triage.push_many", triage.push_many, {"chunks": [(triage.call("c"), b"\xff" * 160)]})
    yield Case("Call", et.Call, {"triage": triage, "call_id": "c", **call})
    for encoding, audio in (("mulaw", b"\xff" * 160), ("float32", np.zeros(160, np.float32))):
        yield Case(f"Call.push {encoding}", partial(pushed, triage, encoding), {"chunk": audio, "at": 0})
    yield Case("Call.advance", lambda **a: triage.call("c").advance(**a), {"to": 160})
    yield Case("Policy.load", et.Policy.load, {"path": None})
    yield Case("Policy.parse", et.Policy.parse, {"text": "", "source": "p"})
    scored: dict[str, Any] = {"caller_channel": "mono", "caller_spans": None, "language": "en"}
    yield Case("score", to_the_end(et.score), {"paths": [wav], "model": None, "policy": None, "workers": 1, **scored})
    yield Case("score_recording", scoring.score_recording, {"triage": triage, "source": wav, **scored})
    yield Case("run_one", scoring.run_one, {"triage": triage, "options": options, "source": str(wav)})
    yield Case("call_of_recording", scoring.call_of_recording, {"triage": triage})
    events = {"call": triage.call("c", encoding="float32"), "blocks": [], "end_s": 0.0}
    yield Case("events_of", to_the_end(scoring.events_of), events)
    yield Case("refuse_unknown_notice", scoring.refuse_unknown_notice, {"policy": triage.policy})
    run = {"triage": triage, "options": options, "sources": [str(wav)], "workers": 1, "max_memory_mib": None}
    yield Case("run_locally", scoring.run_locally, run)
    set_: dict[str, Any] = {"channels": {}, "headerless": None, "max_seconds": None, "timeline": None}
    yield Case("ScoringOptions", ScoringOptions, {**scored, **set_})
    opened_as: dict[str, Any] = {"path": wav, "caller_channel": "mono", "caller_spans": None, "headerless": None}
    yield Case("open_recording", open_recording, opened_as)
    yield Case("spans", open_recording, {**opened_as, "caller_channel": None, "caller_spans": [(0.0, 0.5)]})
    recording = open_recording(wav, caller_channel="mono")
    yield Case("Recording.blocks", lambda **a: list(recording.blocks(**a)), {"block_s": 1.0})
    yield Case("measure", to_the_end(measure), {"recording": recording})
    yield Case("Headerless", Headerless, {"encoding": "mulaw", "sample_rate_hz": 8000})
    yield Case("AudioStream", AudioStream, {"encoding": "mulaw", "sample_rate_hz": 8000})
    yield Case("find", find, {"paths": [wav], "headerless": False})
    yield Case("read_spans", read_spans, {"path": folder / "spans.csv"})
    yield Case("read_manifest", read_manifest, {"path": str(folder / "manifest.csv")})
    yield Case("find_manifest", find_manifest, {"paths": ["manifest.csv"]})
    file: dict[str, Any] = {"path": None, "mode": "new", "caller_channel": "mono", "channels": {}, "events": False}
    yield Case("RecordFile", write, {**file, **digests, "partition_by": None})
    yield Case("read_records", to_the_end(read_records), {"path": scores})
    yield Case("read_timelines", to_the_end(read_timelines), {"path": scores})
    yield Case("events_path", events_path, {"path": scores})
    yield Case("check_table_path", check_table_path, {"path": "a.csv"})
    report = {"scores": scores, "out": folder / "report", "language": "en", "recording_link": ""}
    yield Case("write_report", to_the_end(write_report), report)
    yield Case("read_labelled", read_labelled, {"path": folder / "labelled.csv"})
    yield Case("calibrate", calibrate, fits)
    yield Case("compare", compare, {**fits, "policy": triage.policy.escalation, "seed": 0})
    yield Case("Shards", Shards, {"n_shards": -2})
    yield Case("clock", clock, {"time_s": 3.0, "decimals": 1})
    yield Case("day_and_time", day_and_time, {"started_at": "2026-12-17T14:05:00", "language": "en"})
    yield Case("number", number, {"value": 3.0, "decimals": 1, "language": "fr"})
    yield Case("wilson", wilson, {"count": 1, "of": 2})
    voice = {"duration_s": 0.5, "mood": "calm", "voice": "female", "seed": 1}
    yield Case("synthetic_speech", synthetic_speech, voice)
    for made in (sounds.clipped_noise, sounds.comfort_noise, sounds.drums, sounds.hold_music):
        yield Case(made.__name__, made, {"duration_s": 0.5, "seed": 1})
    yield Case("hum", sounds.hum, {"mains_hz": 50, "duration_s": 0.5, "level_dbfs": -30.0})
    yield Case("tone", sounds.tone, {"frequency_hz": 400.0, "duration_s": 0.5, "level_dbfs": -20.0})
    yield Case("dtmf", sounds.dtmf, {"digits": "12", "tone_s": 0.1, "gap_s": 0.1})
    yield Case("Driver.text", driver.text, {"language": "en"})
    yield Case("describe", describe, {"drivers": (driver,), "language": "fr"})
    yield Case("describe_fall", describe_fall, {"drivers": (driver,), "language": "fr"})
    yield Case("Escalation.reason", change.reason, {"language": "fr"})
    yield Case("Suggestions.text", triage.policy.suggestions.text, {"level": et.Level.CALM, "language": "en"})
    yield Case("safe_call_id", safe_call_id, {"call_id": "c"})
    started = Started(call_id="a", encoding="mulaw", sample_rate_hz=8000)
    yield Case("Started.open", started.open, {"triage": triage, "standing": None, "objection": False})
    yield Case("text_fields", text_fields, {"route": triage.call("c").route})
    restriction = et.Restriction(**RESTRICTION | {"kind": "block"})
    yield Case("notice", triage.policy.protection.notice, {"restriction": restriction, "language": "fr"})
    yield Case("unranked", triage.policy.protection.unranked, {"agents": ["a"], "problem": "x"})


def ledger_cases(triage: et.Triage, folder: Path) -> Iterator[Case]:
    """Everything that a ledger does."""
    url, policy, key, numbers = f"sqlite:///{folder}/ledger.db", triage.policy, b"0" * 32, itertools.count()
    ledger = et.Ledger.open(url, policy=policy, key=key)
    contact = et.Contact(**CONTACT)
    ledger.record(contact, at=AT)
    ledger.restrict(CALLER, et.Restriction(**RESTRICTION), at=AT)
    at, who = {"at": AT}, {"by": "m", "reason": "r", "at": AT}

    def open_(**arguments: Any) -> None:
        et.Ledger.open(**arguments).close()

    def record(**fields: Any) -> None:
        if fields["contact_id"] is CONTACT["contact_id"]:
            fields["contact_id"] = f"n-{next(numbers)}"
        ledger.record(et.Contact(**fields), at=AT)

    yield Case("Ledger.open", open_, {"url": url, "policy": policy, "key": key, "previous_keys": ()})
    yield Case("Ledger.standing", ledger.standing, {"caller": CALLER, "queue": None, **at})
    asked: dict[str, Any] = {"agents": ["a"], "caller": None, "level": et.Level.CALM, "queue": None}
    yield Case("Ledger.eligible", ledger.eligible, {**asked, **at})
    yield Case("Ledger.exposure", ledger.exposure, {"agent_id": "a", **at})
    yield Case("Ledger.reviews", ledger.reviews, at)
    yield Case("Ledger.export", ledger.export, {"caller": CALLER, **at})
    yield Case("Ledger.log_all", ledger.log_all, {"decisions": []})
    yield Case("Ledger.record", ledger.record, {"contact": contact, **at})
    yield Case("Contact", record, CONTACT)
    yield Case("Ledger.require_contact", ledger.require_contact, {"contact_id": "c-1"})
    yield Case("Ledger.void", ledger.void, {"contact_id": "c-9", **who})
    yield Case("Ledger.verdict", ledger.verdict, {"contact_id": "c-1", "abusive": True, **who})
    outcome = {"contact_id": "c-1", "survey": 3.0, "false_alarm": True, "by": "m"}
    yield Case("Ledger.outcome", ledger.outcome, {**outcome, **at})
    restriction = et.Restriction(**RESTRICTION)
    yield Case("Ledger.restrict", ledger.restrict, {"caller": CALLER, "restriction": restriction, **at})
    fields = {**RESTRICTION, "restriction_id": "r"}
    yield Case("Restriction", lambda **a: ledger.restrict(CALLER, et.Restriction(**a), at=AT), fields)
    yield Case("Ledger.lift", ledger.lift, {"caller": CALLER, **who})
    yield Case("Ledger.appeal", ledger.appeal, {"caller": CALLER, "by": "m", "text": "t", **at})
    yield Case("Ledger.object_to_scoring", ledger.object_to_scoring, {"caller": CALLER, **at})
    yield Case("Ledger.withdraw_objection", ledger.withdraw_objection, {"caller": CALLER, **at})
    yield Case("Ledger.forget", ledger.forget, {"caller": "+33100000000", **who})
    logged = {"noted": triage.call("c").route, "call_id": "c-1", "caller": None, "model_digest": None}
    yield Case("Ledger.log", ledger.log, {**logged, **at})
    override = {"by": "m", "reason": "r", "recommended": "a", "queue": "b"}
    yield Case("Override", lambda **a: ledger.log(Override(**a), call_id="c-1", at=AT), override)
    kept = {"windows": np.zeros((1, 5), np.float32), "model_digest": "a"}
    yield Case("packed", packed, kept)
    yield Case("Ledger.keep_windows", ledger.keep_windows, {"contact_id": "c-1", **kept, **at})
    yield Case("Ledger.labelled_windows", to_the_end(ledger.labelled_windows), {"model_digest": "a"})
    yield Case("Ledger.purge", ledger.purge, {"most_idle_days": 183.0, **at})
    yield Case("Ledger.rotate_key", ledger.rotate_key, {"key": b"1" * 8, "by": "m", **at})


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("cases", [library_cases, ledger_cases])
def test_junk_is_refused_in_our_own_words(
    cases: Callable[[et.Triage, Path], Iterator[Case]],
    triage: et.Triage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each argument of each public function takes junk, or refuses it by an error of the library."""
    monkeypatch.chdir(tmp_path)
    foreign, silent = [], []
    for name, function, arguments in cases(triage, tmp_path):
        for argument, (word, junk) in itertools.product(arguments, JUNK.items()):
            try:
                function(**{**arguments, argument: junk})
            except et.TriageError as error:
                if "expected" not in str(error) and len(str(error)) < 20:
                    silent.append(f"{name}({argument}={word}): {error}")
            except Exception as error:
                foreign.append(f"{name}({argument}={word}): {error!r}")
    assert not foreign
    assert not silent


SECONDS: dict[str, Callable[[float], object]] = {
    "ScoringOptions.max_seconds": lambda s: ScoringOptions(caller_channel="mono", max_seconds=s),
    "synthetic_speech": lambda s: synthetic_speech(s, seed=1),
    "tone": lambda s: sounds.tone(400.0, s),
    "dtmf.tone_s": lambda s: sounds.dtmf("1", tone_s=s),
    "dtmf.gap_s": lambda s: sounds.dtmf("1", gap_s=s),
    "comfort_noise": lambda s: sounds.comfort_noise(s, seed=1),
    "hold_music": lambda s: sounds.hold_music(s, seed=1),
    "drums": lambda s: sounds.drums(s, seed=1),
    "clock": clock,
}


@pytest.mark.parametrize("function", SECONDS.values(), ids=SECONDS)
@pytest.mark.parametrize("seconds", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_seconds_are_finite(function: Callable[[float], object], seconds: float) -> None:
    """No length of time is infinite or NaN."""
    with pytest.raises(et.ArgumentError, match="expected"):
        function(seconds)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0, 10**400])
@pytest.mark.parametrize("field", ["duration_s", "escalated_s"])
def test_a_contacts_seconds_are_finite(triage: et.Triage, tmp_path: Path, field: str, seconds: float) -> None:
    """The ledger keeps no contact of infinite or negative length."""
    with et.Ledger.open(f"sqlite:///{tmp_path}/l.db", policy=triage.policy, key=b"0" * 32) as ledger:
        with pytest.raises(et.LedgerError, match="expected"):
            ledger.record(et.Contact(**{**CONTACT, field: seconds}))
        assert ledger.reviews(at=AT) == ()


def test_what_names_and_numbers_say(triage: et.Triage) -> None:
    """The first words that users met: each says what was got, what was expected, and what to do."""
    options: Any = ScoringOptions(caller_channel="mono")
    for function, message in (
        (lambda: et.Triage.load(policy=3), r"policy: got 3 \(int\), expected a path, a str or a Path"),
        (lambda: triage.call("c", objection="no"), r"objection: got 'no' \(str\), expected True or False"),
        (lambda: triage.push_many(None), r"chunks: got None, expected a Sequence; give a list of \(call, chunk\)"),
        (
            lambda: scoring.run_locally(triage, options, [], workers="2"),
            r"workers: got '2' \(str\), expected 1 or more",
        ),
    ):
        with pytest.raises(et.TriageError, match=message):
            function()


def test_a_contact_as_people_write_it(triage: et.Triage, tmp_path: Path) -> None:
    """A disposition may be its name, and numbers those of numpy: what is kept reads as if written with members."""
    with et.Ledger.open(f"sqlite:///{tmp_path}/l.db", policy=triage.policy, key=b"0" * 32) as ledger:
        ledger.record(et.Contact(**{**CONTACT, "disposition": "ABUSE", "duration_s": np.float64(3.0)}), at=AT)
        ledger.record(et.Contact(**{**CONTACT, "disposition": et.Disposition.ABUSE}), at=AT)
        assert ledger.standing(CALLER, at=AT + timedelta(hours=1)).abusive_contacts == 1
