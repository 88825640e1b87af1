"""Nonces of signed connections where all processes of one server find them: a file each, in a folder of their own."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from emotion_triage.adapters.audiohook_signature import KEPT_S

__all__ = ["NonceFolder"]


class NonceFolder:
    """Nonces of signatures that were taken by any process that uses the same folder.

    The file system lets one process alone make a file, and it outlives a process that is killed. Each file is as old as
    its nonce, and goes once the signature is too old to be sent again.

    Parameters
    ----------
    folder : Path
        On this machine; made where it is not there.
    kept_s : float
        How long a nonce is kept.
    """

    def __init__(self, folder: Path, kept_s: float = KEPT_S) -> None:
        self._folder = folder
        self._kept_s = kept_s
        folder.mkdir(mode=0o700, exist_ok=True)
        self._swept_s = 0.0

    def add(self, nonce: str, *, now_s: float) -> bool:
        """Keep a nonce; False if it was there already."""
        if now_s - self._swept_s > self._kept_s:
            self._swept_s = now_s
            self._sweep(now_s)
        path = self._folder / hashlib.sha256(nonce.encode()).hexdigest()
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        os.utime(path, (now_s, now_s))
        return True

    def _sweep(self, now_s: float) -> None:
        for path in self._folder.iterdir():
            try:
                if path.stat().st_mtime < now_s - self._kept_s:
                    path.unlink()
            except FileNotFoundError:  # another process swept it
                continue
