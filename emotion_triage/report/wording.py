"""The words of the pages, and how they write shares and names."""

from __future__ import annotations

import re

from emotion_triage.affect.affect import Driver
from emotion_triage.prosody.functionals import HEADLINES
from emotion_triage.routing.escalation import REASONS
from emotion_triage.texts import LANGUAGES, Language, number, texts

__all__ = ["WORDS", "masked", "reasons", "share"]

WORDS = texts(
    "report",
    {
        "calm": "calm",
        "tense": "tense",
        "escalated": "escalated",
        "no_speech": "no speech to score",
        "error": "could not be scored",
        "peak_anger": "Highest anger",
        "anger": "anger",
        "arousal": "arousal",
        "gap": "gap",
        "skip": "Skip to the content",
        "call": "Call",
        "calls": "calls",
        "batch": "Calls at a glance",
        "back": "All calls",
        "level": "Level",
        "peak": "Highest level",
        "for": "for {}, from {}",
        "listen": "Listen from",
        "route": "Recommended queue",
        "rule": "Rule",
        "by_rule": "Rule: {}",
        "queue": "Queue",
        "why": "What moved the score",
        "why_calm": "What the highest anger came from",
        "no_reason": "Nothing stood out.",
        "course": "Course of the call",
        "no_events": "No timeline: the recordings were scored without --events.",
        "no_wave": "The recording is no longer where it was scored; its waveform is not shown.",
        "picture": (
            "Anger and arousal from 0 to 1 over time, over the waveform of the caller; bands mark tense, "
            "escalated and gaps. Every change is in the table below."
        ),
        "changes": "Changes, routes and gaps",
        "time": "Time",
        "what": "What",
        "reasons": "Reasons",
        "to": "to",
        "made_by": "What decided",
        "model": "Model digest",
        "policy": "Policy digest",
        "recording": "Recording",
        "started": "Began",
        "duration": "Length",
        "speech": "Speech scored",
        "lost": "Lost, or not the caller’s",
        "channel": "Caller’s channel",
        "disposition": "Disposition",
        "limits": (
            "These scores say how the caller’s voice sounded, not what was said, nor why. They recommend; a "
            "person decides. The agent’s voice is never scored."
        ),
        "scored": "scored",
        "silent": "without speech",
        "hours": "hours of audio",
        "first": "Worth a listen first",
        "first_note": (
            "Escalated calls, by the time spent so, then tense ones, by their highest anger, then calm ones whose "
            "first seconds sounded angry."
        ),
        "none_first": "No call was tense or escalated, or began angrily.",
        "as_table": "The same as a table",
        "by_day": "Levels by day",
        "by_hour": "Levels by day and hour",
        "by_hour_note": "Share of calls that were tense or escalated at some time; the number is how many.",
        "no_dates": "No dates: give a manifest with started_at.",
        "day": "Day",
        "hour": "Hour",
        "queues": "Recommended queues",
        "audit": "False alarms by group",
        "audit_note": (
            "Of calls labelled not angry, those that reached escalated; of angry ones, those that did. "
            "Intervals are Wilson’s, at 95 %. Groups whose intervals overlap may be alike."
        ),
        "no_labels": "No labels: give a manifest with label (angry or other), and group to compare.",
        "group": "Group",
        "everyone": "all",
        "not_angry": "Calls not angry",
        "false_alarms": "False alarms",
        "angry": "Angry calls",
        "found": "Found",
        "interval": "95 % interval",
        "errors": "Could not be scored",
        "all_calls": "All calls",
        "page_of": "page {} of {}",
        "next": "Next page",
        "angry_start": "angry from the first word?",
        "angry_start_note": (
            "The first seconds, from which the caller’s usual level was taken, sounded angry already (anger {} by "
            "the voice itself). Levels compare with them: this caller may have been angry from the first word."
        ),
        "more": "and {} more",
    },
) | texts(
    "report calls",
    {
        "failed": "could not be scored",
        "were_escalated": "escalated",
    },
)
_TELEPHONE_NUMBER = re.compile(r"\+?\d(?:[ .\-/()]{0,2}\d){8,}")
KEPT_DIGITS = 2


def masked(name: str) -> str:
    """Return a name with what may be a telephone number cut to its last two digits.

    Recorders put callers' numbers into file names. A long run of digits that is a date is masked too: better so.

    Examples
    --------
    >>> masked("2026-03-01_0612345678_a17.wav"), masked("+33 6 12 34 56 78")
    ('2026-03-01_…78_a17.wav', '…78')
    """
    return _TELEPHONE_NUMBER.sub(lambda found: f"…{re.sub(r'[^0-9]', '', found[0])[-KEPT_DIGITS:]}", name)


def share(value: float, language: Language) -> str:
    """Return a ratio in per cent.

    Examples
    --------
    >>> share(0.125, "en"), share(0.125, "fr")
    ('12.5 %', '12,5 %')
    """
    return f"{number(100 * value, 1, language)} %"


def reasons(drivers: str | None, language: Language) -> list[str]:
    """Return the reasons of a record in a language, whichever it was scored in.

    Examples
    --------
    >>> reasons("voice 8 dB louder, speech rate +25 %", "fr")
    ['voix 8 dB plus forte', 'débit +25 %']
    >>> reasons("tone of voice more like anger", "fr")
    ['ton de voix plus proche de la colère']
    >>> reasons("plus aucune parole à noter", "en")
    ['no more speech to score']
    """
    return [_translated(phrase, language) for phrase in (drivers or "").split(", ") if phrase]


def _translated(phrase: str, language: Language) -> str:
    for by_language in REASONS.values():
        if phrase in by_language.values():
            return by_language[language]
    for pattern, name, sign in _PHRASES:
        if found := pattern.fullmatch(phrase):
            size = float(found[1].replace(",", ".")) if pattern.groups else 1.0  # some reasons have no number
            value = sign * size
            return _driver(name, value).text(language)
    return phrase


def _driver(name: str, change: float) -> Driver:
    return Driver(name=name, change=change, unit=HEADLINES[name][1], reference="caller", weight=1.0)


_PHRASES = [
    (re.compile(re.escape(_driver(name, sign * 7.0).text(language)).replace(mark, r"(\d+(?:[.,]\d)?)", 1)), name, sign)
    for name in HEADLINES
    for sign in (1.0, -1.0)
    for language in LANGUAGES
    for mark in ["7"]
]
