"""Coverage-guided fuzzing of one parser: ``python tests/fuzz_wire.py audiosocket --seconds 600``.

Whatever comes, a parser may yield events and raise `WireError`, nothing else. Needs atheris; pytest does not run it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emotion_triage.adapters.audiohook import AudioHook
from emotion_triage.adapters.audiohook_signature import Nonces, Upgrade, verify
from emotion_triage.adapters.audiosocket import AudioSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import SAMPLE_BYTES, Audio, Digit, Ended, Hidden, Passed, Started, Wire
from emotion_triage.adapters.rtp import Rtp
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.errors import WireError

SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
UPGRADE = Upgrade(organization_id="d7934305", session_id=SESSION, correlation_id="e160e428")
NUMBER = "33123456789"
END = b"\n~~~\n"
"""Parts one message from the next in a fuzzed input; one that is UTF-8 comes as text, unless it begins with ``~``."""


def audiohook(kind: str, seq: int, **parameters: Any) -> bytes:
    head = {"version": "2", "id": SESSION, "type": kind, "seq": seq, "serverseq": 0, "position": "PT1.5S"}
    return json.dumps(head | {"parameters": parameters}).encode()


MEDIA = {"type": "audio", "format": "PCMU", "channels": ["external"], "rate": 8000}
FORM = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
TELNYX = {"call_control_id": "v2:a", "from": f"+{NUMBER}", "media_format": {**FORM, "encoding": "PCMU"}}
TWILIO = {"callSid": "CA1", "tracks": ["inbound"], "mediaFormat": FORM, "customParameters": {"From": f"+{NUMBER}"}}
PACKET = {"track": "inbound", "chunk": "2", "timestamp": "20", "payload": "////"}

WIRES: dict[str, Callable[[], Wire]] = {
    "audiosocket": AudioSocket,
    "audiohook": lambda: AudioHook(UPGRADE),
    "chan_websocket": ChanWebSocket,
    "freeswitch": lambda: FreeSwitch(sample_rate_hz=8000, mix="stereo", caller_channel=0),
    "rtp": lambda: Rtp(call_id="7f1c", caller=Hidden(NUMBER)),
    "twilio": MediaStream,
}
SEEDS: dict[str, list[list[bytes]]] = {
    "audiosocket": [[b"\x01\x00\x10" + bytes(16) + b"\x10\x00\x04abcd\x03\x00\x015\x00\x00\x00"]],
    "audiohook": [
        [
            audiohook(
                "open",
                1,
                organizationId="d7934305",
                conversationId="c1",
                participant={"ani": NUMBER, "aniName": "M", "dnis": NUMBER},
                media=[MEDIA],
            ),
            b"~" + bytes(160),
            audiohook("paused", 2),
            audiohook("resumed", 3, start="PT0.1S", discarded="PT1S"),
            audiohook("discarded", 4, start="PT0.1S", discarded="PT2S"),
            audiohook("update", 5, language="fr-FR"),
            audiohook("error", 6, code=429, message="x"),
            audiohook("ping", 7, rtt="PT0.02S"),
            audiohook("close", 8, reason="end"),
        ]
    ],
    "chan_websocket": [
        [b"MEDIA_START channel_id:17.1 format:ulaw", b"~abc", b"DTMF_END digit:5", b"MEDIA_XON", b"ERROR error_text:x"],
        [
            json.dumps(
                {"event": "MEDIA_START", "channel_id": "17.1", "format": "slin", "channel_variables": {"a": NUMBER}}
            ).encode()
        ],
    ],
    "freeswitch": [[json.dumps({"call_id": "a", "caller": NUMBER}).encode(), b"~" + bytes(8), b"text"]],
    "rtp": [[b"~\x80\x00" + bytes(10) + b"abcd", b"~\x80\x00\x00\x02\x00\x00\x00\x08" + bytes(4) + b"abcd"]],
    "twilio": [
        [
            b'{"event": "connected"}',
            json.dumps({"event": "start", "streamSid": "MZ1", "start": TWILIO}).encode(),
            json.dumps({"event": "media", "streamSid": "MZ1", "media": PACKET}).encode(),
            json.dumps({"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "5"}}).encode(),
            json.dumps({"event": "stop", "streamSid": "MZ1"}).encode(),
        ],
        [b'{"event": "connected"}', json.dumps({"event": "start", "stream_id": "a", "start": TELNYX}).encode()],
    ],
}


def message_of(part: bytes) -> bytes | str:
    """Return one message of a fuzzed input: text where it can be."""
    if part.startswith(b"~"):
        return part[1:]
    try:
        return part.decode()
    except UnicodeDecodeError:
        return part


def read(name: str, data: bytes) -> None:
    """Read a fuzzed input as one connection, and check what every wire promises of its events."""
    wire = WIRES[name]()
    parts = [data] if name == "audiosocket" else [message_of(part) for part in data.split(END)]
    started: Started | None = None
    position = 0
    ended = 0
    fault = ""
    try:
        for part in [*parts, None]:
            for event in wire.end() if part is None else wire.receive(part):
                if isinstance(event, Started):
                    assert started is None, "a call starts once"
                    started = event
                    # digits within an engine's own name of a call are that name's, and no parser can tell them apart
                    assert NUMBER not in repr(event).replace(event.call_id, ""), "a number shows"
                elif isinstance(event, Audio):
                    assert started is not None, "audio before the start"
                    assert event.payload, "no audio"
                    assert not len(event.payload) % SAMPLE_BYTES[started.encoding], "half a sample"
                    assert event.at is None or event.at >= position, "audio of the past"
                    position = position if event.at is None else event.at
                elif isinstance(event, Passed):
                    position = max(position, event.to)
                elif isinstance(event, Digit):
                    assert event.digit in "0123456789*#ABCD", "no key"
                elif isinstance(event, Ended):
                    ended += 1
            if ended:
                break
    except WireError as error:
        fault = str(error)
    assert NUMBER not in fault, "a number shows"
    assert fault or ended == 1, "a connection ends once"


def read_signature(data: bytes) -> None:
    """Read a fuzzed input as the headers of an upgrade request."""
    lines = data.decode("latin-1").split("\n")
    headers = {name: value for name, _, value in (line.partition(":") for line in lines)}
    fault = ""
    try:
        verify(headers, lines[0], keys={"k": Hidden(b"hush")}, nonces=Nonces(), now_s=1.7e9)
    except WireError as error:
        fault = str(error)
    assert fault, "nobody signed this"
    assert "hush" not in fault, "a secret shows"


SIGNED = b"""/path
Host:a
Audiohook-Organization-Id:b
Audiohook-Session-Id:c
Audiohook-Correlation-Id:d
X-API-KEY:k
Signature:sig1=:NZBwyBHRRyRoeLqy1IzOa9VYBuI8TgMFt2GRDkDuJh4=:
Signature-Input:sig1=("@request-target" "@authority" "audiohook-organization-id" "audiohook-session-id" \
"audiohook-correlation-id" "x-api-key");keyid="k";nonce="VGhpc0lzQVVuaXF1ZU5vbmNl";alg="hmac-sha256";\
created=1700000000;expires=1700000010"""


def main() -> None:
    """Fuzz the parser that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wire", choices=[*WIRES, "signature"])
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()

    import atheris

    name = arguments.wire
    target = read_signature if name == "signature" else lambda data: read(name, data)
    seeds = [SIGNED] if name == "signature" else [END.join(parts) for parts in SEEDS[name]]
    atheris.instrument_all()
    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(seeds):
            Path(corpus, f"seed-{i}").write_bytes(seed)
        flags = [f"-max_total_time={arguments.seconds}", "-max_len=4096", "-rss_limit_mb=4096", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *flags, corpus], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
