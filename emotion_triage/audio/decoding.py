"""Open what holds a recording: files with a header or without one, pipes, addresses; the one place of soundfile."""

from __future__ import annotations

import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import msgspec

from emotion_triage.audio.containers import Patched, Size, size_of
from emotion_triage.audio.remote import is_remote, open_remote
from emotion_triage.audio.stream import AudioStream
from emotion_triage.errors import AudioError

if TYPE_CHECKING:
    import soundfile

__all__ = [
    "AUDIO_SUFFIXES",
    "FOREIGN_SUFFIXES",
    "FORMATS",
    "HEADERLESS",
    "Headerless",
    "Source",
    "Spool",
    "decoding_errors",
    "headerless_suffix",
    "is_of_this_process",
    "is_pipe",
    "opened",
    "spooled",
]

FORMATS = (
    "WAV, RF64, W64, AIFF, AU, CAF or NIST (PCM, float, G.711, GSM or ADPCM inside), FLAC, Ogg (Vorbis or Opus) or MP3"
)
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".wav49", ".bwf", ".rf64", ".w64", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph"),
    *(".nist", ".voc", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
)
"""Files of a folder that are taken for recordings: their header says how they are coded."""
HEADERLESS = {
    "mulaw": "ULAW",
    "alaw": "ALAW",
    "pcm16": "PCM_16",
    "float32": "FLOAT",
    "gsm": "GSM610",
    "vox": "VOX_ADPCM",
}
"""Encodings of recordings without a header, and soundfile's names of them; multi-byte samples are little-endian."""
FOREIGN_SUFFIXES = {
    **dict.fromkeys((".m4a", ".mp4", ".aac", ".3gp"), "AAC"),
    **dict.fromkeys((".amr", ".amr-nb", ".awb"), "AMR"),
    **dict.fromkeys((".wma", ".asf"), "Windows Media"),
    **dict.fromkeys((".webm", ".mka"), "Matroska"),
    **{f".{name}": name.upper() for name in ("ac3", "ape", "dss", "ds2", "ilbc", "ra", "siren7", "siren14", "wv")},
    **{f".g{number}": f"G.{number}" for number in (719, 722, 723, 726, 729)},
}
"""Recordings that nothing here decodes, and what they hold."""
_HEADERLESS_SUFFIXES = {
    ".raw": None,
    ".pcm": None,  # mu-law if Asterisk wrote it, 16-bit samples if others did
    **dict.fromkeys((".ulaw", ".ul", ".mulaw", ".mu"), "mulaw"),
    **dict.fromkeys((".alaw", ".al"), "alaw"),
    **dict.fromkeys((".sln", ".slin"), "pcm16"),
    ".gsm": "gsm",
    ".vox": "vox",
}
_SLN = re.compile(r"\.sln(\d+)")
_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b".snd", b"caff", b"NIST_1A", b"fLaC", b"OggS")
_FOREIGN_MAGIC = (
    (4, b"ftyp", "AAC"),
    (0, b"#!AMR", "AMR"),
    (0, b"0&\xb2u", "Windows Media"),
    (0, b"\x1aE\xdf\xa3", "Matroska"),
)
PATIENCE_S = 10.0
"""How long a named pipe may bring nothing."""
_SPOOL_BYTES = 1 << 32
"""The most that a pipe may bring: as much as a WAV holds."""
_COPY_BYTES = 1 << 16


class Headerless(msgspec.Struct, frozen=True):
    """How recordings without a header are coded; those with one are read by it all the same.

    Attributes
    ----------
    encoding : {"mulaw", "alaw", "pcm16", "float32", "gsm", "vox"}
        One channel; samples of more than a byte are little-endian. ``gsm``: GSM 06.10 full rate in frames of 33 bytes.
        ``vox``: Dialogic ADPCM.
    sample_rate_hz : int
        8000 to 48000.

    Raises
    ------
    AudioError
        If the encoding is not one of these, or the rate is out of range.
    """

    encoding: str
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if not isinstance(self.encoding, str) or self.encoding not in HEADERLESS:
            raise AudioError(f"encoding: got {self.encoding!r}, expected one of {', '.join(HEADERLESS)}")
        AudioStream("float32", self.sample_rate_hz)  # its rules on rates are the rules here


