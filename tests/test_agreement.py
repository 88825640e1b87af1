"""The command line and the library agree with themselves: one name a thing, and errors that say what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner

import emotion_triage as et
from emotion_triage import errors
from emotion_triage.audio.stream import ENCODINGS, Encoding
from emotion_triage.batch import dask, scoring
from emotion_triage.batch.append_log import rows_of_file
from emotion_triage.batch.record import Record
from emotion_triage.cli.app import app
from emotion_triage.errors import ArgumentError, AudioError, PolicyError, PushError, StreamError, TriageError
from emotion_triage.routing.contacts import Contact
from emotion_triage.routing.policy import PRESETS
from emotion_triage.routing.standing import StandingState
from emotion_triage.settings import explained


@pytest.fixture(scope="module")
def triage() -> et.Triage:
    return et.Triage.load()


def commands(group: click.Command, name: str = "") -> dict[str, click.Command]:
    """Every command, by its words."""
    if not isinstance(group, click.Group) and not hasattr(group, "commands"):
        return {name: group}
    found: dict[str, click.Command] = {}
    for word, command in group.commands.items():  # type: ignore[attr-defined]
        found |= commands(command, f"{name} {word}".strip())
    return found


COMMANDS = commands(typer.main.get_command(app))


def test_an_option_of_one_name_means_the_same_everywhere() -> None:
    """No parameter has two option names, and no option name has two parameters."""
    names: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                names.setdefault(parameter.name or "", set()).add("/".join(parameter.opts + parameter.secondary_opts))
    assert {name: opts for name, opts in names.items() if len(opts) > 1} == {}
    every = [opts for each in names.values() for opts in each]
    assert len(every) == len(set(every))
    assert names["language"] == {"--language"}


@pytest.mark.parametrize("command", ["policy check", "policy explain", "model show"])
def test_what_a_command_is_about_is_its_argument(command: str) -> None:
    """`policy` and `model` take what they look at as an argument, each of them."""
    kinds = {parameter.name: parameter.param_type_name for parameter in COMMANDS[command].params}
    assert kinds[f"{command.split()[0]}_path"] == "argument"


def test_policy_commands_take_a_preset_or_a_file(tmp_path: Path) -> None:
    """A preset's name and a file's path both do, in both commands."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"')
    for policy in ("eager", str(file)):
        for command in ("check", "explain"):
            assert CliRunner().invoke(app, ["policy", command, policy]).exit_code == 0


def test_an_outcome_says_in_plain_words_whether_the_alarm_was_false() -> None:
    """The flag's name says what it records: a false alarm, or a real one."""
    option = next(each for each in COMMANDS["ledger outcome"].params if each.name == "false_alarm")
    assert (option.opts, option.secondary_opts) == (["--false-alarm"], ["--real-alarm"])


def test_two_functions_score_and_engines_run() -> None:
    """A user meets `score` and `score_recording` alone; what runs them has another verb."""
    public = [name for name in [*scoring.__all__, *dask.__all__] if name.startswith("score")]
    assert sorted(public) == ["score", "score_recording"]


@pytest.mark.parametrize("kind", [str, Path])
def test_one_path_is_one_recording(kind: Callable[[str], Any], tmp_path: Path) -> None:
    """`score` takes a path as well as several, and never the letters of one."""
    file = tmp_path / "call.wav"
    soundfile.write(file, np.zeros(8000), 8000)
    assert [record.source for record in et.score(kind(str(file)), caller_channel="mono")] == [str(file)]


@pytest.mark.parametrize("paths", [None, 3, [3], [b"call.wav", 4]])
def test_what_is_no_path_is_refused_by_name(paths: Any) -> None:
    """What is no path says what was got, as an error of the library."""
    with pytest.raises(ArgumentError, match=r"paths: got .*, expected a path or several"):
        et.score(paths, caller_channel="left")


