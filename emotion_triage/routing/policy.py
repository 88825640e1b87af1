"""TOML to frozen structs; ``policies/balanced.toml`` is the one place of defaults."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Annotated, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from emotion_triage.arguments import of_type, path_name
from emotion_triage.errors import PolicyError
from emotion_triage.routing.escalation import EscalationPolicy, Level
from emotion_triage.routing.protection import ProtectionPolicy
from emotion_triage.routing.rules import ANSWERED_BY_PEOPLE, Destination, Router, RoutingPolicy, Rule, StandingState
from emotion_triage.routing.supervision import SupervisionPolicy
from emotion_triage.settings import checked, merged, toml_settings, toml_text
from emotion_triage.texts import Language, known_language

__all__ = [
    "LINK_FIELDS",
    "PRESETS",
    "LevelTexts",
    "Notice",
    "NoticeText",
    "Policy",
    "ReportPolicy",
    "Suggestions",
    "filled_link",
    "link_fields",
    "policy_text",
]

DIGEST_HEX_DIGITS = 16
"""Digits kept of the SHA-256: 64 bits tell any number of policies apart and still fit in a log line."""

LINK_FIELDS = ("source", "name", "call", "start_s")
"""What a link to a recording may name: its path, its file name, its call, and the second to listen from."""

PRESETS = ("cautious", "balanced", "eager")
"""Policies that ship, from few false escalations to few missed ones; their figures are in the README."""


class NoticeText(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is told, in French and in English."""

    fr: Annotated[str, Meta(min_length=1)]
    en: Annotated[str, Meta(min_length=1)]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller learns that their voice is analysed.

    Attributes
    ----------
    mode : {"assumed", "required"}
        ``assumed``: the line's announcement told them. ``required``: no score until the notice was played.
    text : NoticeText
        The announcement.
    """

    mode: Literal["assumed", "required"]
    text: NoticeText


class LevelTexts(msgspec.Struct, frozen=True, kw_only=True):
    """A text for each level."""

    calm: Annotated[str, Meta(min_length=1)]
    tense: Annotated[str, Meta(min_length=1)]
    escalated: Annotated[str, Meta(min_length=1)]


class ReportPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What people are shown of calls. Defaults live in ``policies/balanced.toml``, which explains each key.

    Attributes
    ----------
    angry_start : float
        Mean anger by the voice itself, 0 to 1, of the speech that makes the caller's baseline, from which a call is
        flagged: levels say how a caller sounds against that speech.
    recording_link : str
        The address or path of a recording, with `LINK_FIELDS` in braces; empty: pages link to none.
    """

    angry_start: Annotated[float, Meta(ge=0.0, le=1.0)]
    recording_link: str


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """What is suggested to the agent at each level, in French and in English."""

    fr: LevelTexts
    en: LevelTexts

    def text(self, level: Level, language: Language) -> str:
        """Return the suggestion for a level."""
        of_type(Level, level=level)
        texts = self.fr if known_language(language) == "fr" else self.en
        return str(getattr(texts, level.name.lower()))


class Policy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    r"""Everything that a centre decides: notice, thresholds, rules.

    Attributes
    ----------
    schema : int
        Version of the format.
    name : str
        For logs and reports.
    notice : Notice
        How the caller is told.
    escalation : EscalationPolicy
        When evidence makes a level.
    routing : RoutingPolicy
        What a score may do to a route.
    protection : ProtectionPolicy
        When contacts make a standing or a shield.
    suggestions : Suggestions
        What is suggested to the agent.
    supervision : SupervisionPolicy
        What an agent learns of a supervisor on their call.
    report : ReportPolicy
        What people are shown of calls.
    rules : tuple of Rule
        Level and standing to a destination; the first that matches wins.
    neutral : Destination
        For a caller who objected to being scored.

    Raises
    ------
    PolicyError
        The rules are not sound (see `Router`), thresholds contradict each other, or a caller who objects would wait
        longer than a calm one.

    Examples
    --------
    >>> policy = Policy.parse('[notice]\nmode = "required"')
    >>> policy.notice.mode, Policy.load().notice.mode
    ('required', 'assumed')
    >>> policy.digest == Policy.load().digest
    False
    """

    schema: Literal[1]
    name: Annotated[str, Meta(min_length=1)]
    notice: Notice
    escalation: EscalationPolicy
    routing: RoutingPolicy
    protection: ProtectionPolicy
    suggestions: Suggestions
    supervision: SupervisionPolicy
    report: ReportPolicy
    rules: tuple[Rule, ...]
    neutral: Destination

    def __post_init__(self) -> None:
        _refuse_crossed_thresholds(self.escalation)
        _refuse_crossed_counts(self.protection)
        _refuse_unusable_link(self.report.recording_link)
        everyday = Router(rules=self.rules, neutral=self.neutral).table[Level.CALM, StandingState.CLEAR]
        _refuse_dear_objection(everyday, self.neutral)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Policy:
        """Read a policy: a file, or by name one of `PRESETS`; balanced by default. A file of that name comes first.

        Raises
        ------
        ArgumentError
            `path` is no path.
        PolicyError
            The file cannot be read, or is not a sound policy.

        Examples
        --------
        >>> [Policy.load(name).name for name in PRESETS]
        ['cautious', 'balanced', 'eager']
        """
        name = PRESETS[1] if path is None else path_name("policy", path, PolicyError)
        if name in PRESETS and not os.path.exists(name):
            return cls.parse(policy_text(name), source=f"{name}.toml")
        if not os.path.splitext(name)[1] and not os.path.exists(name):
            guess = difflib.get_close_matches(name.lower(), PRESETS, n=1)
            raise PolicyError(
                f"{name}: got no such file and no preset of that name, expected a TOML file or one of "
                f"{', '.join(PRESETS)}{f'; did you mean {guess[0]}?' if guess else ''}"
            )
        return cls.parse(toml_text(name, PolicyError), source=name)

    @classmethod
    def parse(cls, text: str, *, source: str = "policy") -> Policy:
        """Read a policy from TOML text; `source` names it in errors.

        What the text leaves out comes from the balanced policy, key by key; `rules` replace all its rules.

        Raises
        ------
        ArgumentError
            It is no text.
        PolicyError
            The text is not TOML, a key is unknown, a value is out of range, or the policy is not sound.
        """
        of_type(str, "give the text itself, or Policy.load a path", text=text, source=source)
        settings = merged(tomllib.loads(policy_text()), toml_settings(text, source, PolicyError))
        return checked(settings, cls, source, PolicyError)

    @cached_property
    def router(self) -> Router:
        """The rules, ready to use."""
        return Router(rules=self.rules, neutral=self.neutral)

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the settings in force, however they were written down."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:DIGEST_HEX_DIGITS]