class Source(NamedTuple):
    """Where a recording's bytes are: a path or address, what says how they are coded, and what a pipe brought."""

    path: str
    headerless: Headerless | None = None
    spool: Spool | None = None


class Spool(Patched):
    """What a pipe brought, in a file without a name that goes when nobody reads it any more."""

    def __init__(self) -> None:
        super().__init__(cast(BinaryIO, tempfile.TemporaryFile()), ())  # noqa: SIM115

    def write(self, data: bytes) -> int:
        """As of a file."""
        return self._file.write(data)

    def __del__(self) -> None:
        self._file.close()


def headerless_suffix(path: str) -> str | None:
    """Return the suffix of a recording that has no header, by its name; None of any other.

    Examples
    --------
    >>> headerless_suffix("17.ULAW"), headerless_suffix("17.sln16"), headerless_suffix("17.wav")
    ('.ulaw', '.sln16', None)
    """
    suffix = os.path.splitext(path)[1].lower()
    return suffix if suffix in _HEADERLESS_SUFFIXES or _SLN.fullmatch(suffix) else None


def is_of_this_process(path: str) -> bool:
    """Return whether a path means another thing, or nothing, in another process: standard input, an open file.

    Examples
    --------
    >>> is_of_this_process("-"), is_of_this_process("/dev/fd/63"), is_of_this_process("call.wav")
    (True, True, False)
    """
    return path == "-" or path.startswith(("/dev/fd/", "/dev/stdin", "/proc/self/"))


def is_pipe(path: str) -> bool:
    """Return whether a path can be read once only."""
    if path == "-":
        return True
    try:
        return not is_remote(path) and stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def spooled(path: str) -> Spool:
    """Copy what a pipe brings to a file without a name, which goes with this process: decoders go back and forth.

    Parameters
    ----------
    path : str
        A named pipe, or ``-`` for standard input.

    Raises
    ------
    AudioError
        If nothing comes: from standard input if it is a terminal, from a named pipe within `PATIENCE_S`.
    OSError
        If it cannot be read, or the disk for temporary files is full.
    """
    spool, total = Spool(), 0
    for data in _standard_input() if path == "-" else _pipe(path):
        total += len(data)
        if total > _SPOOL_BYTES:
            raise AudioError(f"got more than {_SPOOL_BYTES >> 30} GiB from a pipe, expected a recording; end it")
        spool.write(data)
    return spool


def _standard_input() -> Iterator[bytes]:
    source = getattr(sys.stdin, "buffer", None)
    if source is None or sys.stdin.isatty():
        got = "no standard input" if source is None else "a terminal"
        raise AudioError(f"got {got}, expected a recording on standard input; pipe one in, or name a file")
    while data := source.read(_COPY_BYTES):
        yield data


def _pipe(path: str) -> Iterator[bytes]:
    import select

    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opens before anyone writes
    try:
        began = False
        while True:
            # without a writer a pipe is at its end, and poll says so at once or not at all
            ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
            data = os.read(pipe, _COPY_BYTES) if ready else None
            if data:
                began = True
                yield data
            elif began and data is not None:
                return
            else:
                raise AudioError(
                    f"got a pipe that brought nothing for {PATIENCE_S:g} s, expected a recording; start what writes "
                    "to it first"
                )
    finally:
        os.close(pipe)


