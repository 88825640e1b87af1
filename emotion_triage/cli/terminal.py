"""What a supervisor sees: events and records as lines on a terminal, in the supervisor's language."""

from __future__ import annotations

from rich.text import Text

from emotion_triage.affect.affect import Affect, describe
from emotion_triage.batch.record import Record
from emotion_triage.call.triage import Event
from emotion_triage.routing.escalation import Escalation, Level
from emotion_triage.routing.rules import Destination, Route
from emotion_triage.texts import Language, clock, number, texts

__all__ = ["LEVELS", "destination_words", "event_line", "record_line", "words"]

STYLES = {Level.CALM: "green", Level.TENSE: "yellow", Level.ESCALATED: "bold red"}
BAR_CELLS = 8
EIGHTHS = " ▏▎▍▌▋▊▉█"
SOURCE_CELLS = 36

LEVELS = {
    level: text
    for level, text in zip(
        Level, texts("level", {"calm": "calm", "tense": "tense", "escalated": "escalated"}).values(), strict=True
    )
}
_WORDS = texts(
    "terminal",
    {
        "anger": "anger",
        "distress": "distress",
        "arousal": "arousal",
        "before": "{} for {} s before",
        "level": "level",
        "standing": "standing",
        "queue": "queue",
        "priority": "priority",
        "skills": "skills",
        "rule": "rule",
        "no_speech": "no speech to score",
        "angry_start": "angry from the first word?",
        "escalated": "escalated {} s, from {}",
    },
)


def words(key: str, language: Language) -> str:
    """Return a word of the terminal's in a language."""
    return _WORDS[key][language]


def destination_words(to: Destination | Route, language: Language) -> str:
    """Return where a call should go, in words."""
    place = f"{words('queue', language)} {to.queue}, {words('priority', language)} {to.priority}"
    return f"{place}, {words('skills', language)} {', '.join(to.skills)}" if to.skills else place


def event_line(event: Event, language: Language) -> Text:
    """Return one event as one line."""
    line = Text(f"{clock(event.time_s, 1):>9}  ")
    match event:
        case Affect():
            for name, style in (("anger", "red"), ("distress", "magenta"), ("arousal", "cyan")):
                value = getattr(event, name)
                line.append(f"{words(name, language)} ").append(_bar(value), style).append(
                    f" {number(value, 2, language)}  "
                )
            line.append(describe(event.drivers, language), "dim")
        case Escalation():
            name = LEVELS[event.level][language].upper()
            held = number(event.held_s, 1, language)
            before = words("before", language).format(LEVELS[event.previous][language], held)
            line.append(name, STYLES[event.level]).append(f"  ({before})  {event.reason(language)}")
        case Route():
            line.append(f"→ {destination_words(event, language)}", "bold")
            line.append(f"  ({words('rule', language)} “{event.rule}”)", "dim")
    return line


def record_line(record: Record, language: Language) -> Text:
    """Return one record as one line."""
    source = record.source
    line = Text(source if len(source) <= SOURCE_CELLS else f"…{source[1 - SOURCE_CELLS :]}")
    line.pad_right(SOURCE_CELLS - line.cell_len + 2)
    if record.status == "error":
        return line.append(record.error or "", "red")
    if record.peak_level is None:
        return line.append(words("no_speech", language), "dim")
    level = Level[record.peak_level.upper()]
    line.append(f"{LEVELS[level][language]:<10}", STYLES[level])
    line.append(f"{words('anger', language)} {number(record.anger_max or 0.0, 2, language)}")
    calm = level is Level.CALM  # then the reasons are those of the highest anger, not of the level
    if calm and record.drivers:
        line.append(f" ({record.drivers})", "dim")
    line.append(f"  → {record.route}")
    if record.angry_start and level is not Level.ESCALATED:
        line.append(f"  {words('angry_start', language)}", STYLES[Level.TENSE])
    if record.first_escalation_s is not None:
        spent = number(record.escalated_s or 0.0, 0, language)
        line.append("  " + words("escalated", language).format(spent, clock(record.first_escalation_s, 1)))
    return line if calm else line.append(f"  {record.drivers or ''}", "dim")


def _bar(value: float) -> str:
    """Return a ratio as a bar of eighths of cells."""
    eighths = round(value * BAR_CELLS * 8)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (EIGHTHS[part] if part else "")).ljust(BAR_CELLS, "·")
