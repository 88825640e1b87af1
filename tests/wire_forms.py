"""What each wire takes, refuses and passes over, and sessions of its engines as recorded in ``tests/wires``.

``python tests/wire_forms.py`` writes docs/reference/wire-forms.md.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emotion_triage.adapters.audiohook import AudioHook
from emotion_triage.adapters.audiohook_signature import Upgrade
from emotion_triage.adapters.audiosocket import AudioSocket
from emotion_triage.adapters.chan_websocket import ChanWebSocket
from emotion_triage.adapters.freeswitch import FreeSwitch
from emotion_triage.adapters.protocol import (
    SAMPLE_BYTES,
    Audio,
    Changed,
    Dropped,
    Ended,
    Passed,
    Started,
    Wire,
    WireEvent,
)
from emotion_triage.adapters.rtp import Rtp
from emotion_triage.adapters.twilio import MediaStream
from emotion_triage.audio.g711 import decode_alaw, encode_mulaw
from emotion_triage.errors import WireError

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "wire-forms.md"
SESSIONS = sorted(Path(__file__).with_name("wires").glob("*.json"))

SESSION = "30b0e395-84d3-4570-ac13-9a62d8f514c0"
ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
UPGRADE = Upgrade(organization_id=ORGANIZATION, session_id=SESSION, correlation_id="e160e428")
UUID = b"\x01\x00\x10" + bytes(range(16))
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}

Message = bytes | str


def wire_of(name: str, **options: Any) -> Wire:
    """A new connection of a wire."""
    makers: dict[str, Callable[..., Wire]] = {
        "audiosocket": AudioSocket,
        "chan_websocket": ChanWebSocket,
        "twilio": MediaStream,
        "genesys": lambda: AudioHook(UPGRADE),
        "freeswitch": lambda **given: FreeSwitch(**({"sample_rate_hz": 8000, "mix": "mono"} | given)),
        "rtp": lambda: Rtp(call_id="1761245643.1"),
    }
    return makers[name](**options)


# sessions


@dataclass
class Session:
    """A recorded session: what the engine sends, and what has to be heard of it."""

    name: str
    wire: str
    engine: str
    version: str
    about: str
    source: str
    expected: dict[str, Any]
    messages: list[Message] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)


def session(path: Path) -> Session:
    """Read a recorded session; its audio is made here, each byte telling its place."""
    told = json.loads(path.read_text(encoding="utf-8"))
    steps, cut = told.pop("messages"), told.pop("cut", None)
    read = Session(path.stem, **told)
    for step in steps:
        read.messages += _messages(read, step)
    if cut:
        stream = b"".join(each for each in read.messages if isinstance(each, bytes))
        read.messages = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    return read


def _messages(read: Session, step: dict[str, Any]) -> list[Message]:
    if "text" in step:
        return [step["text"]]
    if "json" in step:
        return [json.dumps(step["json"])]
    if "hex" in step:
        return [bytes.fromhex(step["hex"])]
    if "again" in step:
        return read.messages[-step["again"] :]
    made: list[Message] = []
    for i in range(step.get("count", 1)):
        at = len(read.audio) + 17 * i
        payload = bytes((7 * (at + j)) % 251 for j in range(step["audio"]))
        if step.get("heard", True):
            read.audio += encode_mulaw(decode_alaw(payload)) if step.get("recoded") else payload
        made.append(_packed(step, i, payload))
    if step.get("swapped"):
        for i in range(1, len(made) - 1, 2):
            made[i], made[i + 1] = made[i + 1], made[i]
    return made


def _packed(step: dict[str, Any], i: int, payload: bytes) -> Message:
    if "frame" in step:
        return bytes([step["frame"]]) + len(payload).to_bytes(2, "big") + payload
    if "rtp" in step:
        told = step["rtp"]
        counters = (told["seq"] + i) % 2**16, (told["stamp"] + i * len(payload)) % 2**32
        head = bytes([0x80, told["pt"]]) + counters[0].to_bytes(2, "big") + counters[1].to_bytes(4, "big")
        return head + int(told["ssrc"]).to_bytes(4, "big") + payload
    if "media" in step:
        text = base64.b64encode(payload).decode()
        told, chunk = dict(step["media"]), step["media"]["chunk"] + i
        body = {
            "track": told["track"],
            "chunk": str(chunk),
            "timestamp": str((chunk - 1) * 20),
            "payload": text if step.get("padded", True) else text.rstrip("="),
        }
        return json.dumps({"event": "media", "media": body} | {k: told[k] for k in told if k.endswith(("Sid", "_id"))})
    return payload


def played(read: Session) -> tuple[dict[str, Any], bytes]:
    """What a session is heard as, in the words of its ``expected``, and the audio."""
    wire, heard, audio = wire_of(read.wire), dict[str, Any](), bytearray()
    if read.wire == "freeswitch":
        wire = wire_of("freeswitch", sample_rate_hz=read.expected["sample_rate_hz"])
    dropped, changed, position = Counter[str](), Counter[str](), 0
    for message in [*read.messages, None]:
        for event in wire.end() if message is None else wire.receive(message):
            if isinstance(event, Started):
                heard |= {"call_id": event.call_id, "encoding": event.encoding, "sample_rate_hz": event.sample_rate_hz}
            elif isinstance(event, Audio):
                audio += event.payload
                samples = len(event.payload) // SAMPLE_BYTES[heard["encoding"]]
                position = (position if event.at is None else event.at) + samples
            elif isinstance(event, Passed):
                position = event.to
            elif isinstance(event, Dropped):
                dropped[event.why] += 1
            elif isinstance(event, Changed):
                changed[event.what] += 1
            elif isinstance(event, Ended):
                heard["ended"] = event.reason
    heard |= {"dropped": dict(dropped), "changed": dict(changed)}
    if "position_s" in read.expected:
        heard["position_s"] = position / heard["sample_rate_hz"]
    return heard, bytes(audio)


# encodings


def media_start(form: str) -> list[Message]:
    """A chan_websocket connection of a format, and one frame."""
    return [f"MEDIA_START connection_id:c channel:WebSocket/c/0x1 channel_id:17.1 format:{form}", bytes(320)]


def stream(dialect: str, encoding: str, rate_hz: int, channels: int = 1) -> list[Message]:
    """A media stream of a format, and one packet."""
    if dialect == "Twilio":
        form = {"encoding": encoding, "sampleRate": rate_hz, "channels": channels}
        start = {"streamSid": "MZ1", "start": {"callSid": "CA1", "tracks": ["inbound"], "mediaFormat": form}}
    else:
        form = {"encoding": encoding, "sample_rate": rate_hz, "channels": channels}
        start = {"stream_id": "MZ1", "start": {"call_control_id": "v2:a", "media_format": form}}
    return [json.dumps(CONNECTED), json.dumps({"event": "start"} | start), json.dumps(media(1))]


def media(chunk: int, **fields: Any) -> dict[str, Any]:
    """A media message of Twilio."""
    body = {"track": "inbound", "chunk": str(chunk), "timestamp": str(20 * chunk - 20), "payload": "////"} | fields
    return {"event": "media", "media": body}


def hook(kind: str, seq: int, **parameters: Any) -> str:
    """A message of Genesys."""
    head = {"version": "2", "id": SESSION, "type": kind, "seq": seq, "serverseq": 0, "position": "PT5S"}
    return json.dumps(head | {"parameters": parameters})


def opened(form: str, channels: list[str], rate_hz: int = 8000) -> list[Message]:
    """An AudioHook session that offers one media, and a message of audio."""
    offered = [{"type": "audio", "format": form, "channels": channels, "rate": rate_hz}]
    return [hook("open", 1, organizationId=ORGANIZATION, conversationId="c1", media=offered), bytes(1600)]


def rtp(kind: int, number: int = 0, payload: bytes = bytes(160)) -> bytes:
    """A packet of RTP."""
    return bytes([0x80, kind]) + number.to_bytes(2, "big") + (160 * number).to_bytes(4, "big") + bytes(4) + payload


def frame(kind: int, payload: bytes = bytes(320)) -> bytes:
    """A frame of AudioSocket."""
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


SLIN = ["slin", "slin12", "slin16", "slin24", "slin32", "slin44", "slin48", "slin96", "slin192"]
ENCODINGS: dict[tuple[str, str], list[tuple[str, list[Message]]]] = {
    ("AudioSocket", "audiosocket"): [(f"type 0x{kind:02x}", [UUID, frame(kind)]) for kind in range(0x10, 0x19)],
    ("chan_websocket", "chan_websocket"): [
        (f"`format` {form}", media_start(form)) for form in ["ulaw", "alaw", *SLIN, "g722", "g729", "gsm", "opus"]
    ],
    ("Twilio", "twilio"): [
        ("audio/x-mulaw, 8000 Hz", stream("Twilio", "audio/x-mulaw", 8000)),
        ("audio/x-mulaw, 16000 Hz", stream("Twilio", "audio/x-mulaw", 16000)),
        ("audio/x-mulaw, 2 channels", stream("Twilio", "audio/x-mulaw", 8000, 2)),
        ("audio/x-l16, 8000 Hz", stream("Twilio", "audio/x-l16", 8000)),
    ],
    ("Telnyx", "twilio"): [
        (f"{form}, {rate_hz} Hz", stream("Telnyx", form, rate_hz))
        for form, rate_hz in [("PCMU", 8000), ("PCMA", 8000), ("L16", 16000), ("G722", 8000), ("OPUS", 16000)]
    ],
    ("Genesys AudioHook", "genesys"): [
        ("PCMU, external", opened("PCMU", ["external"])),
        ("L16, external", opened("L16", ["external"])),
        ("PCMU, external and internal", opened("PCMU", ["external", "internal"])),
        ("PCMU, internal", opened("PCMU", ["internal"])),
        ("L16, external, 16000 Hz", opened("L16", ["external"], 16000)),
    ],
    ("RTP", "rtp"): [
        *((f"payload type {kind}", [rtp(kind)]) for kind in (0, 8, 3, 4, 9, 18, 111)),
        *((f"payload type {kind}, after audio", [rtp(0), rtp(kind, 1)]) for kind in (8, 9, 13, 19, 101)),
    ],
}
FORKS: list[tuple[str, dict[str, Any]]] = [
    ("mono, 8k", {"sample_rate_hz": 8000, "mix": "mono"}),
    ("mono, 16k", {"sample_rate_hz": 16000, "mix": "mono"}),
    ("mono, 24k", {"sample_rate_hz": 24000, "mix": "mono"}),
    ("stereo, 8k, the caller's channel named", {"mix": "stereo", "caller_channel": 0}),
    ("stereo, 8k", {"mix": "stereo"}),
    ("mixed, 8k", {"mix": "mixed"}),
]

# what is passed over

BEFORE: dict[str, list[Message]] = {
    "audiosocket": [UUID, frame(0x10)],
    "chan_websocket": media_start("ulaw"),
    "twilio": stream("Twilio", "audio/x-mulaw", 8000),
    "genesys": opened("PCMU", ["external"]),
    "freeswitch": ['{"call_id": "c1"}', bytes(320)],
    "rtp": [rtp(0)],
}
AFTER: dict[str, Message] = {
    "audiosocket": frame(0x10),
    "chan_websocket": bytes(160),
    "twilio": json.dumps(media(3, timestamp=None)),
    "genesys": bytes(1600),
    "freeswitch": bytes(320),
    "rtp": rtp(0, 2),
}
LONG = 70_000
PASSED_OVER: dict[tuple[str, str], list[tuple[str, Message]]] = {
    ("AudioSocket", "audiosocket"): [
        ("a frame of type 0x02", frame(0x02, b"abc")),
        ("a frame of type 0x19", frame(0x19)),
        ("an empty frame of audio", frame(0x10, b"")),
        ("audio that ends within a sample", frame(0x10, bytes(321))),
        ("audio of another rate", frame(0x12)),
        ("a second UUID", UUID),
        ("a UUID of 15 bytes", frame(0x01, bytes(15))),
        ("a key that is none", frame(0x03, b"x")),
    ],
    ("chan_websocket", "chan_websocket"): [
        ("an unknown event", '{"event": "CHANNEL_HOLD", "since": null}'),
        ("the same in plain text", "CHANNEL_HOLD since:17"),
        ("a second MEDIA_START", media_start("ulaw")[0]),
        ("text that is no JSON", "{"),
        ("an empty text", ""),
        ("an empty message of audio", b""),
        ("a key that is none", "DTMF_END digit:12"),
        ("a message of 70000 bytes", bytes(LONG)),
    ],
    ("Twilio, Telnyx", "twilio"): [
        ("an unknown event", '{"event": "speech-started", "at": 1}'),
        ("a second connected", json.dumps(CONNECTED)),
        ("a second start", stream("Twilio", "audio/x-mulaw", 8000)[1]),
        ("media of another stream", json.dumps(media(2) | {"streamSid": "MZ2"})),
        ("a track of another name", json.dumps(media(2, track="both"))),
        ("a payload that is no base64", json.dumps(media(2, payload="!"))),
        ("an empty payload", json.dumps(media(2, payload=""))),
        ("a payload of null", json.dumps(media(2, payload=None))),
        ("a chunk below 0", json.dumps(media(-1))),
        ("a packet that came already", json.dumps(media(1))),
        ("a key that is none", '{"event": "dtmf", "dtmf": {"digit": "12"}}'),
        ("an event of null", '{"event": null}'),
        ("text that is no JSON", "{"),
        ("a binary message that is no JSON", b"\x00\x01"),
        ("a message of 70000 characters", "x" * LONG),
    ],
    ("Genesys AudioHook", "genesys"): [
        ("an unknown type", hook("entity_changed", 2)),
        ("a second open", hook("open", 2, organizationId=ORGANIZATION, conversationId="c1", media=[])),
        ("a sequence number that came already", hook("update", 1, language="fr")),
        ("another session", hook("update", 2, language="fr").replace(SESSION, ORGANIZATION)),
        ("a language that is none", hook("update", 2, language=None)),
        ("a duration that is none", hook("discarded", 2, start="PT1M", discarded="PT1S")),
        ("an empty message of audio", b""),
        ("text that is no message", "[]"),
        ("a message of 70000 bytes", bytes(LONG)),
    ],
    ("FreeSWITCH", "freeswitch"): [
        ("an empty message of audio", b""),
        ("audio that ends within a sample", bytes(321)),
        ("a message of 70000 bytes", bytes(LONG)),
    ],
    ("RTP", "rtp"): [
        ("a payload type that is not read", rtp(9, 1)),
        ("a packet without a sample", rtp(0, 1, b"")),
        ("a packet that came already", rtp(0)),
        ("a packet of another source", rtp(0, 1)[:8] + b"\x01\x02\x03\x04" + bytes(160)),
        ("a datagram that is no RTP", b"SIP/2.0 200 OK"),
        ("an extension that is cut off", b"\x90" + rtp(0, 1)[1:12]),
    ],
}
SILENT: dict[tuple[str, str], list[tuple[str, Message]]] = {
    ("chan_websocket", "chan_websocket"): [("events of playback, STATUS", "MEDIA_XOFF channel_id:17.1")],
    ("Twilio, Telnyx", "twilio"): [
        ("mark", '{"event": "mark", "mark": {"name": "m"}}'),
        ("the outbound track", json.dumps(media(2, track="outbound", payload="!"))),
    ],
    ("Genesys AudioHook", "genesys"): [("playback_started, playback_completed", hook("playback_started", 2))],
    ("FreeSWITCH", "freeswitch"): [("text after the metadata", "hello")],
    ("RTP", "rtp"): [
        ("comfort noise, types 13 and 19", rtp(19, 1, b"\x40")),
        ("RTCP on the port", b"\x80\xc8\x00\x06" + bytes(24)),
    ],
}


def heard(wire: Wire, messages: Iterable[Message]) -> list[WireEvent]:
    """All events of some messages."""
    return [event for message in messages for event in wire.receive(message)]


def outcome(make: Callable[[], Wire], messages: list[Message]) -> str:
    """What becomes of some messages, in the words of the page."""
    try:
        events = heard(make(), messages)
    except WireError as error:
        return f"refused: {error}"
    told = [_words(event) for event in events if isinstance(event, Started | Dropped | Changed)]
    if not any(isinstance(event, Audio) for event in events):
        told = [each for each in told if not each.startswith("taken")]
    return "; ".join(told) or "passed over"


def _words(event: WireEvent) -> str:
    if isinstance(event, Started):
        return f"taken: {event.encoding}, {event.sample_rate_hz} Hz"
    if isinstance(event, Changed):
        return f"another {event.what}, heard on"
    assert isinstance(event, Dropped)
    return f"passed over: {event.why}" + (f" ({event.what})" if event.what else "")


def passed_over(name: str, message: Message) -> list[Dropped]:
    """What is counted of a message in the middle of a call that is heard before and after it."""
    wire = wire_of(name)
    events = [*heard(wire, [*BEFORE[name], message, AFTER[name]]), *wire.end()]
    n_heard = sum(isinstance(event, Audio) for event in events)
    assert n_heard == 2, f"{n_heard} packets heard"
    return [event for event in events if isinstance(event, Dropped)]


def encodings() -> Iterator[tuple[str, str, str]]:
    """Wire, encoding and what becomes of it."""
    for (title, name), rows in ENCODINGS.items():
        for encoding, messages in rows:
            yield title, encoding, outcome(lambda name=name: wire_of(name), messages)  # type: ignore[misc]
    for encoding, options in FORKS:
        messages = ['{"call_id": "c1"}', bytes(320)]
        yield "FreeSWITCH", encoding, outcome(lambda options=options: wire_of("freeswitch", **options), messages)  # type: ignore[misc]


def page() -> Iterator[str]:
    """Give the lines of the document."""
    yield "# What wires take"
    yield ""
    yield "*Made from the tests by `python tests/wire_forms.py`.*"
    yield ""
    yield "What a wire does not understand is passed over and counted in `emotion_triage_messages_dropped_total`, by"
    yield "wire and reason; the first of each reason stands in the log. A call ends by its engine, by silence, or where"
    yield "the framing breaks: 65536 bytes on an AudioSocket without a UUID, a WebSocket message longer than 1 MiB,"
    yield "audio of two channels from Genesys. Audio ahead of its start is kept, up to 50 messages of it."
    yield ""
    yield "## Engines and versions"
    yield ""
    yield "Sessions as the engines' documents and bug reports have them, in `tests/wires`; each is heard to its end."
    yield ""
    yield "| engine | version | what the session holds | passed over |"
    yield "|---|---|---|---|"
    for path in SESSIONS:
        read = session(path)
        dropped = ", ".join(f"{n} {why}" for why, n in read.expected["dropped"].items()) or "nothing"
        yield f"| {read.engine} | {read.version} | [{read.about}]({read.source}) | {dropped} |"
    yield ""
    yield "## Encodings"
    yield ""
    yield "| wire | encoding | what becomes of it |"
    yield "|---|---|---|"
    yield from (f"| {wire} | {encoding} | {what} |" for wire, encoding, what in encodings())
    yield ""
    yield "## In the middle of a call"
    yield ""
    yield "The call goes on after each of these."
    yield ""
    yield "| wire | message | counted as |"
    yield "|---|---|---|"
    for (title, name), rows in PASSED_OVER.items():
        for words, message in rows:
            (dropped_event,) = passed_over(name, message)
            yield f"| {title} | {words} | {dropped_event.why} |"
    for (title, _), rows in SILENT.items():
        for words, _ in rows:
            yield f"| {title} | {words} | known, not counted |"


if __name__ == "__main__":
    PAGE.write_text("".join(f"{line}\n" for line in page()), encoding="utf-8")