@contextmanager
def opened(source: Source) -> Iterator[tuple[soundfile.SoundFile, Size | None]]:
    """Open a recording to be read in order, with what its header announces.

    Raises
    ------
    AudioError
        If it cannot be read or decoded; so do errors of soundfile and of the system while it is open.
    """
    import soundfile

    class InOrder(soundfile.SoundFile):  # type: ignore[misc]
        """Reads on from where it is; soundfile seeks after each block, which GSM, G.721 and long FLAC cannot."""

        def seekable(self) -> bool:
            return False

    with decoding_errors(source), ExitStack() as stack:
        raw: BinaryIO | Spool
        if source.spool is not None:
            raw = source.spool
        else:
            remote = is_remote(source.path)
            raw = stack.enter_context(cast(BinaryIO, open_remote(source.path)) if remote else _file(source.path))
        raw.seek(0)
        head = raw.read(16)
        if not head:
            raise AudioError(f"got an empty file, expected {FORMATS}; record or copy it again")
        headerless = _headerless(source, head)
        size = None if headerless else size_of(raw)
        raw.seek(0)
        told: dict[str, Any] = {}
        if headerless:
            told = {
                "format": "RAW",
                "subtype": HEADERLESS[headerless.encoding],
                "samplerate": headerless.sample_rate_hz,
                "channels": 1,
                "endian": "LITTLE",
            }
        shown: Any = Patched(cast(BinaryIO, raw), size.patches if size else ())  # all that soundfile asks of a file
        # what needs no patch is read faster by its name, from which soundfile would guess that a .raw has no header
        plain = not (size and size.patches) and source.spool is None and not is_remote(source.path)
        plain = plain and (headerless is not None or headerless_suffix(source.path) is None)
        try:
            file = InOrder(os.fsencode(source.path) if plain else shown, **told)  # names need not be UTF-8
        except soundfile.LibsndfileError:
            for at, magic, what in _FOREIGN_MAGIC:
                if head[at : at + len(magic)] == magic:
                    raise _foreign(what) from None
            raise
        yield stack.enter_context(file), size


def _file(path: str) -> BinaryIO:
    file = open(path, "rb")  # noqa: SIM115
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        file.close()
        raise AudioError("got a device, expected a file or a pipe that holds a recording; name that")
    return file


def _headerless(source: Source, head: bytes) -> Headerless | None:
    """Return how to read a recording without a header; None where its header says so.

    Raises
    ------
    AudioError
        If it has none and nothing says how it is coded, or its name says otherwise, or nothing here decodes it.
    """
    suffix = os.path.splitext(source.path)[1].lower()
    if head.startswith(_MAGIC) or suffix in AUDIO_SUFFIXES:
        return None
    if suffix in FOREIGN_SUFFIXES:
        raise _foreign(FOREIGN_SUFFIXES[suffix])
    told = source.headerless
    if headerless_suffix(source.path) is None:
        return told
    encoding, rate = _named(suffix)
    if told is None:
        example = f"--encoding {encoding or 'mulaw'} --sample-rate {rate or 8000}"
        raise AudioError(
            f"got samples without a header, expected their encoding and rate, as {example}; or make it WAV"
        )
    if (encoding or told.encoding, rate or told.sample_rate_hz) != (told.encoding, told.sample_rate_hz):
        raise AudioError(
            f"got encoding {told.encoding} at {told.sample_rate_hz} Hz, expected {encoding} at "
            f"{rate or told.sample_rate_hz} Hz as its name says; score such files by themselves, or rename it"
        )
    return told


def _named(suffix: str) -> tuple[str | None, int | None]:
    """Return the encoding and rate that the name of a recording without a header says."""
    if numbered := _SLN.fullmatch(suffix):
        return "pcm16", 44100 if numbered[1] == "44" else int(numbered[1]) * 1000
    return _HEADERLESS_SUFFIXES[suffix], 8000 if suffix in (".sln", ".gsm") else None


def _foreign(what: str) -> AudioError:
    return AudioError(
        f"got {what} audio, which is not decoded here, expected {FORMATS}; convert it, as with: ffmpeg -i IN OUT.wav"
    )


@contextmanager
def decoding_errors(source: Source) -> Iterator[None]:
    """Translate errors of soundfile and of the system; the one place where that is done."""
    import soundfile

    try:
        yield
    except AudioError:
        raise
    except FileNotFoundError:
        raise AudioError("got no such file, expected a recording; check the path") from None
    except IsADirectoryError:
        raise AudioError("got a folder, expected a recording; name the files in it") from None
    except PermissionError:
        raise AudioError("got no permission to read it, expected a readable file; change its mode") from None
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"got what cannot be decoded ({error.error_string.rstrip('.')}), expected {FORMATS}; check that "
            "it is audio, and copied whole"
        ) from error
    except (OSError, ValueError) as error:
        where = "address and the credentials" if is_remote(source.path) else "disk"
        said = getattr(error, "strerror", None) or error
        raise AudioError(f"got {said}, expected a readable file; check the {where}") from error
