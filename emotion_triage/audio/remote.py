"""Recordings and manifests that lie elsewhere: ``s3://``, ``gs://`` and every other place that fsspec knows."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from emotion_triage.errors import AudioError, MissingExtraError, TriageError

__all__ = ["fetch", "find_remote", "is_remote", "is_there", "open_remote", "remote_bytes", "send"]


def is_remote(path: str) -> bool:
    """Return whether a path is a URL for fsspec.

    Examples
    --------
    >>> is_remote("s3://calls/2026/a.wav"), is_remote("calls/a.wav")
    (True, False)
    """
    return "://" in path


def open_remote(path: str) -> IO[bytes]:
    """Open a file elsewhere; it can seek, and holds a few MiB of the file at a time, as fsspec is set up.

    Raises
    ------
    MissingExtraError
        If fsspec, or its part for this kind of place, is not installed.
    OSError
        If there is no such file, or no way to it.
    """
    files, inner = _place(path)
    return cast(IO[bytes], files.open(inner, "rb"))


def remote_bytes(path: str) -> int:
    """Return the size of a file elsewhere, in bytes.

    Raises
    ------
    MissingExtraError, OSError
        See `open_remote`.
    """
    files, inner = _place(path)
    return int(files.size(inner) or 0)


def find_remote(path: str) -> list[str]:
    """Expand a folder or glob elsewhere to files; a file stands for itself.

    Parameters
    ----------
    path : str
        A URL.

    Raises
    ------
    MissingExtraError
        See `open_remote`.
    AudioError
        If the place cannot be listed.
    """
    files, inner = _place(path)
    try:
        if glob.has_magic(path):
            found = [each for each in files.glob(inner) if files.isfile(each)]
        elif files.isdir(inner):
            found = [each for each in files.find(inner) if not each.rpartition("/")[2].startswith(".")]
        else:
            return [path]
    except Exception as error:  # each place has errors of its own
        raise AudioError(f"{path}: cannot be listed ({error}); check the address and the credentials") from None
    return sorted(str(files.unstrip_protocol(each)) for each in found)


def is_there(address: str) -> bool:
    """Return whether there is a file or folder at an address.

    Raises
    ------
    MissingExtraError
        See `open_remote`.
    TriageError
        If the place does not answer.
    """
    files, inner = _place(address)
    with _told(address, "reached"):
        files.invalidate_cache()
        return bool(files.exists(inner))


def fetch(address: str, path: Path) -> None:
    """Copy a file, or a folder's files, from elsewhere; what has arrived in part is not at `path`.

    Raises
    ------
    MissingExtraError
        See `open_remote`.
    TriageError
        If it cannot be read.
    """
    files, inner = _place(address)
    half = path.with_name(f"{path.name}.arriving")
    shutil.rmtree(half, ignore_errors=True)
    with _told(address, "read"):
        for each in files.find(inner):
            within = each.removeprefix(inner).lstrip("/")
            target = half / within if within else half
            target.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(each, str(target))
        os.replace(half, path)


def send(path: Path, address: str) -> None:
    """Copy a file, or a folder's files, to an object store; what was at the address and is not among them goes.

    Raises
    ------
    MissingExtraError
        See `open_remote`.
    TriageError
        If it cannot be written; what is here stays.
    """
    files, inner = _place(address)
    sent = set()
    with _told(address, "written"):
        for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if each.is_file():
                target = "/".join([inner, *each.relative_to(path).parts])
                files.put_file(str(each), target)
                sent.add(target)
        files.invalidate_cache()
        stale = [each for each in files.find(inner) if each not in sent]
        if stale:
            files.rm(stale)


@contextmanager
def _told(address: str, doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each place has errors of its own
        raise TriageError(f"{address}: cannot be {doing} ({error}); check the address and the credentials") from None


def _place(path: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the file's name there."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(
            f"{path}: an address needs fsspec, which is not installed; install the extra 'remote', see docs/install.md"
        ) from None
    try:
        files, inner = fsspec.core.url_to_fs(path)
    except ImportError as error:
        raise MissingExtraError(f"{path}: {error}; pip install what it names") from None
    except ValueError as error:
        raise AudioError(f"{path}: got an address of no known kind ({error}); see fsspec's list") from None
    return files, str(inner)
