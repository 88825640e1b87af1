"""Why this rule and not another, in words."""

from __future__ import annotations

from typing import get_args

import msgspec

from emotion_triage.routing.escalation import Level
from emotion_triage.routing.rules import LevelName, Router, Rule, StandingState
from emotion_triage.texts import Language, texts

__all__ = ["Verdict", "explain"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says of one case: whether it matches, whether it is the one chosen, and why, in words."""

    rule: str
    matches: bool
    chosen: bool
    reason: str


def explain(router: Router, level: Level, state: StandingState, language: Language) -> tuple[Verdict, ...]:
    """Return, for each rule in order, whether it matches this case and why.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> verdicts = explain(Policy.load().router, Level.ESCALATED, StandingState.CLEAR, "en")
    >>> [verdict.rule for verdict in verdicts if verdict.chosen]
    ['escalated caller']
    """
    words = {key: text[language] for key, text in _WORDS.items()}
    chosen = router.table[level, state]
    verdicts = []
    for rule in router.rules:
        matches = (level, state) in rule.cases
        if rule is chosen:
            reason = words["chosen"]
        elif matches:
            reason = words["late"].format(rule=chosen.name)
        else:
            reason = words["and"].join(_misses(rule, level, state, language))
        verdicts.append(Verdict(rule=rule.name, matches=matches, chosen=rule is chosen, reason=reason))
    return tuple(verdicts)


_WORDS = texts(
    "rule",
    {
        "chosen": "matches, and no rule before it does",
        "late": "matches too, but '{rule}' comes first",
        "level": "level is {got}, not {wanted}",
        "standing": "standing is {got}, not {wanted}",
        "and": "; ",
        "or": " or ",
        "calm": "calm",
        "tense": "tense",
        "escalated": "escalated",
        "clear": "clear",
        "watch": "watch",
        "protected": "protected",
        "restricted": "restricted",
    },
)


def _misses(rule: Rule, level: Level, state: StandingState, language: Language) -> list[str]:
    words = {key: text[language] for key, text in _WORDS.items()}
    conditions = (
        ("level", level.name.lower(), [name for name in get_args(LevelName) if name in rule.when.level]),
        ("standing", state.value, [each.value for each in StandingState if each in rule.when.standing]),
    )
    return [
        words[condition].format(got=words[got], wanted=words["or"].join(words[each] for each in wanted))
        for condition, got, wanted in conditions
        if got not in wanted
    ]
