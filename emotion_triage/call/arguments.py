"""Arguments of the wrong type, refused at the door: what was got, what was expected, and the fix."""

from __future__ import annotations

import operator

from emotion_triage.errors import ArgumentError
from emotion_triage.routing.standing import CLEAR, Standing, StandingState

__all__ = ["sample_index", "standing_or_clear"]

LONGEST_CALL = 1 << 40
"""Samples: 265 days at 48 kHz. A later index is another number."""


def standing_or_clear(standing: object) -> Standing:
    """Return the standing, or the clear one where none is given.

    Raises
    ------
    ArgumentError
        If it is something else, such as the name of a state.

    Examples
    --------
    >>> standing_or_clear(None).state.value
    'clear'
    """
    if standing is None:
        return CLEAR
    if isinstance(standing, Standing):
        return standing
    fix = "ask Ledger.standing for it"
    if isinstance(standing, str) and standing in list(StandingState):
        fix = f"write Standing(state=StandingState.{StandingState(standing).name}), or {fix}"
    raise ArgumentError(f"standing: got {standing!r}, expected a Standing or None; {fix}")


def sample_index(name: str, value: int) -> int:
    """Return a stream index as a Python integer.

    Raises
    ------
    ArgumentError
        If it is no whole number, or one beyond any call.

    Examples
    --------
    >>> sample_index("at", 160)
    160
    """
    try:
        index = operator.index(value)
        if index > LONGEST_CALL:
            raise ArgumentError(
                f"{name}: got {value}, expected a stream index, at most {LONGEST_CALL} samples; check it"
            )
        return index
    except TypeError:
        raise ArgumentError(
            f"{name}: got {value!r}, expected a stream index, a whole number of samples at the call's rate; "
            "round(seconds * sample_rate_hz)"
        ) from None
