"""A file of records to a folder of pages."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from emotion_triage.batch.record import Record
from emotion_triage.batch.result_file import events_path, read_records, read_timelines
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.report.audit import LEVEL_NAMES, Batch, worth_a_listen
from emotion_triage.report.envelope import envelope_of
from emotion_triage.report.pictures import days_picture, hours_picture, queues_picture, timeline_picture
from emotion_triage.report.wording import WORDS, masked, reasons, share
from emotion_triage.texts import Language, clock, day_and_time, number

__all__ = ["write_report"]

FIRST = 30
"""Calls listed as worth a listen first."""
SHOWN_ERRORS = 100
SHOWN_CHANGES = 500
"""Rows of a call's page, the first: a call of hours must not outgrow its page."""


class _Listed(NamedTuple):
    """A call in the list of the batch's page."""

    name: str
    page: str
    record: Record


def write_report(scores: Path, out: Path, *, language: Language = "en") -> Iterator[Path]:
    """Write a page for each call and one for all, as they are done; the batch's page, ``index.html``, comes last.

    No page names a caller, an agent, or an address outside itself; what looks like a telephone number is masked.

    Parameters
    ----------
    scores : Path
        Records, as ``emotion-triage score`` writes them; with timelines beside them, pages show the course of the call.
    out : Path
        A folder, made where there is none.
    language : {"en", "fr"}
        Of the pages; reasons are told in it whichever language they were scored in.

    Yields
    ------
    Path
        Each page that was written.

    Raises
    ------
    TriageError
        If the records cannot be read, name a call twice, or a page cannot be written.
    MissingExtraError
        If Jinja2 or vl-convert-python is not installed.
    """
    templates = _templates(language)
    records = {record.source: record for record in read_records(scores)}
    if not records:
        raise TriageError(f"{scores}: got no records, expected some; score recordings first")
    page_of = {source: f"calls/{i:0{len(str(len(records)))}}.html" for i, source in enumerate(records, 1)}
    try:
        (out / "calls").mkdir(parents=True, exist_ok=True)
        for source, timeline in _timelines(scores, records):
            page = out / page_of[source]
            page.write_text(_call_page(templates, records[source], timeline, language), encoding="utf-8")
            yield page
        page = out / "index.html"
        page.write_text(_batch_page(templates, records, page_of, language), encoding="utf-8")
        yield page
    except OSError as error:
        raise TriageError(f"{out}: cannot be written ({error.strerror}); check the folder and the disk") from None


def _timelines(scores: Path, records: Mapping[str, Record]) -> Iterator[tuple[str, list[TimelineRow]]]:
    """Yield each call with its timeline: first those that have one, then the others."""
    left = dict.fromkeys(records)
    if (path := events_path(scores)).exists():
        for source, timeline in groupby(read_timelines(path), key=lambda row: row.source):
            if source in left:
                del left[source]
                yield source, list(timeline)
    for source in left:
        yield source, []


def _templates(language: Language) -> Any:
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError(
            "reports need Jinja2, which is not installed; install the extra 'report', see docs/install.md"
        ) from None
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("emotion_triage.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {
        "clock": clock,
        "day_and_time": day_and_time,
        "language": language,
        "levels": LEVEL_NAMES,
        "masked": masked,
        "number": number,
        "reasons": reasons,
        "share": share,
        "w": {key: word[language] for key, word in WORDS.items()},
    }
    return templates


def _call_page(templates: Any, record: Record, timeline: Sequence[TimelineRow], language: Language) -> str:
    outline = envelope_of(record, timeline) if timeline else []
    drawn = record.duration_s is not None and any(row.kind == "affect" for row in timeline)
    page: str = templates.get_template("call.html.j2").render(
        name=_name(record),
        record=record,
        why=reasons(record.drivers, language),
        course=timeline_picture(timeline, outline, record.duration_s or 0.0, language) if drawn else None,
        outlined=bool(outline),
        changes=[row for row in timeline if row.kind != "affect"][:SHOWN_CHANGES],
    )
    return page


def _batch_page(templates: Any, records: Mapping[str, Record], page_of: Mapping[str, str], language: Language) -> str:
    batch = Batch(records.values())
    first = heapq.nlargest(
        FIRST, (record for record in records.values() if record.peak_level in LEVEL_NAMES[1:]), key=worth_a_listen
    )
    errors = [f"{_name(record)}: {record.error}" for record in records.values() if record.status == "error"]
    days = sorted({day for day, _, _ in batch.by_hour})
    queues = sorted({queue for queue, _ in batch.by_queue})
    page: str = templates.get_template("batch.html.j2").render(
        batch=batch,
        first=[_Listed(_name(record), page_of[record.source], record) for record in first],
        days=days_picture(batch, language) if days else None,
        hours=hours_picture(batch, language) if days else None,
        day_rows=[(day, [_of_day(batch, day, level) for level in LEVEL_NAMES]) for day in days],
        queues=queues_picture(batch, language) if queues else None,
        queue_rows=[(queue, [batch.by_queue[queue, level] for level in LEVEL_NAMES]) for queue in queues],
        audits=batch.audits(),
        errors=errors[:SHOWN_ERRORS],
        more_errors=max(0, len(errors) - SHOWN_ERRORS),
        policies=sorted({record.policy_digest for record in records.values()}),
        models=sorted({record.model_digest for record in records.values()}),
    )
    return page


def _of_day(batch: Batch, day: str, level: str) -> int:
    return sum(count for (each, _, name), count in batch.by_hour.items() if (each, name) == (day, level))


def _name(record: Record) -> str:
    """Return what a call is called on a page: as in the manifest, or the recording's file name."""
    return masked(record.call or os.path.basename(record.source))
