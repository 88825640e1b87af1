"""The page's words, and how it writes lengths of time."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from emotion_triage.texts import Language, texts

__all__ = ["WORDS", "clock", "local", "words", "zone"]

WORDS = texts(
    "page",
    {
        "title": "Calls now",
        "team": "Team",
        "reviews": "To review",
        "sign_in": "Sign in",
        "sign_out": "Sign out",
        "token": "Your token",
        "token_wrong": "This token is wrong, has expired or is not a person's.",
        "skip": "Skip to the content",
        "other_language": "Français",
        "call": "Call",
        "queue": "Queue",
        "level": "Level",
        "since": "for",
        "reason": "Reason",
        "why": "What moved the score",
        "anger": "Anger",
        "route": "Route",
        "rule": "rule",
        "standing": "Standing",
        "no_calls": "No call now.",
        "calm": "calm",
        "tense": "tense",
        "escalated": "escalated",
        "not_scored": "not scored: the caller objects",
        "no_reason": "nothing unusual for this caller",
        "clear": "clear",
        "watch": "watch",
        "protected": "protected",
        "restricted": "restricted",
        "unknown": "unknown: the ledger does not answer",
        "now": "now",
        "own_baseline": "the caller's usual level",
        "angry_start": "angry from the first word?",
        "no_score_yet": "no score yet",
        "timeline": "Timeline",
        "gap": "no audio",
        "silence": "nothing scored: the caller is silent",
        "from_here": "from here",
        "listen": "Listen to the recording",
        "peak": "Highest level",
        "recording": "Recording",
        "ended_calls": "Ended in this shift",
        "no_ended": "No call has ended yet.",
        "length": "Length",
        "waits": "waits for a verdict",
        "flagged": "the agent calls the caller abusive",
        "flagged_by": "flagged by",
        "alias": "caller",
        "agent_queue": "Agent, queue",
        "attention": "Who looks after it",
        "acknowledge": "Seen",
        "take_it": "I take it",
        "undo": "Undo",
        "seen_by": "{name} has seen it",
        "taken_by": "{name} takes care of it",
        "asks_for_help": "the agent asks for help",
        "alert_escalated": "Escalated caller",
        "alert_help": "An agent asks for help",
        "need_someone": "waiting for a supervisor",
        "unscored": "not scored",
        "search": "Search",
        "filter": "Filter",
        "all": "all",
        "notify": "Notify me",
        "sound": "Sound",
        "notify_refused": "This browser does not allow notifications from this page.",
        "held": "The order is held while you point at the list.",
        "unmatched": "No call is as you ask.",
        "insults": "insults",
        "threats": "threats",
        "harassment": "harassing or discriminating words",
        "at_the_matter": "angry at the matter, not at the agent",
        "not_angry": "the voice was not angry",
        "own_words": "In your own words",
        "voice_says": "The voice",
        "agent_says": "The agent",
        "counts_once_wrapped": "A verdict counts for the caller once the agent's desktop has said who took the call.",
        "by_keys": "On a case: a or n, then a digit; j and k to go on.",
        "the_shift": "This shift, the team as a whole",
        "calls_ended": "calls ended",
        "hard_calls": "of them hard: escalated, or abusive",
        "calmed": "escalated callers calmed down again during their call",
        "hard_by_hour": "Hard calls and all calls, by hour and queue",
        "hour": "Hour",
        "no_queue": "no queue",
        "rest_and_shields": "Rest and shields now",
        "resting": "agents rest",
        "shielded_now": "agents are shielded",
        "with_hard": "with {hard} hard contacts",
        "due": "Due for rest:",
        "nobody_due": "Nobody is due for rest.",
        "exposure": "What each has been through",
        "unmarked": "escalated for {seconds} and not marked by the agent",
        "marked_ok": "marked OK though escalated for {seconds}",
        "marked_abusive": "marked as abuse though the voice stayed calm",
        "NONE": "not marked",
        "OK": "OK",
        "DISCONTENT": "discontent with the matter",
        "ABUSE": "abuse",
        "THREAT": "threat",
        "disposition": "Marked by the agent",
        "not_wrapped": "not yet: the desktop has said nothing of this call",
        "cannot_withheld": "The caller withheld their number: nobody knows them again, so they cannot be restricted.",
        "cannot_exempt": "Nobody is restricted in this queue.",
        "cannot_no_ledger": "No ledger is kept: verdicts and restrictions have nowhere to stand.",
        "from": "from",
        "to": "to",
        "at": "At",
        "where": "Where it goes, and why",
        "priority": "priority",
        "skills": "skills",
        "avoid": "not to",
        "why_not": "Each rule's say",
        "chosen": "chosen",
        "objected_rule": "The caller objected: no rule is asked, the route is neutral.",
        "outcome": "Outcome",
        "waiting": "being sent",
        "taken": "taken by the engine",
        "replaced": "replaced by a newer one",
        "not_sent": "recommended; no engine is told",
        "overridden": "Overridden by",
        "suggestion": "Suggestion for the agent",
        "decide": "Decide",
        "override": "Send the call elsewhere",
        "override_do": "Send",
        "to_queue": "To queue",
        "your_reason": "Your reason",
        "message": "Write to the agent",
        "message_note": "One line, on their screen at once. It is kept with the call and nowhere else.",
        "message_text": "To",
        "message_do": "Write",
        "messages": "Written to the agent",
        "monitor": "Be on the call",
        "monitor_note": "Your telephone rings. Who was on a call, when and why, is logged.",
        "monitor_told": "The agent sees that a supervisor is there.",
        "monitor_untold": "The agent is not told: your policy says so.",
        "do_listen": "Listen to the call",
        "do_whisper": "Whisper to the agent",
        "do_join": "Join the call",
        "leave": "Leave the call",
        "monitors": "On the call",
        "monitor_listen": "listens",
        "monitor_whisper": "whispers to the agent",
        "monitor_join": "has joined",
        "since_at": "since",
        "monitor_alone": "No agent is on the call yet. Try again once it is answered.",
        "monitor_busy": "Your last request about this call is still on its way.",
        "monitor_forbidden": (
            "The telephone system does not let this server do that. Ask whoever administers it for the right."
        ),
        "monitor_gone": "The telephone system no longer knows the call: it has ended.",
        "monitor_log": "The log could not be written, so nobody was rung. Try again.",
        "monitor_not_on": "You are no longer on this call.",
        "monitor_own_panel": "Here you leave in your own telephone or panel.",
        "monitor_refused": "The telephone system refused. The server's log has its words.",
        "monitor_throttled": "The telephone system is asked too often. Try again in a moment.",
        "monitor_unreachable": (
            "The telephone system does not answer. Try again; if it stays so, tell whoever administers it."
        ),
        "monitor_unsupported": "That is not offered to you on this call.",
        "verdict": "Was this contact abusive?",
        "abusive": "Yes, abusive",
        "not_abusive": "No",
        "verdict_do": "Say so",
        "verdict_said": "Verdict",
        "restrict": "Restrict the caller",
        "restrict_note": "You answer for it by name; it ends by itself, and the caller may appeal.",
        "restrict_do": "Restrict",
        "kind": "What they may still do",
        "supervisor_line": "a supervisor answers",
        "callback_only": "is called back",
        "writing_only": "writes",
        "cool_off": "no calls for a while",
        "block": "no calls",
        "until": "Until",
        "review_at": "Review on",
        "lift": "Lift the restrictions",
        "lift_do": "Lift",
        "done": "Done.",
        "not_done": "Not done:",
        "ended": "ended",
        "began": "began",
        "lost": "lost audio",
        "team_note": (
            "What each has been through, counted from calls alone: nobody's voice or manner is judged. "
            "Alphabetical order."
        ),
        "agent": "Agent",
        "abusive_contacts": "Abusive contacts in the window",
        "hard_in_shift": "Hard contacts in the shift",
        "rest": "Rest left",
        "shielded": "Shielded until",
        "no_team": "No agent is named in the configuration (team).",
        "reviews_note": "What waits for a person, the oldest first.",
        "no_reviews": "Nothing waits.",
        "restriction": "restriction",
        "contact": "contact",
        "decided_by": "decided by",
        "about": "About",
        "lost_link": "The connection is lost; it is being made again.",
        "load_slow": "The server is busy: scores come a little later.",
        "load_slower": "The server is busy: scores come later.",
        "load_half": "Too much load: calm callers are heard half of the time.",
        "load_tense": "Too much load: only tense and escalated callers are heard.",
        "load_full": "Too much load: only tense and escalated callers are heard; new calls are not.",
        "no_ledger": "The ledger cannot be asked:",
        "not_found": "No such call is known any more.",
    },
)
"""Every word of the page, by key."""


@cache
def words(language: Language) -> dict[str, str]:
    """Return every word of the page in a language, by key."""
    return {key: text[language] for key, text in WORDS.items()}


def clock(seconds: float) -> str:
    """Return a length of time to be read, in whole seconds.

    Examples
    --------
    >>> clock(7.9), clock(125.0), clock(3723.0)
    ('7 s', '2 min 05', '1 h 02 min')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02}"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def zone(name: str) -> tzinfo:
    """Return the time zone that a browser names; UTC where it names none that is known here.

    Examples
    --------
    >>> str(zone("Europe/Paris")), zone("../etc/passwd"), zone("")
    ('Europe/Paris', datetime.timezone.utc, datetime.timezone.utc)
    """
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UTC


def local(at: datetime, where: tzinfo, form: str = "%H:%M") -> str:
    """Return a moment as a clock on the wall shows it; UTC is named, since few live in it.

    Examples
    --------
    >>> noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    >>> local(noon, zone("Europe/Paris")), local(noon, UTC, "%Y-%m-%d %H:%M")
    ('14:00', '2026-07-01 12:00 UTC')
    """
    return at.astimezone(where).strftime(form) + (" UTC" if where is UTC else "")
