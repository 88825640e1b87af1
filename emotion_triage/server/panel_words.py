"""The panel's words, beside those that it shares with the supervisor's page."""

from __future__ import annotations

from functools import cache

from emotion_triage.server.words import words
from emotion_triage.texts import Language, texts

__all__ = ["PANEL_WORDS", "panel_words"]

PANEL_WORDS = texts(
    "panel",
    {
        "title": "Your call",
        "level_since": "since",
        "token_wrong": "This token is wrong, has expired or is not an agent's.",
        "link_wrong": "This link is too old or was used already. Open the panel again from your desktop.",
        "no_call": "No call now.",
        "calm_calm": "The caller sounds calm.",
        "calm_tense": "The caller sounds tense. You have time.",
        "calm_escalated": "The caller sounds angry. It is not about you, and you are not alone.",
        "calm_none": "This caller is not scored.",
        "suggestion": "You could",
        "supervisor_listen": "A supervisor listens.",
        "supervisor_whisper": "A supervisor listens and speaks to you alone.",
        "supervisor_join": "A supervisor has joined; the caller hears them.",
        "lines": "From your supervisors",
        "help": "I need help",
        "help_over": "I no longer need help",
        "help_asked": "Your supervisors see that you need help, since",
        "flag": "This caller is abusive",
        "flagged": "Noted. A supervisor will look at this call; you need not prove anything now.",
        "wrap_up": "How did it go?",
        "wrap_up_of": "Call that began at",
        "OK": "Well",
        "DISCONTENT": "Discontent with the matter",
        "ABUSE": "Abusive towards me",
        "THREAT": "A threat",
        "word": "A word to your supervisor, if you like",
        "word_note": "With a word, a supervisor looks at the call.",
        "wrap_up_do": "Done with this call",
        "rest": "Rest",
        "rest_until": "You rest until",
        "rest_note": "No call reaches you before.",
        "shield_until": "No hard call reaches you until",
        "no_rest": "No rest is due.",
        "exposure": "What you have been through",
        "exposure_note": "Counted from your calls alone; your voice is never judged.",
        "hard_in_shift": "Hard calls in this shift",
        "abusive_contacts": "Abusive calls that count now",
        "no_exposure": "Not known now: the ledger does not answer.",
    },
)
"""Every word of the panel, by key."""


@cache
def panel_words(language: Language) -> dict[str, str]:
    """Return every word of the panel in a language, by key."""
    return {**words(language), **{key: text[language] for key, text in PANEL_WORDS.items()}}
