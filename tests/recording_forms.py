"""Every form in which a recording comes, and what becomes of it: the tests check it, and the documents show it.

``python tests/recording_forms.py`` writes docs/reference/recordings.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "recordings.md"

PCM = {"PCM_16": "16-bit PCM", "PCM_24": "24-bit PCM", "PCM_32": "32-bit PCM"}
FLOATS = {"FLOAT": "32-bit float", "DOUBLE": "64-bit float"}
G711 = {"ULAW": "G.711 mu-law", "ALAW": "G.711 A-law"}
GSM = {"GSM610": "GSM 06.10 (WAV49)"}
CONTAINERS: dict[str, tuple[str, dict[str, str]]] = {
    "WAV": (
        "WAV (`.wav`, `.wave`, `.wav49`, `.bwf`)",
        {
            "PCM_U8": "8-bit PCM",
            **PCM,
            **FLOATS,
            **G711,
            **GSM,
            "G721_32": "G.721",
            "IMA_ADPCM": "IMA ADPCM",
            "MS_ADPCM": "Microsoft ADPCM",
            "NMS_ADPCM_32": "Natural MicroSystems ADPCM",
        },
    ),
    "WAVEX": ("WAV with WAVE_FORMAT_EXTENSIBLE", {**PCM, **FLOATS, **G711}),
    "RF64": ("RF64 (`.rf64`, `.wav`)", {**PCM, **FLOATS, **G711}),
    "W64": ("Sony Wave64 (`.w64`)", {**PCM, **FLOATS, **G711, **GSM, "IMA_ADPCM": "IMA ADPCM"}),
    "AIFF": ("AIFF (`.aif`, `.aiff`, `.aifc`)", {"PCM_S8": "8-bit PCM", **PCM, **FLOATS, **G711, **GSM}),
    "AU": ("AU (`.au`, `.snd`)", {**PCM, **FLOATS, **G711, "G721_32": "G.721", "G723_24": "G.723 ADPCM"}),
    "CAF": ("CAF (`.caf`)", {**PCM, **FLOATS, **G711, "ALAC_16": "Apple Lossless"}),
    "NIST": ("NIST SPHERE (`.sph`, `.nist`)", {**PCM, **G711}),
    "VOC": ("VOC (`.voc`)", {"PCM_16": "16-bit PCM", **G711}),
    "FLAC": ("FLAC (`.flac`)", {"PCM_S8": "8 bits", "PCM_16": "16 bits", "PCM_24": "24 bits"}),
    "OGG": ("Ogg (`.ogg`, `.oga`, `.opus`)", {"VORBIS": "Vorbis", "OPUS": "Opus"}),
    "MP3": ("MP3 (`.mp3`)", {"MPEG_LAYER_III": "MPEG layer III"}),
}
"""What is taken: soundfile's names of containers and codings, and the field's."""

HEADERLESS = {
    ("mulaw", "ULAW"): (".ulaw", ".ul", ".mulaw", ".mu", ".raw", ".pcm"),
    ("alaw", "ALAW"): (".alaw", ".al", ".raw", ".pcm"),
    ("pcm16", "PCM_16"): (".sln", ".slin", ".sln16", ".raw", ".pcm"),
    ("float32", "FLOAT"): (".raw",),
    ("gsm", "GSM610"): (".gsm",),
    ("vox", "VOX_ADPCM"): (".vox",),
}
"""What is taken with ``--encoding`` and ``--sample-rate``: encodings, and the names of files that hold them."""

RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)

FORMATS = (
    "WAV, RF64, W64, AIFF, AU, CAF or NIST (PCM, float, G.711, GSM or ADPCM inside), FLAC, Ogg (Vorbis or Opus) or MP3"
)
FOREIGN = {
    "AAC": (".m4a", ".mp4", ".aac", ".3gp"),
    "AMR": (".amr", ".amr-nb", ".awb"),
    "Windows Media": (".wma", ".asf"),
    "Matroska": (".webm", ".mka"),
    "G.722": (".g722",),
    "G.723": (".g723",),
    "G.726": (".g726",),
    "G.729": (".g729",),
    "ILBC": (".ilbc",),
}
RANGE = (
    "expected a whole number from 8000 to 48000; below it the speech band is cut: record the call at 8 kHz or more, "
    "above it resample first"
)
REFUSED = {
    "an empty file": f"got an empty file, expected {FORMATS}; record or copy it again",
    "a header and nothing else": ("got a header without samples, expected audio; check that the recorder ended well"),
    "samples without a header, of which nothing is said": (
        "got samples without a header, expected their encoding and rate, as --encoding mulaw --sample-rate 8000; or "
        "make it WAV"
    ),
    "6000 Hz": f"sample_rate_hz: got 6000, {RANGE}",
    "96000 Hz": f"sample_rate_hz: got 96000, {RANGE}",
    "three channels": "got 3 channels, expected one or two; write the caller's channel to a file of its own",
    "two channels with `--caller-channel mono`": (
        "got two channels and caller channel mono, expected left or right; say which holds the caller: "
        "--caller-channel left or right"
    ),
    "a sample that is NaN": (
        "float32 audio: got nan at sample 100, expected values within +-1 (up to +-4 is taken); find what computed it: "
        "audio has no such value"
    ),
    "a sample that is infinite": (
        "float32 audio: got inf at sample 100, expected values within +-1 (up to +-4 is taken); find what computed it: "
        "audio has no such value"
    ),
    "a device": "got a device, expected a file or a pipe that holds a recording; name that",
}
"""What is refused whatever it is in, with the message."""

UNKNOWN_LENGTHS = (
    "WAV with sizes of 0, 0x7FFFF000, 0x80000000 or 0xFFFFFFFF",
    "RF64 and W64 with a size of 0",
    "AIFF with a size of 0 or 0x7F000008",
    "AU with a size of 0 or 0xFFFFFFFF",
    "CAF with a size of -1",
    "FLAC without a number of samples",
)
"""`tests/test_containers.py` has each."""


def foreign(what: str) -> str:
    """The message for what nothing here decodes."""
    return f"got {what} audio, which is not decoded here, expected {FORMATS}; convert it, as with: ffmpeg -i IN OUT.wav"


def page() -> Iterator[str]:
    """The lines of the page."""
    yield "# Recordings that are taken"
    yield ""
    yield "*Made from the tests by `python tests/recording_forms.py`.*"
    yield ""
    yield f"One or two channels, {', '.join(map(str, RATES_HZ[:-1]))} or {RATES_HZ[-1]} Hz and every rate between."
    yield ""
    yield "| container | codings |"
    yield "|---|---|"
    for name, codings in CONTAINERS.values():
        yield f"| {name} | {', '.join(codings.values())} |"
    yield ""
    yield "## Without a header"
    yield ""
    yield "Give `--encoding` and `--sample-rate`; one channel. A folder's are counted until then."
    yield ""
    yield "| `--encoding` | files |"
    yield "|---|---|"
    for (encoding, _), suffixes in HEADERLESS.items():
        yield f"| `{encoding}` | {', '.join(f'`{suffix}`' for suffix in suffixes)} |"
    yield ""
    yield "## Of unknown length, or cut short"
    yield ""
    yield "What a recorder wrote into a pipe is read to its end:"
    yield ""
    yield from (f"- {each}" for each in UNKNOWN_LENGTHS)
    yield ""
    yield "Standard input (`-`) and named pipes are copied to a temporary file without a name first, as decoders go"
    yield "back and forth; it is gone with the process. A named pipe that brings nothing for 10 s is an error."
    yield ""
    yield "A file that ends before its header says so, an Ogg stream without its last page and a file that cannot be"
    yield "decoded to its end are scored as far as they go, and the record's `warning` says how far. VOC does not tell."
    yield ""
    yield "## Refused"
    yield ""
    yield "| what | message |"
    yield "|---|---|"
    for what, suffixes in FOREIGN.items():
        yield f"| {what} ({', '.join(f'`{suffix}`' for suffix in suffixes)}) | {foreign(what)} |"
    for what, message in REFUSED.items():
        yield f"| {what} | {message} |"


if __name__ == "__main__":
    PAGE.write_text("\n".join(page()) + "\n", encoding="utf-8")
