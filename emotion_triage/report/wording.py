"""The words of the pages, in English and French, and how they write numbers, times and names."""

from __future__ import annotations

import re
from datetime import datetime

from emotion_triage.affect.affect import LANGUAGES, Driver, Language
from emotion_triage.prosody.functionals import HEADLINES
from emotion_triage.routing.escalation import REASONS

__all__ = ["WORDS", "clock", "day_and_time", "masked", "number", "reasons", "share"]

WORDS: dict[str, dict[Language, str]] = {
    "calm": {"en": "calm", "fr": "calme"},
    "tense": {"en": "tense", "fr": "tendu"},
    "escalated": {"en": "escalated", "fr": "escalade"},
    "no_speech": {"en": "no speech to score", "fr": "pas de parole à noter"},
    "error": {"en": "could not be read", "fr": "illisible"},
    "peak_anger": {"en": "Highest anger", "fr": "Plus forte colère"},
    "anger": {"en": "anger", "fr": "colère"},
    "arousal": {"en": "arousal", "fr": "activation"},
    "gap": {"en": "gap", "fr": "interruption"},
    "skip": {"en": "Skip to the content", "fr": "Aller au contenu"},
    "call": {"en": "Call", "fr": "Appel"},
    "calls": {"en": "calls", "fr": "appels"},
    "batch": {"en": "Calls at a glance", "fr": "Vue d’ensemble des appels"},
    "back": {"en": "All calls", "fr": "Tous les appels"},
    "level": {"en": "Level", "fr": "Niveau"},
    "peak": {"en": "Highest level", "fr": "Niveau le plus haut"},
    "for": {"en": "for {}, from {}", "fr": "pendant {}, dès {}"},
    "listen": {"en": "Listen from", "fr": "Écouter à partir de"},
    "route": {"en": "Recommended queue", "fr": "File recommandée"},
    "rule": {"en": "Rule", "fr": "Règle"},
    "by_rule": {"en": "Rule: {}", "fr": "Règle\u202f: {}"},
    "queue": {"en": "Queue", "fr": "File"},
    "why": {"en": "What moved the score", "fr": "Ce qui a fait bouger le score"},
    "why_calm": {"en": "What the highest anger came from", "fr": "D’où venait la plus forte colère"},
    "no_reason": {"en": "Nothing stood out.", "fr": "Rien de saillant."},
    "course": {"en": "Course of the call", "fr": "Déroulement de l’appel"},
    "no_events": {
        "en": "No timeline: the recordings were scored without --events.",
        "fr": "Pas de déroulement\u202f: les enregistrements ont été notés sans --events.",
    },
    "no_wave": {
        "en": "The recording is no longer where it was scored; its waveform is not shown.",
        "fr": "L’enregistrement n’est plus là où il a été noté\u202f; sa forme d’onde n’est pas montrée.",
    },
    "picture": {
        "en": "Anger and arousal from 0 to 1 over time, over the waveform of the caller; bands mark tense, escalated "
        "and gaps. Every change is in the table below.",
        "fr": "Colère et activation de 0 à 1 au fil du temps, sur la forme d’onde de l’appelant\u202f; les bandes "
        "marquent tension, escalade et interruptions. Chaque changement est dans le tableau ci-dessous.",
    },
    "changes": {"en": "Changes, routes and gaps", "fr": "Changements, files et interruptions"},
    "time": {"en": "Time", "fr": "Instant"},
    "what": {"en": "What", "fr": "Quoi"},
    "reasons": {"en": "Reasons", "fr": "Raisons"},
    "to": {"en": "to", "fr": "vers"},
    "made_by": {"en": "What decided", "fr": "Ce qui a décidé"},
    "model": {"en": "Model digest", "fr": "Empreinte du modèle"},
    "policy": {"en": "Policy digest", "fr": "Empreinte de la politique"},
    "recording": {"en": "Recording", "fr": "Enregistrement"},
    "started": {"en": "Began", "fr": "Début"},
    "duration": {"en": "Length", "fr": "Durée"},
    "speech": {"en": "Speech scored", "fr": "Parole notée"},
    "lost": {"en": "Lost, or not the caller’s", "fr": "Perdu, ou pas de l’appelant"},
    "channel": {"en": "Caller’s channel", "fr": "Canal de l’appelant"},
    "disposition": {"en": "Disposition", "fr": "Issue"},
    "limits": {
        "en": "These scores say how the caller’s voice sounded, not what was said, nor why. They recommend; a person "
        "decides. The agent’s voice is never scored.",
        "fr": "Ces scores disent comment sonnait la voix de l’appelant, pas ce qui a été dit ni pourquoi. Ils "
        "recommandent\u202f; une personne décide. La voix de l’agent n’est jamais notée.",
    },
    "scored": {"en": "scored", "fr": "notés"},
    "failed": {"en": "could not be read", "fr": "illisibles"},
    "silent": {"en": "without speech", "fr": "sans parole"},
    "hours": {"en": "hours of audio", "fr": "heures d’audio"},
    "were_escalated": {"en": "escalated", "fr": "en escalade"},
    "first": {"en": "Worth a listen first", "fr": "À écouter d’abord"},
    "first_note": {
        "en": "Escalated calls, by the time spent so, then tense ones, by their highest anger.",
        "fr": "Les appels en escalade, selon le temps qu’elle a duré, puis les appels tendus, selon leur plus forte "
        "colère.",
    },
    "none_first": {
        "en": "No call was tense or escalated.",
        "fr": "Aucun appel tendu ou en escalade.",
    },
    "as_table": {"en": "The same as a table", "fr": "Les mêmes en tableau"},
    "by_day": {"en": "Levels by day", "fr": "Niveaux par jour"},
    "by_hour": {"en": "Levels by day and hour", "fr": "Niveaux par jour et heure"},
    "by_hour_note": {
        "en": "Share of calls that were tense or escalated at some time; the number is how many.",
        "fr": "Part des appels tendus ou en escalade à un moment\u202f; le nombre dit combien.",
    },
    "no_dates": {
        "en": "No dates: give a manifest with started_at.",
        "fr": "Pas de dates\u202f: donnez un manifeste avec started_at.",
    },
    "day": {"en": "Day", "fr": "Jour"},
    "hour": {"en": "Hour", "fr": "Heure"},
    "queues": {"en": "Recommended queues", "fr": "Files recommandées"},
    "audit": {"en": "False alarms by group", "fr": "Fausses alertes par groupe"},
    "audit_note": {
        "en": "Of calls labelled not angry, those that reached escalated; of angry ones, those that did. Intervals are "
        "Wilson’s, at 95 %. Groups whose intervals overlap may be alike.",
        "fr": "Parmi les appels étiquetés sans colère, ceux arrivés en escalade\u202f; parmi ceux en colère, de même. "
        "Intervalles de Wilson à 95 %. Des groupes dont les intervalles se recouvrent peuvent être pareils.",
    },
    "no_labels": {
        "en": "No labels: give a manifest with label (angry or other), and group to compare.",
        "fr": "Pas d’étiquettes\u202f: donnez un manifeste avec label (angry ou other), et group pour comparer.",
    },
    "group": {"en": "Group", "fr": "Groupe"},
    "everyone": {"en": "all", "fr": "tous"},
    "not_angry": {"en": "Calls not angry", "fr": "Appels sans colère"},
    "false_alarms": {"en": "False alarms", "fr": "Fausses alertes"},
    "angry": {"en": "Angry calls", "fr": "Appels en colère"},
    "found": {"en": "Found", "fr": "Trouvés"},
    "interval": {"en": "95 % interval", "fr": "Intervalle à 95 %"},
    "errors": {"en": "Could not be read", "fr": "Illisibles (messages techniques, en anglais)"},
    "more": {"en": "and {} more", "fr": "et {} de plus"},
}
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


