"""Recordings and manifests that lie elsewhere: ``s3://``, ``gs://`` and every other place that fsspec knows."""

from __future__ import annotations

import glob
from typing import IO, Any, cast

from emotion_triage.errors import AudioError, MissingExtraError

__all__ = ["find_remote", "is_remote", "open_remote", "remote_bytes"]


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


def find_remote(path: str, suffixes: tuple[str, ...]) -> list[str]:
    """Expand a folder or glob elsewhere to files; a file stands for itself.

    Parameters
    ----------
    path : str
        A URL.
    suffixes : tuple of str
        Files of a folder that count.

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
            found = [each for each in files.find(inner) if each.lower().endswith(suffixes)]
            found = [each for each in found if not each.rpartition("/")[2].startswith(".")]
        else:
            return [path]
    except Exception as error:  # each place has errors of its own
        raise AudioError(f"{path}: cannot be listed ({error}); check the address and the credentials") from None
    return sorted(str(files.unstrip_protocol(each)) for each in found)


def _place(path: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the file's name there."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtraError(
            f"{path}: an address needs fsspec, which is not installed; pip install 'emotion-triage[remote]'"
        ) from None
    try:
        files, inner = fsspec.core.url_to_fs(path)
    except ImportError as error:
        raise MissingExtraError(f"{path}: {error}; pip install what it names") from None
    except ValueError as error:
        raise AudioError(f"{path}: got an address of no known kind ({error}); see fsspec's list") from None
    return files, str(inner)
