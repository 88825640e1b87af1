"""A file of records to a folder of pages."""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from emotion_triage.arguments import of_type, path_name
from emotion_triage.audio.recordings import Headerless
from emotion_triage.batch.record import Record
from emotion_triage.batch.result_file import events_path, read_records, read_timelines
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.report.audit import LEVEL_NAMES, Batch, worth_a_listen
from emotion_triage.report.envelope import envelope_of
from emotion_triage.report.pictures import days_picture, hours_picture, queues_picture, timeline_picture
from emotion_triage.report.wording import WORDS, masked, reasons, share
from emotion_triage.routing.policy import filled_link, link_fields
from emotion_triage.texts import Language, clock, day_and_time, known_language, number

__all__ = ["write_report"]

FIRST = 30
"""Calls listed as worth a listen first."""
LISTED = 200
"""Calls on one page of the list of all."""
SHOWN_ERRORS = 100
SHOWN_CHANGES = 500
"""Rows of a call's page, the first: a call of hours must not outgrow its page."""


class _Listed(NamedTuple):
    """A call in a list: its page, and its recording, both as links."""

    name: str
    page: str
    record: Record
    recording: str | None


def write_report(
    scores: Path,
    out: Path,
    *,
    language: Language = "en",
    recording_link: str = "",
    headerless: Headerless | None = None,
) -> Iterator[Path]:
    """Write a page for each call and one for all, as they are done; the batch's page, ``index.html``, comes last.

    Every call is linked from it, or from the pages of its list, ``calls-2.html`` and on. No page names a caller or an
    agent, nor an address outside itself but the recording's; what looks like a telephone number is masked.

    Parameters
    ----------
    scores : Path
        Records, as ``emotion-triage score`` writes them; with timelines beside them, pages show the course of the call.
    out : Path
        A folder, made where there is none.
    language : {"en", "fr"}
        Of the pages; reasons are told in it whichever language they were scored in.
    recording_link : str
        A policy's `report.recording_link`; none is shown of a call whose link would hold a telephone number.
    headerless : Headerless, optional
        How recordings without a header are coded, so that their waveforms can be drawn.

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
    of_type(str, recording_link=recording_link)
    of_type(Headerless | None, headerless=headerless)
    scores, out = Path(path_name("scores", scores, TriageError)), Path(path_name("out", out, TriageError))
    templates = _templates(known_language(language))
    records = {record.source: record for record in read_records(scores)}
    if not records:
        raise TriageError(f"{scores}: got no records, expected some; score recordings first")
    page_of = {source: f"calls/{i:0{len(str(len(records)))}}.html" for i, source in enumerate(records, 1)}
    try:
        (out / "calls").mkdir(parents=True, exist_ok=True)
        for source, timeline in _timelines(scores, records):
            page = out / page_of[source]
            recording = _recording(records[source], recording_link, folder="../")
            page.write_text(
                _call_page(templates, records[source], timeline, recording, language, headerless), encoding="utf-8"
            )
            yield page
        listed = [
            _Listed(_name(record), page_of[source], record, _recording(record, recording_link))
            for source, record in records.items()
        ]
        for name, html in _batch_pages(templates, listed, language):
            (out / name).write_text(html, encoding="utf-8")
            yield out / name
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


def _call_page(
    templates: Any,
    record: Record,
    timeline: Sequence[TimelineRow],
    recording: str | None,
    language: Language,
    headerless: Headerless | None,
) -> str:
    outline = envelope_of(record, timeline, headerless=headerless) if timeline else []
    drawn = record.duration_s is not None and any(row.kind == "affect" for row in timeline)
    changes = [row for row in timeline if row.kind != "affect"]
    page: str = templates.get_template("call.html.j2").render(
        name=_name(record),
        record=record,
        recording=recording,
        why=reasons(record.drivers, language),
        course=timeline_picture(timeline, outline, record.duration_s or 0.0, language) if drawn else None,
        outlined=bool(outline),
        changes=changes[:SHOWN_CHANGES],
        more_changes=max(0, len(changes) - SHOWN_CHANGES),
    )
    return page


def _batch_pages(templates: Any, listed: Sequence[_Listed], language: Language) -> Iterator[tuple[str, str]]:
    """Yield name and text of each further page of the list of calls, then of the batch's, which has the first."""
    lists = [listed[start : start + LISTED] for start in range(0, len(listed), LISTED)]
    names = ["index.html", *(f"calls-{i}.html" for i in range(2, len(lists) + 1))]
    following = [*names[1:], None]
    for i, calls in enumerate(lists[1:], 1):
        yield (
            names[i],
            templates.get_template("calls.html.j2").render(
                listed=calls, number_of_page=i + 1, of_pages=len(lists), following=following[i]
            ),
        )
    records = [each.record for each in listed]
    batch = Batch(records)
    first = heapq.nlargest(
        FIRST,
        (each for each in listed if each.record.peak_level in LEVEL_NAMES[1:] or each.record.angry_start),
        key=lambda each: worth_a_listen(each.record),
    )
    errors = [each for each in listed if each.record.status == "error"]
    days = sorted({day for day, _, _ in batch.by_hour})
    queues = sorted({queue for queue, _ in batch.by_queue})
    page: str = templates.get_template("batch.html.j2").render(
        batch=batch,
        first=first,
        listed=lists[0],
        of_pages=len(lists),
        following=following[0],
        days=days_picture(batch, language) if days else None,
        hours=hours_picture(batch, language) if days else None,
        day_rows=[(day, [_of_day(batch, day, level) for level in LEVEL_NAMES]) for day in days],
        queues=queues_picture(batch, language) if queues else None,
        queue_rows=[(queue, [batch.by_queue[queue, level] for level in LEVEL_NAMES]) for queue in queues],
        audits=batch.audits(),
        errors=errors[:SHOWN_ERRORS],
        more_errors=max(0, len(errors) - SHOWN_ERRORS),
        policies=sorted({record.policy_digest for record in records}),
        models=sorted({record.model_digest for record in records}),
    )
    yield names[0], page


def _of_day(batch: Batch, day: str, level: str) -> int:
    return sum(count for (each, _, name), count in batch.by_hour.items() if (each, name) == (day, level))


def _name(record: Record) -> str:
    """Return what a call is called on a page: as in the manifest, or the recording's file name."""
    return masked(record.call or os.path.basename(record.source))


def _recording(record: Record, link: str, *, folder: str = "") -> str | None:
    """Return the address of a recording; None where there is none to show, or it would hold a telephone number.

    A path is relative to the report's folder, which lies at `folder` from the page.
    """
    values = {
        "source": record.source,
        "name": os.path.basename(record.source),
        "call": record.call or "",
        "start_s": str(int(record.peak_s or 0)),
    }
    address = filled_link(link, values)
    if address is None or any(masked(values[field]) != values[field] for field in link_fields(link)):
        return None
    return address if re.match(r"\w+://|/", address) else folder + address
