"""Proportions of few cases, with the interval that holds for them."""

from __future__ import annotations

import math

import msgspec

from emotion_triage.arguments import whole_number

__all__ = ["Z_95", "Rate", "wilson"]

Z_95 = 1.959963984540054
"""The normal quantile of a two-sided interval of 95 %."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """So many out of so many, and the share behind it with a confidence of 95 %.

    Attributes
    ----------
    count, of : int
        How many, out of how many.
    value : float or None
        Their ratio; None out of none.
    low, high : float
        Wilson's interval; 0 to 1 where nothing is known.
    """

    count: int
    of: int
    value: float | None
    low: float
    high: float


def wilson(count: int, of: int) -> Rate:
    """Return a rate with Wilson's score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Unlike the usual interval it is right for few cases and near 0 and 1, where audits of small groups live.

    Examples
    --------
    >>> rate = wilson(9, 10)
    >>> rate.value, round(rate.low, 3), round(rate.high, 3)
    (0.9, 0.596, 0.982)
    >>> wilson(0, 0).high
    1.0
    """
    whole_number("of", of, "how many there are, from 0")
    whole_number("count", count, f"how many of these {of}", most=of)
    if of == 0:
        return Rate(count=0, of=0, value=None, low=0.0, high=1.0)
    ratio, z2 = count / of, Z_95**2 / of
    centre = (ratio + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (ratio * (1 - ratio) + z2 / 4)) / (1 + z2)
    return Rate(
        count=count,
        of=of,
        value=ratio,
        low=min(max(0.0, centre - half), ratio),
        high=max(min(1.0, centre + half), ratio),
    )
