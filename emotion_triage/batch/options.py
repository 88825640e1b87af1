"""How the recordings of a run are scored."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from emotion_triage.arguments import number, of_type
from emotion_triage.audio.decoding import Headerless
from emotion_triage.audio.recordings import Recording, open_recording
from emotion_triage.batch.append_log import LogSuffix
from emotion_triage.batch.inputs import CallerSpans
from emotion_triage.texts import Language, known_language

__all__ = ["ScoringOptions"]


class ScoringOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the recordings of a run are scored; pickles.

    Attributes
    ----------
    caller_channel : {"left", "right", "mono"} or None
        The caller's channel of a stereo file; ``"mono"`` for a file of the caller alone; None for a mono file of
        both sides, with `caller_spans`.
    caller_spans : CallerSpans or None
        When the caller speaks; only that is scored.
    channels : dict of str to str
        The caller's channel of single recordings, where it is another than `caller_channel`.
    headerless : Headerless or None
        How recordings without a header are coded.
    language : {"en", "fr"}
        Of the drivers.
    max_seconds : float or None
        Longest time that one recording may take; looked at between blocks of 10 s of its audio.
    timeline : {".jsonl", ".csv"} or None
        Keep the timeline too, as lines of such a file.

    Raises
    ------
    ArgumentError
        If a setting is of another type or out of range.
    """

    caller_channel: str | None
    caller_spans: CallerSpans | None = None
    channels: Mapping[str, str] = {}
    headerless: Headerless | None = None
    language: Language = "en"
    max_seconds: float | None = None
    timeline: LogSuffix | None = None

    def __post_init__(self) -> None:
        known_language(self.language)
        of_type(CallerSpans | None, "read_spans reads them", caller_spans=self.caller_spans)
        of_type(Headerless | None, headerless=self.headerless)
        of_type(Mapping, channels=self.channels)
        if self.max_seconds is not None:
            number("max_seconds", self.max_seconds, "seconds above 0", above=0.0)

    def channel_of(self, source: str) -> str | None:
        """Return the caller's channel of a recording."""
        return self.channels.get(source, self.caller_channel)

    def open(self, source: str) -> Recording:
        """Open a recording.

        Raises
        ------
        AudioError
            See `emotion_triage.audio.recordings.open_recording`, and `CallerSpans.of`.
        """
        return open_recording(
            source,
            caller_channel=self.channel_of(source),
            caller_spans=None if self.caller_spans is None else self.caller_spans.of(source),
            headerless=self.headerless,
        )
