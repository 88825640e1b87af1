"""How much audio a recording's header announces, and how much is there."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeAlias, cast

__all__ = ["Patched", "Size", "size_of"]

UNKNOWN_FROM = 0x7F000000
"""Sizes from here on say "until the end": writers into a pipe put 0x7F000000 (sox, AIFF), 0x7FFFF000 (sox, WAV),
0x7FFFFFFF, 0x80000000 or 0xFFFFFFFF (ffmpeg)."""
_TAIL_BYTES = 1 << 16
"""An Ogg page has no more."""
_LAST_PAGE = 4


class Size(NamedTuple):
    """How much audio a header announces.

    Attributes
    ----------
    announced_bytes : int or None
        None where the header does not say.
    there_bytes : int
        From the first sample to the end of the file, at most what was announced.
    patches : tuple of (int, bytes)
        Where the header's bytes must differ for a reader that trusts them, and what they must be.
    """

    announced_bytes: int | None
    there_bytes: int
    patches: tuple[tuple[int, bytes], ...] = ()

    @property
    def share(self) -> float:
        """How much of what was announced is there, 0 to 1; 1 where nothing was."""
        return self.there_bytes / self.announced_bytes if self.announced_bytes else 1.0


class Patched:
    """A file whose header reads as it should be; for soundfile, which wants no more than these methods."""

    def __init__(self, file: BinaryIO, patches: tuple[tuple[int, bytes], ...]) -> None:
        self._file = file
        self._patches = patches

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        """As of a file, with the patches in what is read."""
        at = self._file.tell()
        data = bytearray(self._file.read(size))
        for start, new in self._patches:
            first, last = max(start, at), min(start + len(new), at + len(data))
            if first < last:
                data[first - at : last - at] = new[first - start : last - start]
        return bytes(data)


Readable: TypeAlias = BinaryIO | Patched


def size_of(file: Readable) -> Size | None:
    """Return how much audio the header of WAV, RF64, W64, AIFF, AU, CAF, NIST or Ogg announces.

    Parameters
    ----------
    file : binary file
        Can seek; is left at its start.

    Returns
    -------
    Size or None
        None of any other file, and of one whose header is broken. An Ogg stream announces no size but marks its last
        page; where that mark is missing, ``there_bytes`` is 0.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(32)
    try:
        for magic, measure in _MEASURES:
            if head.startswith(magic):
                return measure(file, end)
        return None
    except struct.error:  # cut within a header: the decoder says so
        return None
    finally:
        file.seek(0)


def _unpack(file: Readable, at: int, layout: str) -> tuple[int, ...]:
    file.seek(at)
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _sized(announced: int, there: int, at: int, layout: str, *, unknown: bool, extra: int = 0) -> Size:
    """Return a size with its patch; `extra` bytes of the chunk are counted by its size and are not audio."""
    if announced <= there and not unknown:
        return Size(announced - extra, announced - extra)
    most = (1 << 8 * struct.calcsize(layout)) - 2
    patch = ((at, struct.pack(layout, min(there, most))),)
    return Size(None if unknown else announced - extra, there - extra, patch)


def _chunks(file: Readable, at: int, end: int, layout: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name, the size and the place of the contents of each chunk; a size may be odd, a place is even."""
    while at + 8 <= end:
        name, size = cast(tuple[bytes, int], _unpack(file, at, layout))
        yield name, size, at + 8
        at += 8 + size + size % 2


def _riff(file: Readable, end: int) -> Size | None:
    file.seek(0)
    order = ">" if file.read(4) == b"RIFX" else "<"
    large = None
    for name, size, at in _chunks(file, 12, end, f"{order}4sI"):
        if name == b"ds64":
            large = at + 8
        elif name == b"data":
            where, layout, announced = at - 4, f"{order}I", size
            if large is not None and size == 0xFFFFFFFF:
                where, layout = large, f"{order}Q"
                (announced,) = _unpack(file, large, layout)
            wide = layout.endswith("Q")
            unknown = announced >= (1 << 63 if wide else UNKNOWN_FROM)
            if not announced:  # left at 0 by a writer that could not come back, or truly empty before other chunks
                unknown = not _ends_in_chunks(file, at, end, f"{order}4sI")
            return _sized(announced, end - at, where, layout, unknown=unknown)
    return None


def _ends_in_chunks(file: Readable, at: int, end: int, layout: str) -> bool:
    for name, size, place in _chunks(file, at, end, layout):
        if not all(32 <= letter < 127 for letter in name):
            return False
        at = place + size + size % 2
    return at - 1 <= end <= at


def _wave64(file: Readable, end: int) -> Size | None:
    at = 40
    while at + 24 <= end:
        name, size = cast(tuple[bytes, int], _unpack(file, at, "<16sQ"))
        if name.startswith(b"data"):
            unknown = size <= 24 or size >= 1 << 63
            return _sized(size, end - at, at + 16, "<Q", unknown=unknown, extra=24)
        if size < 24:
            return None
        at += (size + 7) // 8 * 8
    return None


def _aiff(file: Readable, end: int) -> Size | None:
    for name, size, at in _chunks(file, 12, end, ">4sI"):
        if name == b"SSND":
            unknown = size == 0 or size >= UNKNOWN_FROM
            return _sized(size, end - at, at - 4, ">I", unknown=unknown, extra=8)
    return None


def _au(file: Readable, end: int) -> Size | None:
    file.seek(0)
    order = ">" if file.read(4) == b".snd" else "<"
    at, announced = _unpack(file, 4, f"{order}II")
    unknown = announced == 0 or announced >= UNKNOWN_FROM
    return _sized(announced, max(0, end - at), 8, f"{order}I", unknown=unknown)


def _caf(file: Readable, end: int) -> Size | None:
    at = 8
    while at + 12 <= end:
        name, size = cast(tuple[bytes, int], _unpack(file, at, ">4sq"))
        if name == b"data":
            return _sized(size, end - at - 12, at + 4, ">q", unknown=size <= 4, extra=4)
        if size < 0:
            return None
        at += 12 + size
    return None


def _nist(file: Readable, end: int) -> Size | None:
    file.seek(0)
    lines = file.read(1024).split(b"\n")
    fields = {line.split()[0]: line.split()[-1] for line in lines if len(line.split()) == 3}
    try:
        each = [int(fields[name]) for name in (b"sample_count", b"sample_n_bytes", b"channel_count")]
        there = end - int(lines[1])
    except (KeyError, ValueError, IndexError):
        return None
    announced = each[0] * each[1] * each[2]
    return Size(announced, min(announced, max(0, there))) if announced else None


def _ogg(file: Readable, end: int) -> Size:
    file.seek(max(0, end - _TAIL_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    ended = 0 <= page < len(tail) - 5 and bool(tail[page + 5] & _LAST_PAGE)
    return Size(None, end if ended else 0)


_MEASURES = (
    (b"RIFF", _riff),
    (b"RIFX", _riff),
    (b"RF64", _riff),
    (b"BW64", _riff),
    (b"riff", _wave64),
    (b"FORM", _aiff),
    (b".snd", _au),
    (b"dns.", _au),
    (b"caff", _caf),
    (b"NIST_1A", _nist),
    (b"OggS", _ogg),
)
