"""FreeSWITCH's forks, message by message."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import Audio, Ended, Started
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


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        ([b"\x00\x00"], "audio before the metadata"),
        (["no json"], "not as its protocol says"),
        (["[]"], "not as its protocol says"),
        (["{}"], "without call_id"),
        (['{"call_id": "a", "caller": 33123456789}'], "values that are not text"),
        (['{"call_id": ""}'], "a name that is empty"),
        ([METADATA, b""], "0 bytes of audio"),
        ([METADATA, bytes(6)], "whole samples of 4"),
        ([METADATA, bytes(10_000_000)], "10000000 bytes"),
        ([METADATA, "x" * 70000], "70000 bytes"),
    ],
)
def test_what_breaks_the_protocol_is_refused(messages: list[bytes | str], word: str) -> None:
    """Every wrong order, length and field raises one WireError that names it and shows no number."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=0)
    with pytest.raises(WireError, match=word) as raised:
        [event for message in messages for event in wire.receive(message)]
    assert "33123456789" not in str(raised.value)


def test_nothing_comes_after_the_end() -> None:
    """A message after the end is refused."""
    wire = FreeSwitch(sample_rate_hz=8000, mix="mono")
    list(wire.end())
    with pytest.raises(WireError, match="after the end"):
        list(wire.receive(METADATA))
