"""Arguments that a function cannot take, refused at the door: what was got, what was expected, and the fix."""

from __future__ import annotations

import math
import os
import reprlib
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args

from emotion_triage.errors import ArgumentError, TriageError

__all__ = ["number", "of_type", "pair_of", "path_name", "sequence", "shown", "whole_number"]

NAMES = {NoneType: "None", str: "a text", bool: "True or False"}
"""What messages call types; every other type by its own name."""

T = TypeVar("T")


def shown(value: object) -> str:
    """Return a value as messages show it, cut where it is long.

    Examples
    --------
    >>> shown("2"), shown(3.5)
    ("'2' (str)", '3.5 (float)')
    """
    return "None" if value is None else f"{reprlib.repr(value)} ({type(value).__name__})"


def of_type(kind: type | UnionType, fix: str = "", /, **given: object) -> None:
    """Refuse arguments of another type.

    Parameters
    ----------
    kind : type or union of types
        What is expected.
    fix : str, optional
        What the message says to do.
    **given
        The arguments, by their names.

    Raises
    ------
    ArgumentError
        Naming the first that is of another type.

    Examples
    --------
    >>> of_type(str | None, queue="general")
    >>> of_type(str | None, "name the queue", queue=3)
    Traceback (most recent call last):
    emotion_triage.errors.ArgumentError: queue: got 3 (int), expected a text or None; name the queue
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            kinds = get_args(kind) or (kind,)
            expected = " or ".join(NAMES.get(each, f"a {each.__name__}") for each in kinds)
            raise ArgumentError(f"{name}: got {shown(value)}, expected {expected}{fix and f'; {fix}'}")


def sequence(name: str, values: object, kind: type[T]) -> Sequence[T]:
    """Return a list or tuple whose items are all of a type.

    Raises
    ------
    ArgumentError
        If it is none; a text is no list of texts.

    Examples
    --------
    >>> sequence("agents", "a-17", str)
    Traceback (most recent call last):
    emotion_triage.errors.ArgumentError: agents: got 'a-17' (str), expected a list of str
    """
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ArgumentError(f"{name}: got {shown(values)}, expected a list of {kind.__name__}")
    for i, value in enumerate(values):
        if not isinstance(value, kind):
            raise ArgumentError(f"{name}[{i}]: got {shown(value)}, expected a {kind.__name__}")
    return values


def pair_of(value: object, kind: type[T], expected: str) -> tuple[T, Any]:
    """Return a pair whose first item is of a type.

    Raises
    ------
    ArgumentError
        If it is none; `expected` is in the message.

    Examples
    --------
    >>> pair_of(("c-1", b""), str, "and its chunk")
    ('c-1', b'')
    """
    if isinstance(value, tuple | list) and len(value) == 2:
        if isinstance(value[0], kind):
            return value[0], value[1]
        value = value[0]
    raise ArgumentError(f"got {reprlib.repr(value)}, expected a {kind.__name__}, {expected}")


def path_name(name: str, path: Any, error: type[TriageError]) -> str:
    r"""Return a path as a text.

    Raises
    ------
    ArgumentError
        If it is no path.
    TriageError
        `error`, if no file can have this name.

    Examples
    --------
    >>> from pathlib import Path
    >>> path_name("policy", Path("policies/mine.toml"), TriageError)
    'policies/mine.toml'
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ArgumentError(f"{name}: got {shown(path)}, expected a path, a str or a Path") from None
    if not text or "\0" in text:
        raise error(f"{name}: got {text!r}, expected the name of a file")
    return text


def number(
    name: str,
    value: Any,
    expected: str,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    most: float = math.inf,
) -> float:
    """Return a finite number in a range.

    Raises
    ------
    ArgumentError
        If it is no number, not finite, `above` or less, less than `least` or more than `most`; `expected` is in the
        message.

    Examples
    --------
    >>> number("block_s", 10, "seconds above 0", above=0.0)
    10.0
    >>> number("block_s", float("nan"), "seconds above 0", above=0.0)
    Traceback (most recent call last):
    emotion_triage.errors.ArgumentError: block_s: got nan (float), expected seconds above 0
    """
    if isinstance(value, Real) and value is not True and value is not False:
        try:
            as_float = float(value)
        except OverflowError:
            as_float = math.inf
        if math.isfinite(as_float) and above < as_float and least <= as_float <= most:
            return as_float
    raise ArgumentError(f"{name}: got {shown(value)}, expected {expected}")


def whole_number(name: str, value: Any, expected: str, *, least: int = 0, most: float = sys.maxsize) -> int:
    """Return a whole number from `least` to `most`.

    Raises
    ------
    ArgumentError
        If it is none, less or more; `expected` is in the message.

    Examples
    --------
    >>> whole_number("workers", "2", "1 or more processes", least=1)
    Traceback (most recent call last):
    emotion_triage.errors.ArgumentError: workers: got '2' (str), expected 1 or more processes
    """
    if isinstance(value, Integral) and value is not True and value is not False and least <= int(value) <= most:
        return int(value)
    raise ArgumentError(f"{name}: got {shown(value)}, expected {expected}")
