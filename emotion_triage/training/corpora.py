"""A corpora folder: ``manifest.csv`` with labelled clips, ``noise/noise.csv`` with what is not speech."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from emotion_triage.errors import TriageError
from emotion_triage.tables import decimal, read_table

__all__ = ["ANGER", "CALM", "Clip", "Corpora", "Noise"]

COLUMNS = ("path", "corpus", "language", "speaker", "gender", "emotion", "duration_s", "licence")
ANGER = frozenset({"angry"})
DISTRESS = frozenset({"fear", "sad"})
AROUSED = frozenset({"angry", "happy", "fear", "surprise"})
CALM = frozenset({"neutral", "calm", "sad", "boredom"})
REQUIRED = frozenset({"path", "corpus", "speaker", "emotion", "duration_s", "kind"})
"""Columns of manifests in which no row may be empty."""
EMOTIONS = ANGER | DISTRESS | AROUSED | CALM | {"disgust"}


class Clip(NamedTuple):
    """A labelled clip of one speaker."""

    path: Path
    group: str
    corpus: str
    language: str
    speaker: str
    gender: str
    emotion: str
    duration_s: float
    licence: str


class Noise(NamedTuple):
    """A recording without a caller: background, music, laughter."""

    path: Path
    kind: str


class Corpora(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    clips : list of Clip
        `Clip.group` names the corpora that share speakers: the unit that is held out.
    noises : list of Noise
    digest : str
        SHA-256 of the manifests, so that a model can name its data.
    """

    clips: list[Clip]
    noises: list[Noise]
    digest: str

    @staticmethod
    def read(folder: Path) -> Corpora:
        """Read a folder's manifests.

        Raises
        ------
        TriageError
            If a manifest is missing or lacks a column, or an emotion is unknown.
        """
        manifest = folder / "manifest.csv"
        rows = _rows(manifest, COLUMNS)
        if not rows:
            raise TriageError(
                f"{manifest}: got no rows, expected a labelled clip in each; list the folder's clips in it"
            )
        unknown = sorted({row["emotion"] for row in rows} - EMOTIONS)
        if unknown:
            raise TriageError(
                f"{manifest}: got emotions {unknown}, expected some of {sorted(EMOTIONS)}; map them first"
            )
        groups = _groups(rows)
        clips = [
            Clip(
                folder / row["path"],
                groups[row["corpus"]],
                row["corpus"],
                row["language"],
                row["speaker"],
                row["gender"],
                row["emotion"],
                decimal(row["duration_s"]),
                row["licence"],
            )
            for row in rows
        ]
        sources, noises = [manifest], []
        if (listed := folder / "noise" / "noise.csv").exists():
            sources.append(listed)
            noises = [Noise(listed.parent / row["path"], row["kind"]) for row in _rows(listed, ("path", "kind"))]
        return Corpora(clips, noises, hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest())


def _rows(manifest: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Return a manifest's rows; each has a word, or nothing, in each column."""
    if not manifest.exists():
        raise TriageError(f"{manifest}: got no such file, expected a corpora folder with a manifest.csv in it")
    table = read_table(str(manifest), wanted=columns)
    if missing := [name for name in columns if name not in table.columns]:
        raise TriageError(
            f"{manifest}: columns {', '.join(missing)} are missing; expected at least {', '.join(columns)}"
        )
    rows = []
    for number, row in table.rows:
        if lacking := [name for name in REQUIRED if name in columns and name not in row]:
            raise TriageError(f"{manifest}, row {number}: got no {', '.join(lacking)}, expected one; complete the row")
        rows.append(dict.fromkeys(columns, "") | row)
    return rows


def _groups(rows: list[dict[str, str]]) -> dict[str, str]:
    """Name the group of each corpus: corpora that share a speaker, themselves or through others, are one.

    A speaker must never be on both sides of a split.
    """
    group = {row["corpus"]: row["corpus"] for row in rows}
    home: dict[str, str] = {}
    for row in rows:
        ours, theirs = group[row["corpus"]], group[home.setdefault(row["speaker"], row["corpus"])]
        if ours != theirs:
            group = {corpus: theirs if each == ours else each for corpus, each in group.items()}
    return group
