"""A manifest: which recordings to score, and what the telephone system knows of each call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from emotion_triage.arguments import path_name, sequence
from emotion_triage.audio.recordings import CALLER_CHANNELS
from emotion_triage.audio.remote import is_remote
from emotion_triage.batch.inputs import CallerSpans, as_text, whole_path
from emotion_triage.batch.record import Record
from emotion_triage.errors import AudioError, TriageError
from emotion_triage.tables import decimal, read_table

__all__ = ["COLUMNS", "Manifest", "find_manifest", "read_manifest"]

COLUMNS = (
    *("source", "call", "caller", "agent", "disposition", "queue", "started_at", "group", "label"),
    *("caller_channel", "start_s", "end_s"),
)
"""What a manifest may say; `caller` is never read beyond its name: a number that is nowhere cannot leak."""
SUFFIXES = (".csv", ".tsv", ".parquet")


class _Row(msgspec.Struct, frozen=True):
    """What one row says of a call, as it comes into its record."""

    call: str | None = None
    agent: str | None = None
    disposition: str | None = None
    queue: str | None = None
    started_at: str | None = None
    group: str | None = None
    label: Literal["angry", "other"] | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Recordings and what is known of each call.

    Attributes
    ----------
    sources : tuple of str
        The recordings, in order, as `find_recordings` would name them.
    channels : dict of str to str
        The caller's channel of the recordings of which it says one.
    spans : CallerSpans or None
        When the caller speaks in the recordings of which it says so.
    notes : tuple of str
        What to tell of how it was read.
    """

    sources: tuple[str, ...]
    channels: Mapping[str, str] = {}
    spans: CallerSpans | None = None
    notes: tuple[str, ...] = ()
    _rows: Mapping[str, _Row]

    def annotated(self, record: Record) -> Record:
        """Return a record with what the manifest says of its call."""
        row = self._rows.get(record.source)
        return record if row is None else msgspec.structs.replace(record, **msgspec.structs.asdict(row))


def find_manifest(paths: list[str]) -> str | None:
    """Return the manifest among the paths to score, if there is one.

    Raises
    ------
    TriageError
        If there is something beside it.

    Examples
    --------
    >>> find_manifest(["calls/march.csv"]), find_manifest(["calls/"])
    ('calls/march.csv', None)
    """
    manifests = [path for path in sequence("paths", paths, str) if path.lower().endswith(SUFFIXES)]
    if not manifests:
        return None
    if len(paths) > 1:
        raise TriageError(f"{manifests[0]}: got a manifest and {len(paths) - 1} more paths, expected it alone")
    return manifests[0]


def read_manifest(path: str) -> Manifest:
    """Read a manifest.

    Parameters
    ----------
    path : str
        CSV with a header, as any spreadsheet writes it, or Parquet, here or at an address for fsspec; columns of
        `COLUMNS`, others are left out and noted. ``source`` is the recording, relative to the manifest's folder,
        absolute or an address; without this column, ``call`` is. ``started_at`` is ISO 8601; ``label`` is ``angry`` or
        ``other``; ``caller_channel`` is ``left``, ``right`` or ``mono``; ``start_s`` and ``end_s`` are a span of the
        caller in seconds, and a recording with several has a row for each.

    Raises
    ------
    TriageError
        If it cannot be read, names no recordings, or says two things of one.
    """
    path = path_name("path", path, AudioError)
    table = read_table(path, wanted=[name for name in COLUMNS if name != "caller"], dropped=["caller"])
    rows: dict[str, _Row] = {}
    channels: dict[str, str] = {}
    spans: dict[str, list[tuple[float, float]]] = {}
    sources: dict[str, str] = {}
    again = 0
    folder = path.rpartition("/")[0] if is_remote(path) else os.path.dirname(path)
    for number, cells in table.rows:
        where = f"{path}, row {number}"
        name = cells.pop("source", None) or cells.get("call")
        if not name:
            raise AudioError(f"{where}: got no recording, expected one in the column source (or call)")
        source = name if is_remote(name) or os.path.isabs(name) else f"{folder}/{name}" if folder else name
        key = as_text(source)
        channel, span = _channel(where, cells), _span(where, cells)
        try:
            if "started_at" in cells:  # one way to write it, so that its day is its first ten characters
                cells["started_at"] = datetime.fromisoformat(cells["started_at"]).isoformat()
            row = msgspec.convert(cells, _Row)
        except (msgspec.ValidationError, ValueError) as error:
            raise AudioError(f"{where}: {error}; correct the manifest") from None
        if key in rows:
            known = spans.get(source, [])
            if (row, channel) != (rows[key], channels.get(source)) or (span is None) != (not known):
                raise AudioError(
                    f"{where}: got {name} twice and not alike, expected each recording once, or once for each span "
                    "with all else the same; leave one out"
                )
            if span is None or span in known:
                again += 1
                continue
        rows[key], sources[source] = row, source
        if channel is not None:
            channels[source] = channel
        if span is not None:
            spans.setdefault(source, []).append(span)
    if not sources:
        raise AudioError(f"{path}: got a manifest without rows, expected a recording in each")
    if again:
        table.notes.append(f"{path}: left out {again} rows that say again what another says")
    return Manifest(
        sources=tuple(sources),
        channels=channels,
        spans=_caller_spans(path, spans),
        notes=tuple(table.notes),
        _rows=rows,
    )


def _channel(where: str, cells: dict[str, str]) -> str | None:
    channel = cells.pop("caller_channel", None)
    if channel is not None and channel.lower() not in CALLER_CHANNELS:
        raise AudioError(f"{where}: got caller_channel {channel!r}, expected {', '.join(CALLER_CHANNELS)}; correct it")
    return channel and channel.lower()


def _span(where: str, cells: dict[str, str]) -> tuple[float, float] | None:
    start, end = cells.pop("start_s", None), cells.pop("end_s", None)
    if start is None and end is None:
        return None
    try:
        if start is None or end is None:
            raise ValueError
        return decimal(start), decimal(end)
    except ValueError:
        raise AudioError(
            f"{where}: got start_s {start} and end_s {end}, expected both as seconds, as 12.5; correct the manifest"
        ) from None


def _caller_spans(path: str, spans: Mapping[str, list[tuple[float, float]]]) -> CallerSpans | None:
    if not spans:
        return None
    by_path = {whole_path(source): tuple(sorted(each)) for source, each in spans.items()}
    return CallerSpans(path=path, spans=by_path, of_all=False)
