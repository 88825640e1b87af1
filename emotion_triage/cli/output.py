"""Standard output and error that take every character, and say so when nothing can be written to them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

__all__ = ["writable_output"]

_UNWRITTEN = 1
"""Exit code: something could not be written."""
_ERRORS = "emotion-triage"
_PLAIN = {"→": "->", "“": '"', "”": '"', "’": "'", "«": '"', "»": '"', "…": "...", "·": ".", "─": "-", "•": "*"}
_PLAIN |= dict(zip("▏▎▍▌▋▊▉█", ".....###", strict=True))
_PLAIN |= dict.fromkeys("\u00a0\u202f\u2009", " ")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Write what a code page lacks in letters that each has: a sign for an arrow, a letter without its accent."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    written = []
    for letter in error.object[error.start : error.end]:
        bare = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
        written.append(_PLAIN.get(letter) or bare or letter.encode("ascii", "backslashreplace").decode())
    return "".join(written), error.end


class _Unwritten(OSError):
    """Standard output cannot be written; other files have errors of their own."""


class _Output(io.RawIOBase):
    """Standard output, which fails once and is silent from then on: Python writes once more as it ends."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._failed = False

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._descriptor is not None and os.isatty(self._descriptor)

    def fileno(self) -> int:
        return super().fileno() if self._descriptor is None else self._descriptor

    def write(self, data: Buffer) -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            if self._descriptor is None:
                raise OSError(errno.EBADF, "it is closed")
            return os.write(self._descriptor, data)
        except BrokenPipeError:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            raise _Unwritten(error.errno, error.strerror) from None


@contextmanager
def writable_output() -> Iterator[None]:
    """Run a command whatever the terminal's code page lacks; end it where standard output cannot be written.

    Raises
    ------
    SystemExit
        With code 1 if standard output cannot be written; with a message unless its reader has left, as `head` does.
    """
    codecs.register_error(_ERRORS, _plain)
    before = sys.stdout
    if before is not None and not isinstance(before, io.TextIOWrapper):  # somebody put another in its place
        yield
        return
    descriptor = None if before is None else before.fileno()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor)),
        "utf-8" if before is None else before.encoding,
        errors=_ERRORS,
        line_buffering=before is not None and before.line_buffering,
    )
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors=_ERRORS)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except _Unwritten as error:
        with suppress(OSError):
            print(
                f"emotion-triage: standard output cannot be written ({error.strerror}); make room, or name a file",
                file=sys.stderr,
            )
        raise SystemExit(_UNWRITTEN) from None
    except BrokenPipeError:
        raise SystemExit(_UNWRITTEN) from None
