"""FreeSWITCH's forks, message by message."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import Audio, Dropped, Ended, Started
from emotion_triage.errors import WireError

METADATA = json.dumps({"call_id": "7f1c-42", "caller": "+33123456789", "line": "sales"})


def test_a_mono_call() -> None:
    """Metadata, raw L16 and a closed connection are a call; its metadata is given and not shown."""
    wire = FreeSwitch(sample_rate_hz=16000, mix="mono")
    (started,) = wire.receive(METADATA)
    assert isinstance(started, Started)
    assert (started.call_id, started.encoding, started.sample_rate_hz) == ("7f1c-42", "pcm16", 16000)
    assert started.caller is not None
    assert started.caller.reveal() == "+33123456789"
    assert started.parameters.reveal() == {"line": "sales"}
    assert "33123456789" not in repr(started)
    assert list(wire.receive(b"\x01\x02")) == [Audio(payload=b"\x01\x02")]
    assert list(wire.receive("text of the application")) == []
    assert list(wire.end()) == [Ended(reason="hangup")]
    assert list(wire.end()) == []


@pytest.mark.parametrize("channel", [0, 1])
def test_of_stereo_the_named_channel_alone_is_heard(channel: int) -> None:
    """No sample of the other channel passes."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=channel)
    list(wire.receive(METADATA))
    both = np.stack([np.arange(160), -np.arange(160) - 1], axis=1).astype("<i2")
    (audio,) = wire.receive(both.tobytes())
    assert isinstance(audio, Audio)
    assert np.array_equal(np.frombuffer(audio.payload, "<i2"), both[:, channel])


@pytest.mark.parametrize(
    ("rate_hz", "mix", "channel", "word"),
    [
        (8000, "mixed", None, "agent's voice"),
        (8000, "mixed", 0, "agent's voice"),
        (8000, "stereo", None, "name the caller's channel"),
        (8000, "stereo", 2, "name the caller's channel"),
        (8000, "mono", 0, "none for mono"),
        (11025, "mono", None, "expected 8000 or 16000"),
    ],
)
def test_what_could_let_the_agent_in_is_refused(rate_hz: int, mix: str, channel: int | None, word: str) -> None:
    """A mix of both sides, and stereo without a named channel, cannot be asked for."""
    with pytest.raises(WireError, match=word):
        FreeSwitch(sample_rate_hz=rate_hz, mix=mix, caller_channel=channel)


def test_a_call_needs_a_name() -> None:
    """Metadata with an empty name of the call raises a WireError: nothing could be told of it."""
    with pytest.raises(WireError, match="a name that is empty"):
        list(FreeSwitch(sample_rate_hz=8000, mix="mono").receive('{"call_id": ""}'))


NO_METADATA = Dropped(why="unreadable", what="metadata that is no JSON object with call_id")


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '"7f1c"', "caller_number", '{"call_id": null}', '{"uuid": 1}'])
def test_text_that_is_no_metadata_is_passed_over(text: str) -> None:
    """The call begins with the first text that is its metadata, whatever came before."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="mono")
    events = [event for message in (text, METADATA, bytes(320)) for event in wire.receive(message)]
    assert events[0] == NO_METADATA
    assert [type(event) for event in events[1:]] == [Started, Audio]


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (b"", Dropped(why="empty", what="audio of 0 bytes")),
        (bytes(6), Dropped(why="unreadable", what="6 bytes of audio in samples of 4")),
        pytest.param(
            bytes(10_000_000),
            Dropped(why="unreadable", what="a message of 10000000 bytes, more than 65536"),
            id="long",
        ),
        pytest.param(
            "x" * 70000, Dropped(why="unreadable", what="a message of 70000 bytes, more than 65536"), id="long text"
        ),
    ],
)
@pytest.mark.parametrize("started", [True, False], ids=["during the call", "before it"])
def test_what_is_not_understood_is_passed_over(message: bytes | str, dropped: Dropped, started: bool) -> None:
    """Any message that is not understood is counted, and the call is heard before and after."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=0)
    messages = [METADATA, message, bytes(4)] if started else [message, METADATA, bytes(4)]
    events = [event for each in messages for event in wire.receive(each)]
    assert events.count(dropped) == 1
    assert [type(event) for event in events if event != dropped] == [Started, Audio]


@pytest.mark.parametrize("n_early", [1, 3, 50])
def test_audio_ahead_of_the_metadata_is_kept(n_early: int) -> None:
    """Frames that come before the metadata are heard first, of stereo the caller's channel alone."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=1)
    early = [np.array([[i, i + 1000]] * 160, "<i2") for i in range(n_early)]
    events = [event for each in [*(frame.tobytes() for frame in early), METADATA] for event in wire.receive(each)]
    assert isinstance(events[0], Started)
    assert events[1:] == [Audio(payload=frame[:, 1].tobytes()) for frame in early]


def test_audio_that_never_gets_metadata_is_counted() -> None:
    """No more than a second is kept, and the count says what is missing."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="mono")
    events = [event for _ in range(60) for event in wire.receive(bytes(320))]
    assert events == [Dropped(why="early", what="audio before metadata with call_id; add it to the command")] * 10


def test_metadata_is_taken_as_it_is() -> None:
    """Numbers, null and nested values are no reason to hear nothing."""
    odd = {"call_id": 42, "caller": None, "age": 1, "vip": True, "tags": ["a"], "note": None}
    (started,) = FreeSwitch(sample_rate_hz=8000, mix="mono").receive(json.dumps(odd))
    assert isinstance(started, Started)
    assert (started.call_id, started.caller) == ("42", None)
    assert started.parameters.reveal() == {"age": "1", "vip": "true", "tags": '["a"]'}


def test_nothing_is_heard_after_the_end() -> None:
    """A message after the end is counted."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="mono")
    list(wire.end())
    assert list(wire.receive(METADATA)) == [Dropped(why="stray", what="a message after the end")]