def test_the_encodings_that_a_type_checker_knows_are_those_that_are_taken(triage: et.Triage) -> None:
    """`Encoding` is a Literal of what `Triage.call` takes, so that "ulaw" fails before it runs."""
    assert get_args(Encoding) == ENCODINGS
    assert et.Triage.call.__annotations__["encoding"] == "Encoding"
    for encoding in ENCODINGS:
        triage.call("c", encoding=encoding)
    for wrong in ("ulaw", None, []):
        with pytest.raises(AudioError, match="expected one of mulaw, alaw, pcm16, float32"):
            triage.call("c", encoding=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("standing", ["watch", "clear", StandingState.WATCH, "no state", 3, {"state": "watch"}])
def test_a_standing_that_is_none_says_what_was_expected(standing: Any, triage: et.Triage) -> None:
    """The name of a state, or anything else, is answered with the fix; never a bare AttributeError."""
    with pytest.raises(ArgumentError, match=r"standing: got .*, expected a Standing or None; .*Ledger\.standing"):
        triage.call("c", standing=standing)


def test_the_name_of_a_state_is_answered_with_the_standing_to_write(triage: et.Triage) -> None:
    """Who passes "watch" reads how to write it."""
    with pytest.raises(ArgumentError, match=r"StandingState\.WATCH"):
        triage.call("c", standing="watch")  # type: ignore[arg-type]


@pytest.mark.parametrize("at", ["x", 1.5, "160", b"1", object()])
def test_a_stream_index_that_is_none_leaves_the_call_as_it_was(at: Any, triage: et.Triage) -> None:
    """`at` and `to` must be whole numbers; a fraction once left the call between two samples."""
    call = triage.call("c")
    call.push(b"\xff" * 160)
    with pytest.raises(ArgumentError, match=r"at: got .*, expected a stream index"):
        call.push(b"\xff" * 160, at=at)
    with pytest.raises(ArgumentError, match=r"to: got .*, expected a stream index"):
        call.advance(at)
    assert call.position_s == 0.02
    call.push(b"\xff" * 160, at=np.int64(160))  # type: ignore[arg-type]
    with pytest.raises(StreamError):
        call.push(b"\xff" * 160, at=0)


def test_what_is_no_call_is_named_and_the_others_are_scored(triage: et.Triage) -> None:
    """`push_many` says which item is no call."""
    with pytest.raises(PushError, match="at 1: got 'call-1', expected a Call"):
        triage.push_many([(triage.call("a"), b""), ("call-1", b"")])  # type: ignore[list-item]


@pytest.mark.parametrize(("name", "guess"), [("agressive", None), ("balnced", "balanced"), ("Eager", "eager")])
def test_a_name_that_is_no_preset_is_answered_with_the_presets(name: str, guess: str | None) -> None:
    """A misspelt preset names the presets, and the likely one."""
    with pytest.raises(PolicyError, match=", ".join(PRESETS)) as raised:
        et.Policy.load(name)
    assert guess is None or f"did you mean {guess}?" in str(raised.value)


def test_a_choice_that_is_none_lists_the_choices_and_not_the_value() -> None:
    """Where msgspec says only "Invalid enum value", the message lists what it could be."""
    body = {"contact_id": "c", "caller": None, "agent_id": "a", "started_at": "2026-03-02T10:00:00Z"}
    for wrong in ("SECRET", "abus"):
        with pytest.raises(msgspec.ValidationError) as raised:
            msgspec.convert({**body, "duration_s": 1.0, "disposition": wrong}, Contact)
        said = explained(raised.value, Contact)
        assert said.startswith("disposition: expected one of ")
        assert all(choice.value in said for choice in et.Disposition)
        assert wrong not in said.partition("one of")[0]


def test_a_record_with_a_choice_of_another_version_lists_the_choices(tmp_path: Path) -> None:
    """A file of records whose status is unknown says which there are."""
    line = json.dumps({"source": "a", "status": "lost", "model_digest": "", "policy_digest": ""})
    (tmp_path / "scores.jsonl").write_text(line + "\n")
    with pytest.raises(TriageError, match="status: expected one of error, no_speech, scored"):
        list(rows_of_file(tmp_path / "scores.jsonl", Record))


@pytest.mark.parametrize("at", ["2026-03-02", 3, date(2026, 3, 2), datetime(2026, 3, 2)])
def test_a_time_that_is_none_says_what_was_expected(at: Any, tmp_path: Path, triage: et.Triage) -> None:
    """The ledger's `at` is a datetime with a time zone; all else is answered so."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    with et.Ledger.open(url, policy=triage.policy, key=b"0" * 32) as ledger:
        for ask in (ledger.reviews, lambda at: ledger.exposure("a-1", at=at)):
            with pytest.raises(et.LedgerError, match=r"at: got .*, expected .*datetime\.now\(timezone\.utc\)"):
                ask(at=at)
        assert ledger.exposure("a-1", at=datetime(2026, 3, 2, tzinfo=UTC)).abusive_contacts == 0


def test_an_editor_sees_every_public_name() -> None:
    """`dir(emotion_triage)` lists what can be reached, errors among it, before anything of it was loaded."""
    assert set(et.__all__) <= set(dir(et))
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, TriageError)}
    assert raised <= set(et.__all__)
