"""When contacts make a standing or a shield, how long things are kept, and what the restricted are told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from emotion_triage.arguments import of_type, sequence
from emotion_triage.routing.contacts import Candidates, Fallback, Restriction, RestrictionKind
from emotion_triage.routing.standing import CLEAR, Standing
from emotion_triage.texts import Language, known_language

__all__ = ["ProtectionPolicy", "RestrictionText", "Retention"]

Count = Annotated[int, Meta(ge=1, le=10_000)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1)]
Days = Annotated[float, Meta(gt=0.0, le=3660.0)]
Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]


class RestrictionText(msgspec.Struct, frozen=True, kw_only=True):
    """What a restricted caller is told, one text for each kind; ``{until}`` stands for the date of its end."""

    supervisor_line: Text
    callback_only: Text
    writing_only: Text
    cool_off: Text
    block: Text
    appeal: Text


class RestrictionTexts(msgspec.Struct, frozen=True, kw_only=True):
    """What a restricted caller is told, in French and in English."""

    fr: RestrictionText
    en: RestrictionText


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long things are kept, in days.

    Attributes
    ----------
    contacts_days : float
        Contacts and what was said of them, from the end of the window in which they count.
    scores_days : float
        Peak, seconds escalated and drivers, from the contact.
    decisions_days : float
        The decision log; never less than 183.
    """

    contacts_days: Annotated[float, Meta(ge=0.0, le=3660.0)]
    scores_days: Days
    decisions_days: Annotated[float, Meta(ge=183.0, le=3660.0)]


class ProtectionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When contacts make a standing or a shield. Defaults live in ``policies/balanced.toml``, which explains each key.

    Attributes
    ----------
    region : str
        Two letters of the country whose national numbers are dialled without a prefix.
    window_days : float
        How long a confirmed abusive contact counts, in days.
    watch_after, protected_after : int
        Abusive contacts in the window from which a caller is watched or protected.
    when_unknown : {"neutral", "score"}
        Whether a caller is scored while nobody can say whether they objected, because the ledger cannot be asked or the
        caller cannot be read: ``neutral`` does not.
    warn_escalated_s : float
        Time at ESCALATED from which a contact asks for a verdict, in seconds.
    max_restriction_days : float
        The longest a restriction may last before a person must decide anew, in days.
    exempt_queues : tuple of str
        Queues in which nobody is restricted.
    after_call_work_s : float
        Rest after a confirmed abusive contact, in seconds.
    shift_s, rest_s : float
        Length of a shift, and of the shield after too many hard contacts in a row, in seconds.
    max_in_a_row, max_per_shift, max_per_window : int
        Hard contacts in a row or in a shift, and abusive ones in the window, from which an agent is shielded.
    fallbacks : tuple of {"supervisor", "callback", "voicebot"}
        Who takes a call when every agent is shielded from it, most wanted first.
    export_names : {"pseudonyms", "names"}
        How a caller's copy of what is kept names agents and supervisors.
    survey_scale : tuple of float, length 2
        The lowest and the highest answer of the centre's survey; another is refused.
    retention : Retention
        How long things are kept.
    texts : RestrictionTexts
        What the restricted are told.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> protection = Policy.load().protection
    >>> protection.window.days, protection.protected_after
    (90, 3)
    """

    region: Annotated[str, Meta(pattern="^[A-Z]{2}$")]
    window_days: Days
    watch_after: Count
    protected_after: Count
    when_unknown: Literal["neutral", "score"]
    warn_escalated_s: Seconds
    max_restriction_days: Annotated[float, Meta(gt=0.0, le=184.0)]
    exempt_queues: tuple[Name, ...]
    after_call_work_s: Seconds
    shift_s: Annotated[float, Meta(gt=0.0, le=86_400.0)]
    rest_s: Seconds
    max_in_a_row: Count
    max_per_shift: Count
    max_per_window: Count
    fallbacks: Annotated[tuple[Fallback, ...], Meta(min_length=1)]
    export_names: Literal["pseudonyms", "names"]
    survey_scale: tuple[float, float]
    retention: Retention
    texts: RestrictionTexts

    @property
    def window(self) -> timedelta:
        """How long a confirmed abusive contact counts."""
        return timedelta(days=self.window_days)

    @property
    def shift(self) -> timedelta:
        """The length of a shift."""
        return timedelta(seconds=self.shift_s)

    def unknown_standing(self, problem: str) -> Standing:
        """Return the standing of a caller while the ledger cannot be asked: clear, objecting as `when_unknown` says.

        Examples
        --------
        >>> from emotion_triage.routing.policy import Policy
        >>> standing = Policy.load().protection.unknown_standing("the ledger did not answer within 2 s")
        >>> standing.state.value, standing.known, standing.objection
        ('clear', False, True)
        """
        return msgspec.structs.replace(CLEAR, known=False, objection=self.when_unknown == "neutral", problem=problem)

    def unranked(self, agents: Sequence[str], problem: str) -> Candidates:
        """Return who may take a call while the ledger cannot be asked: the agents as given, or else the fallbacks."""
        given = tuple(dict.fromkeys(sequence("agents", agents, str)))
        fallbacks = () if given else self.fallbacks
        return Candidates(agents=given, fallbacks=fallbacks, reason=f"in the order given: {problem}")

    def notice(self, restriction: Restriction, language: Language) -> str:
        """Return what to tell a restricted caller, and how they may appeal, in French or English."""
        of_type(Restriction, restriction=restriction)
        texts = self.texts.fr if known_language(language) == "fr" else self.texts.en
        of_type(RestrictionKind, kind=restriction.kind)
        text = getattr(texts, restriction.kind.value)
        return f"{text} {texts.appeal}".replace("{until}", restriction.until.date().isoformat())
