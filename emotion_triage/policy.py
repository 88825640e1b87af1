"""TOML to frozen structs; ``policies/balanced.toml`` is the one place of defaults."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.inspect import EnumType, FrozenSetType, LiteralType, StructType, Type, VarTupleType, type_info

from emotion_triage.errors import PolicyError
from emotion_triage.escalation import EscalationPolicy
from emotion_triage.protection import ProtectionPolicy
from emotion_triage.routing import Destination, Router, Rule

__all__ = ["Notice", "NoticeText", "Policy", "policy_text"]

DIGEST_HEX_DIGITS = 16
"""Digits kept of the SHA-256: 64 bits tell any number of policies apart and still fit in a log line."""
MIN_LIKENESS = 0.55
"""Ratio of matching letters (difflib) above which a known key is offered for an unknown one."""
TOML_WORDS = {"object": "table", "str": "string", "int": "integer", "float": "number", "bool": "boolean"}
"""TOML's words for msgspec's types."""


class NoticeText(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller is told, in French and in English."""

    fr: Annotated[str, Meta(min_length=1)]
    en: Annotated[str, Meta(min_length=1)]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller learns that his voice is analysed.

    Attributes
    ----------
    mode : {"assumed", "required"}
        ``assumed``: the line's announcement told him. ``required``: no score until the notice was played.
    text : NoticeText
        The announcement.
    """

    mode: Literal["assumed", "required"]
    text: NoticeText


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
    protection : ProtectionPolicy
        When contacts make a standing or a shield.
    rules : tuple of Rule
        Level and standing to a destination; the first that matches wins.
    neutral : Destination
        For a caller who objected to being scored.

    Raises
    ------
    PolicyError
        The rules are not sound (see `Router`) or thresholds contradict each other.

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
    protection: ProtectionPolicy
    rules: tuple[Rule, ...]
    neutral: Destination

    def __post_init__(self) -> None:
        _refuse_crossed_thresholds(self.escalation)
        _refuse_crossed_counts(self.protection)
        Router(rules=self.rules, neutral=self.neutral)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Policy:
        """Read a policy file; without a path, the balanced policy.

        Raises
        ------
        PolicyError
            The file cannot be read, or is not a sound policy.
        """
        if path is None:
            return cls.parse("", source="balanced.toml")
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise PolicyError(f"{path}: cannot be read ({error.strerror}); expected a TOML file") from error
        except UnicodeDecodeError as error:
            raise PolicyError(f"{path}: not UTF-8 text ({error}); save the file as UTF-8") from error
        return cls.parse(text, source=os.fspath(path))

    @classmethod
    def parse(cls, text: str, *, source: str = "policy") -> Policy:
        """Read a policy from TOML text; `source` names it in errors.

        What the text leaves out comes from the balanced policy, key by key; `rules` replace all its rules.

        Raises
        ------
        PolicyError
            The text is not TOML, a key is unknown, a value is out of range, or the policy is not sound.
        """
        try:
            settings = _merged(tomllib.loads(policy_text()), tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise PolicyError(f"{source}: not TOML: {error}") from error
        shape = type_info(cls)
        unknown = [
            f"unknown key {_named(path, settings)} ({_guess(path, names, shape)})"
            for path, names in _unknown_keys(settings, shape)
        ]
        if unknown:
            raise PolicyError(f"{source}: {'; '.join(unknown)}")
        try:
            return msgspec.convert(settings, cls)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, PolicyError):
                raise PolicyError(f"{source}: {error.__cause__}") from None
            raise PolicyError(f"{source}: {_reworded(str(error), settings, shape)}") from None

    @cached_property
    def router(self) -> Router:
        """The rules, ready to use."""
        return Router(rules=self.rules, neutral=self.neutral)

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 of the settings in force, however they were written down."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:DIGEST_HEX_DIGITS]


def policy_text() -> str:
    """Return the balanced policy as TOML, with the comments that explain each key."""
    return (files("emotion_triage") / "policies" / "balanced.toml").read_text(encoding="utf-8")


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


def _merged(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in settings.items():
        default = defaults.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(default, value)
        else:
            merged[key] = value
    return merged


def _unknown_keys(value: object, shape: Type, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each key that no struct knows, with the names known beside it."""
    if isinstance(shape, StructType) and isinstance(value, Mapping):
        fields = {field.encode_name: field.type for field in shape.fields}
        for key, each in value.items():
            here = f"{path}.{key}" if path else key
            if key in fields:
                yield from _unknown_keys(each, fields[key], here)
            else:
                yield here, list(fields)
    elif isinstance(shape, VarTupleType) and isinstance(value, list):
        for index, each in enumerate(value):
            yield from _unknown_keys(each, shape.item_type, f"{path}[{index}]")


def _known_paths(shape: Type, path: str = "") -> Iterator[str]:
    if isinstance(shape, StructType):
        for field in shape.fields:
            here = f"{path}.{field.encode_name}" if path else field.encode_name
            yield here
            yield from _known_paths(field.type, here)
    elif isinstance(shape, VarTupleType):
        yield from _known_paths(shape.item_type, f"{path}[]")


def _guess(path: str, names: list[str], shape: Type) -> str:
    """Return what the writer of an unknown key may have meant: a name beside it, or one in another table."""
    key = path.rpartition(".")[2]
    known = [(name, name) for name in names]
    known += [(each.rpartition(".")[2], each) for each in _known_paths(shape)]
    likeness, shown = max(
        ((difflib.SequenceMatcher(None, key, name).ratio(), shown) for name, shown in known),
        key=lambda scored: scored[0],
    )
    return f"did you mean {shown}?" if likeness > MIN_LIKENESS else f"known here: {', '.join(names)}"


def _named(path: str, settings: Mapping[str, Any]) -> str:
    """Call a rule by its name, where it has one, instead of its place."""
    place = re.match(r"rules\[(\d+)\]", path)
    if place is None:
        return path
    rule = settings["rules"][int(place[1])]
    name = rule.get("name") if isinstance(rule, Mapping) else None
    return f"rules[{name!r}]{path[place.end() :]}" if isinstance(name, str) and name else path


def _reworded(message: str, settings: Mapping[str, Any], shape: Type) -> str:
    """Turn a msgspec message into path, got, expected, in the words of TOML."""
    complaint, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    value: Any = settings
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        value = value[int(index) if index else name]
        shape = _inner(shape, name)
    if missing := re.match(r"Object missing required field `(.+)`", complaint):
        return f"missing key {_named(path, settings)}.{missing[1]}"
    if isinstance(shape, LiteralType | EnumType):
        choices = shape.values if isinstance(shape, LiteralType) else [each.value for each in shape.cls]
        expected = " or ".join(repr(choice) for choice in choices)
    else:
        expected = complaint.partition(", got")[0].removeprefix("Expected ")
        expected = re.sub(r"`(\w+)`", lambda word: TOML_WORDS.get(word[1], word[1]), expected)
    return f"{_named(path, settings)} is {value!r}; expected {expected}"


def _inner(shape: Type, name: str) -> Type:
    if isinstance(shape, StructType):
        return next(field.type for field in shape.fields if field.encode_name == name)
    assert isinstance(shape, VarTupleType | FrozenSetType)
    return shape.item_type