def number(value: float, decimals: int, language: Language) -> str:
    """Return a number as the language writes it.

    Examples
    --------
    >>> number(1234.5, 1, "en"), number(0.25, 2, "fr")
    ('1,234.5', '0,25')
    """
    told = f"{value:,.{decimals}f}"
    return told.replace(",", "\u202f").replace(".", ",") if language == "fr" else told


def share(value: float, language: Language) -> str:
    """Return a ratio in per cent.

    Examples
    --------
    >>> share(0.125, "en"), share(0.125, "fr")
    ('12.5 %', '12,5 %')
    """
    return f"{number(100 * value, 1, language)} %"


def clock(time_s: float) -> str:
    """Return a time within a recording, to the second.

    Examples
    --------
    >>> clock(62.4), clock(3723)
    ('1:02', '1:02:03')
    """
    minutes, seconds = divmod(int(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def day_and_time(started_at: str, language: Language) -> str:
    """Return when a call began.

    Examples
    --------
    >>> day_and_time("2026-03-01T14:05:00", "en"), day_and_time("2026-03-01T14:05:00", "fr")
    ('2026-03-01 14:05', '01/03/2026 14:05')
    """
    return datetime.fromisoformat(started_at).strftime("%d/%m/%Y %H:%M" if language == "fr" else "%Y-%m-%d %H:%M")


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
            told = float(found[1].replace(",", ".")) if pattern.groups else 1.0  # some reasons have no number
            value = sign * told
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
