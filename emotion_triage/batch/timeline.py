"""The course of one recording: a row for each event and each gap, for tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from emotion_triage.affect.affect import Affect, describe
from emotion_triage.audio.g711 import Samples
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.batch.record import DECIMALS
from emotion_triage.call.triage import Event
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.rules import Route
from emotion_triage.texts import Language

__all__ = ["Timeline", "TimelineRow"]


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of a recording's timeline; None where a kind has no such thing.

    Attributes
    ----------
    source : str
        The recording, as in its record.
    kind : {"affect", "escalation", "route", "gap"}
        A gap is audio that was lost, or was not the caller's.
    time_s : float
        When, in seconds from the start of the recording; of a gap, its start.
    level : {"calm", "tense", "escalated"}
        The level from then on.
    anger, distress, arousal : float or None
        Scores, 0 to 1.
    anger_alone : float or None
        Where the caller has a baseline: anger as the voice by itself sounds, 0 to 1.
    speech_s, lost_s : float or None
        Speech and lost audio in the window of an affect; the length of a gap.
    score, held_s : float or None
        The smoothed evidence, 0 to 1, at a change of level, and how long the level before had lasted.
    queue, rule : str or None
        Where a route leads, and the rule that chose it.
    priority : int or None
        Of a route; larger is more urgent.
    drivers : str or None
        The prosodic reasons of an affect; of a change of level, why it rose or what fell; in words.
    """

    source: str
    kind: Literal["affect", "escalation", "route", "gap"]
    time_s: float
    level: Literal["calm", "tense", "escalated"]
    anger: float | None = None
    distress: float | None = None
    arousal: float | None = None
    anger_alone: float | None = None
    speech_s: float | None = None
    lost_s: float | None = None
    score: float | None = None
    held_s: float | None = None
    queue: str | None = None
    rule: str | None = None
    priority: int | None = None
    drivers: str | None = None


class Timeline:
    """The timeline of one recording, as its blocks and events come by.

    Parameters
    ----------
    source : str
        The recording.
    route : Route
        Before the first word.
    language : {"en", "fr"}
        Of the drivers.
    """

    def __init__(self, source: str, route: Route, language: Language) -> None:
        self._source = source
        self._language = language
        self._level = Level.CALM
        self._rows: list[TimelineRow] = []
        self._at = 0
        self.add(route)

    def gaps(self, blocks: Iterable[tuple[int, Samples]]) -> Iterator[tuple[int, Samples]]:
        """Pass blocks through and note what they leave out."""
        for at, samples in blocks:
            self._skip(at)
            self._at = at + len(samples)
            yield at, samples

    def add(self, event: Event) -> None:
        """Note an event."""
        reasons = None
        match event:
            case Affect():
                reasons = describe(event.drivers, self._language)
                row = self._row("affect", event.time_s, reasons, **_rounded(event, _AFFECT))
            case Escalation():
                self._level = event.level
                reasons = event.reason(self._language)
                row = self._row("escalation", event.time_s, reasons, **_rounded(event, ("score", "held_s")))
            case Route():
                row = self._row(
                    "route", event.time_s, None, queue=event.queue, rule=event.rule, priority=event.priority
                )
        self._rows.append(row)

    def end(self, end_s: float) -> list[TimelineRow]:
        """Return all rows by time, with the gap before the end if there is one."""
        self._skip(round(end_s * SAMPLE_RATE_HZ))
        return sorted(self._rows, key=lambda row: row.time_s)

    def _skip(self, at: int) -> None:
        if at > self._at:
            lost_s = round((at - self._at) / SAMPLE_RATE_HZ, DECIMALS)
            self._rows.append(self._row("gap", self._at / SAMPLE_RATE_HZ, None, lost_s=lost_s))

    def _row(
        self,
        kind: Literal["affect", "escalation", "route", "gap"],
        time_s: float,
        reasons: str | None,
        **known: float | str | int,
    ) -> TimelineRow:
        return TimelineRow(
            source=self._source,
            kind=kind,
            time_s=round(time_s, DECIMALS),
            level=self._level.name.lower(),  # type: ignore[arg-type]
            drivers=reasons or None,
            **known,  # type: ignore[arg-type]
        )


_AFFECT = ("anger", "distress", "arousal", "anger_alone", "speech_s", "lost_s")


def _rounded(event: Event, names: tuple[str, ...]) -> dict[str, float]:
    known = ((name, getattr(event, name)) for name in names)
    return {name: round(float(value), DECIMALS) for name, value in known if value is not None}