def filled_link(link: str, values: Mapping[str, str]) -> str | None:
    """Return a link to a recording with `LINK_FIELDS` filled in; None where there is none, or a field has no value.

    Examples
    --------
    >>> filled_link("https://archive.example/{call}#t={start_s}", {"call": "c 1", "start_s": "12"})
    'https://archive.example/c%201#t=12'
    >>> filled_link("https://archive.example/{call}", {"start_s": "12"}) is None
    True
    """
    if not link or not all(values.get(field) for field in link_fields(link)):
        return None
    return re.sub(r"\{(\w+)\}", lambda field: quote(values[field[1]], safe="/"), link)


def link_fields(link: str) -> list[str]:
    """Return the fields that a link to a recording names."""
    return re.findall(r"\{(\w+)\}", link)


def policy_text(preset: str = "balanced") -> str:
    """Return a preset as TOML: the balanced one whole, with a comment on each key; of the others what differs."""
    return (files("emotion_triage") / "policies" / f"{preset}.toml").read_text(encoding="utf-8")


def _refuse_crossed_thresholds(escalation: EscalationPolicy) -> None:
    rising = (
        ("tense_offset", "tense_onset"),
        ("escalated_offset", "escalated_onset"),
        ("tense_onset", "escalated_onset"),
        ("tense_offset", "escalated_offset"),
    )
    scores = msgspec.structs.asdict(escalation)
    crossed = [
        f"escalation.{low} is {scores[low]} and escalation.{high} is {scores[high]}; expected {low} < {high}"
        for low, high in rising
        if not scores[low] < scores[high]
    ]
    if crossed:
        raise PolicyError("; ".join(crossed))


def _refuse_crossed_counts(protection: ProtectionPolicy) -> None:
    if protection.watch_after > protection.protected_after:
        raise PolicyError(
            f"protection.watch_after is {protection.watch_after} and protection.protected_after is "
            f"{protection.protected_after}; expected watch_after <= protected_after"
        )
    lowest, highest = protection.survey_scale
    if not lowest < highest:
        raise PolicyError(
            f"protection.survey_scale is [{lowest:g}, {highest:g}]; expected the lowest answer, then the highest"
        )


def _refuse_dear_objection(everyday: Rule, neutral: Destination) -> None:
    """Refuse a neutral destination that makes whoever objects wait longer than if they had not."""
    usual = everyday.route
    if usual.target in ANSWERED_BY_PEOPLE and neutral.target not in ANSWERED_BY_PEOPLE:
        raise PolicyError(
            f"neutral.target is '{neutral.target}' and a calm caller goes to a {usual.target} ('{everyday.name}'); "
            "objecting costs the caller nothing: give the neutral route a queue or a supervisor"
        )
    if neutral.priority < usual.priority:
        raise PolicyError(
            f"neutral.priority is {neutral.priority} and a calm caller has {usual.priority} ('{everyday.name}'); "
            "objecting costs the caller nothing: give the neutral route as much or more"
        )


def _refuse_unusable_link(link: str) -> None:
    if not re.fullmatch(r"((https?|file)://|(?![\w+.-]+:))\S*", link):
        raise PolicyError(
            f"report.recording_link is {link!r}; expected http://, https:// or file:// and an address, or a path, "
            "without blanks"
        )
    for field in re.findall(r"\{([^{}]*)\}", link):
        if field not in LINK_FIELDS:
            expected = ", ".join(f"{{{each}}}" for each in LINK_FIELDS)
            raise PolicyError(f"report.recording_link names {{{field}}}; expected {expected}")
