"""TOML to frozen structs: an unknown key is an error with a guess, a wrong value one that says where."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec.inspect import (
    EnumType,
    FrozenSetType,
    LiteralType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from emotion_triage.errors import TriageError

__all__ = ["checked", "explained", "merged", "toml_settings", "toml_text"]

MIN_LIKENESS = 0.55
"""Ratio of matching letters (difflib) above which a known key is offered for an unknown one."""
TOML_WORDS = {"object": "table", "str": "string", "int": "integer", "float": "number", "bool": "boolean"}
"""TOML's words for msgspec's types."""

T = TypeVar("T")


def toml_text(path: str | os.PathLike[str], error: type[TriageError]) -> str:
    """Return the text of a TOML file, or raise `error`."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise error(f"{path}: cannot be read ({fault.strerror}); expected a TOML file") from fault
    except UnicodeDecodeError as fault:
        raise error(f"{path}: not UTF-8 text ({fault}); save the file as UTF-8") from fault


def toml_settings(text: str, source: str, error: type[TriageError]) -> dict[str, Any]:
    """Return what a TOML text says, or raise `error`; `source` names it."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(f"{source}: not TOML: {fault}") from fault


def checked(settings: Mapping[str, Any], kind: type[T], source: str, error: type[TriageError]) -> T:
    """Return settings as a struct.

    Parameters
    ----------
    settings : mapping
        As TOML gives them.
    kind : type
        A struct; its own checks raise `error`.
    source : str
        Names the settings in messages.
    error : type
        What is raised.

    Examples
    --------
    >>> from emotion_triage.errors import PolicyError
    >>> from emotion_triage.routing.protection import Retention
    >>> checked({"contact_days": 3}, Retention, "policy.toml", PolicyError)
    Traceback (most recent call last):
        ...
    emotion_triage.errors.PolicyError: policy.toml: unknown key contact_days (did you mean contacts_days?)
    """
    shape = type_info(kind)
    unknown = [
        f"unknown key {_named(path, settings)} ({_guess(path, names, shape)})"
        for path, names in _unknown_keys(settings, shape)
    ]
    if unknown:
        raise error(f"{source}: {'; '.join(unknown)}")
    try:
        return msgspec.convert(settings, kind)
    except msgspec.ValidationError as fault:
        if isinstance(fault.__cause__, error):
            raise error(f"{source}: {fault.__cause__}") from None
        raise error(f"{source}: {_reworded(str(fault), settings, shape)}") from None


def explained(fault: msgspec.ValidationError, kind: type) -> str:
    """Return what msgspec found wrong, with the choices where it says only that there are some, and no value.

    Examples
    --------
    >>> from emotion_triage.routing.contacts import Contact
    >>> try:
    ...     msgspec.convert({"disposition": "angry"}, Contact)
    ... except msgspec.ValidationError as fault:
    ...     print(explained(fault, Contact))
    disposition: expected one of NONE, OK, DISCONTENT, ABUSE, THREAT
    """
    complaint, _, path = str(fault).partition(" - at `$")
    if not complaint.startswith("Invalid enum value"):
        return str(fault)
    path = path.rstrip("`").lstrip(".")
    shape = type_info(kind)
    for step in re.findall(r"[^.\[\]]+", path):
        shape = _inner(shape, step)
    choices = ", ".join(map(str, _choices(shape)))
    return f"{path or 'value'}: expected one of {choices}"


def merged(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings laid over defaults: tables key by key, everything else as a whole."""
    result = dict(defaults)
    for key, value in settings.items():
        default = defaults.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            result[key] = merged(default, value)
        else:
            result[key] = value
    return result


def _unknown_keys(value: object, shape: Type, path: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield each key that no struct knows, with the names known beside it."""
    shape = _struct(shape)
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
    shape = _struct(shape)
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
    """Call a table of a list by its name, where it has one, instead of its place."""
    place = re.match(r"(\w+)\[(\d+)\]", path)
    if place is None:
        return path
    table = settings[place[1]][int(place[2])]
    name = table.get("name") if isinstance(table, Mapping) else None
    return f"{place[1]}[{name!r}]{path[place.end() :]}" if isinstance(name, str) and name else path


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
    if choices := _choices(shape):
        expected = " or ".join(repr(choice) for choice in choices)
    else:
        expected = complaint.partition(", got")[0].removeprefix("Expected ")
        expected = re.sub(r"`(\w+)`", lambda word: TOML_WORDS.get(word[1], word[1]), expected)
    return f"{_named(path, settings)} is {value!r}; expected {expected}"


def _choices(shape: Type) -> list[object]:
    """Return the values that an enumeration or a literal allows, one that may be left out too."""
    if isinstance(shape, UnionType):
        return [choice for each in shape.types for choice in _choices(each)]
    if isinstance(shape, EnumType):
        return [each.value for each in shape.cls]
    return list(shape.values) if isinstance(shape, LiteralType) else []


def _struct(shape: Type) -> Type:
    """Return the struct of a union such as `Struct | None`; any other type as it is."""
    if isinstance(shape, UnionType):
        return next((each for each in shape.types if isinstance(each, StructType)), shape)
    return shape


def _inner(shape: Type, name: str) -> Type:
    shape = _struct(shape)
    if isinstance(shape, StructType):
        return next(field.type for field in shape.fields if field.encode_name == name)
    assert isinstance(shape, VarTupleType | FrozenSetType)
    return shape.item_type
