"""What of a route leaves this library, and the check that no name in it breaks a line of text apart."""

from __future__ import annotations

from collections.abc import Iterable

from emotion_triage.arguments import of_type
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

__all__ = ["argument", "one_line", "text_fields"]

ACTIVE = frozenset(",;|$`\"'\\(){}[]=&")
"""Characters that a dialplan reads as its own: separators, quotes, expressions."""


def one_line(what: str, text: str) -> str:
    r"""Return the text, once it is known to be one line of printable characters.

    Parameters
    ----------
    what : str
        What the text is, for the message; the text itself is never shown, since it may hold a number.
    text : str
        What would be written into a line of a protocol.

    Raises
    ------
    DestinationError
        It holds a line break or another character that is not printable.

    Examples
    --------
    >>> one_line("queue", "service après-vente")
    'service après-vente'
    >>> one_line("queue", "general\r\nAction: Originate")
    Traceback (most recent call last):
        ...
    emotion_triage.errors.DestinationError: queue holds '\r' at place 7; expected one line of printable characters;
    rename it
    """
    return _without(what, text, frozenset(), "one line of printable characters")


def argument(what: str, text: str) -> str:
    """Return the text, once it is known to be one argument of a dialplan's application, and nothing that it evaluates.

    Parameters
    ----------
    what : str
        What the text is, for the message; the text itself is never shown.
    text : str
        What a dialplan would read.

    Raises
    ------
    DestinationError
        It holds a line break, a separator, a quote or the start of an expression.

    Examples
    --------
    >>> argument("queue", "general,,,,1")
    Traceback (most recent call last):
        ...
    emotion_triage.errors.DestinationError: queue holds ',' at place 7; expected printable characters that no dialplan
    reads as its own; rename it
    """
    return _without(what, text, ACTIVE, "printable characters that no dialplan reads as its own")


def text_fields(route: Route) -> dict[str, str]:
    """Return what an engine needs of a route, as text: never the level, the standing or a score.

    Lists are joined by commas; an empty one is empty text, so that it overwrites what stood there before.

    Raises
    ------
    DestinationError
        A name holds a line break, or one of a list holds a comma.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> from emotion_triage.routing.rules import CLEAR, Level
    >>> route = Policy.load().router.route(
    ...     call_id="c-1", time_s=9.5, level=Level.ESCALATED, standing=CLEAR, model_digest="m", policy_digest="p"
    ... )
    >>> for name, text in text_fields(route).items():
    ...     print(f"{name}={text}")
    triage_target=queue
    triage_queue=senior
    triage_priority=80
    triage_skills=de-escalation
    triage_avoid_agents=
    """
    of_type(Route, route=route)
    return {
        "triage_target": route.target.value,
        "triage_queue": one_line("the queue's name", route.queue),
        "triage_priority": str(route.priority),
        "triage_skills": _joined("a skill's name", route.skills),
        "triage_avoid_agents": _joined("an agent's id", route.avoid_agents),
    }


def _joined(what: str, names: Iterable[str]) -> str:
    return ",".join(_without(what, name, frozenset(","), "one line without a comma") for name in names)


def _without(what: str, text: str, refused: frozenset[str], expected: str) -> str:
    for place, character in enumerate(text):
        if not character.isprintable() or character in refused:
            raise DestinationError(f"{what} holds {character!r} at place {place}; expected {expected}; rename it")
    return text
