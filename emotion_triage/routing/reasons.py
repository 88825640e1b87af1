"""Why this rule and not another, in English and French."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import msgspec

from emotion_triage.affect.affect import Language
from emotion_triage.routing.escalation import Level
from emotion_triage.routing.rules import LevelName, Router, Rule, StandingState

__all__ = ["Verdict", "explain"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule says of one case: whether it matches, whether it is the one chosen, and why, in words."""

    rule: str
    matches: bool
    chosen: bool
    reason: str


def explain(router: Router, level: Level, state: StandingState, language: Language) -> tuple[Verdict, ...]:
    """Return, for each rule in order, whether it matches this case and why, in English or French.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> verdicts = explain(Policy.load().router, Level.ESCALATED, StandingState.CLEAR, "en")
    >>> [verdict.rule for verdict in verdicts if verdict.chosen]
    ['escalated caller']
    """
    words = _WORDS[language]
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


_WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "chosen": "matches, and no rule before it does",
        "late": "matches too, but '{rule}' comes first",
        "level": "level is {got}, not {wanted}",
        "standing": "standing is {got}, not {wanted}",
        "and": "; ",
        "or": " or ",
    }
    | {word: word for word in (*get_args(LevelName), *StandingState)},
    "fr": {
        "chosen": "correspond, et aucune règle avant elle",
        "late": "correspond aussi, mais « {rule} » passe avant",
        "level": "niveau {got}, et non {wanted}",
        "standing": "dossier {got}, et non {wanted}",
        "and": " ; ",
        "or": " ou ",
        "calm": "calme",
        "tense": "tendu",
        "escalated": "escalade",
        "clear": "sans antécédent",
        "watch": "à surveiller",
        "protected": "protégé",
        "restricted": "restreint",
    },
}


def _misses(rule: Rule, level: Level, state: StandingState, language: Language) -> list[str]:
    words = _WORDS[language]
    conditions = (
        ("level", level.name.lower(), [name for name in get_args(LevelName) if name in rule.when.level]),
        ("standing", state.value, [each.value for each in StandingState if each in rule.when.standing]),
    )
    return [
        words[condition].format(got=words[got], wanted=words["or"].join(words[each] for each in wanted))
        for condition, got, wanted in conditions
        if got not in wanted
    ]
