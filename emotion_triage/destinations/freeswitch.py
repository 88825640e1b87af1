"""FreeSWITCH: channel variables and a transfer, over the event socket.

mod_callcenter adds `cc_base_score` to the seconds waited: higher is sooner. It reads it when a caller joins a queue, so
that a caller who waits already has to join again. The client is our own: those on PyPI need gevent, or pin a web
framework and telemetry, for what is one connection and a few lines of text.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from emotion_triage.destinations.fields import argument, one_line, text_fields
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

__all__ = ["FreeSwitch", "commands", "word"]

TIMEOUT_S = 5.0
"""Seconds for all of one route: FreeSWITCH answers these commands from memory."""
MAX_ANSWER_BYTES = 65536
"""No answer to these commands comes near it."""
REFUSALS = ("-ERR", "-USAGE")
"""How the answer to a command begins that was not done."""


def commands(route: Route, uuid: str, *, context: str | None = None) -> tuple[str, ...]:
    """Return the API commands of a route.

    Parameters
    ----------
    route : Route
        The decision.
    uuid : str
        The caller's channel.
    context : str or None
        Dialplan context with one extension for each target (``queue``, ``supervisor``, ``voicebot``,
        ``callback``), to which they are led. None: they wait in no queue yet, and the dialplan reads the variables.

    Returns
    -------
    tuple of str
        ``uuid_setvar`` for each variable, then ``uuid_transfer`` where a context is given.

    Raises
    ------
    DestinationError
        A name holds a line break, or what a dialplan would read as its own.
    """
    for what, names in (("a skill's name", route.skills), ("an agent's id", route.avoid_agents)):
        for name in names:
            argument(what, name)
    argument("the queue's name", route.queue)
    channel = word("the channel's uuid", uuid)
    variables = {"cc_base_score": str(route.priority), **text_fields(route)}
    lines = [f"uuid_setvar {channel} {name} {text}".rstrip() for name, text in variables.items()]
    if context is not None:
        lines.append(f"uuid_transfer {channel} {route.target.value} XML {word('the context', context)}")
    return tuple(lines)


class FreeSwitch:
    """Routes to FreeSWITCH over its event socket: one connection a route.

    Parameters
    ----------
    host, port : str, int
        Of mod_event_socket, usually 8021. Its text is not encrypted: keep it on the loopback or in a tunnel.
    password : str
        Of mod_event_socket.
    context : str or None
        As for `commands`.
    """

    def __init__(self, host: str, port: int, password: str, *, context: str | None = None) -> None:
        self._host = host
        self._port = port
        self._password = one_line("the password", password)
        self._context = context

    async def send(self, route: Route, uuid: str) -> None:
        """Send a route; parameters as for `commands`.

        Raises
        ------
        DestinationError
            FreeSWITCH cannot be reached, refuses the password or a command; those before it have been taken.
        """
        lines = commands(route, uuid, context=self._context)
        for line, answer in zip(lines, await self.ask(*lines), strict=False):
            if not answer.startswith("+OK"):
                raise DestinationError(
                    f"FreeSWITCH refused {line.partition(' ')[0]}; expected +OK; "
                    "the call may have ended, or the module is not loaded"
                )

    async def ask(self, *lines: str, in_background: bool = False) -> list[str]:
        """Send API commands, and return what is answered, up to the first that is refused.

        Parameters
        ----------
        *lines : str
            One or more commands.
        in_background : bool
            Whether FreeSWITCH answers before a command is done, as one that rings a telephone needs.

        Raises
        ------
        DestinationError
            FreeSWITCH cannot be reached, or refuses the password.
        """
        verb, kind = ("bgapi", "command/reply") if in_background else ("api", "api/response")
        answers: list[str] = []
        try:
            async with asyncio.timeout(TIMEOUT_S), self._socket() as (reader, writer):
                for command in lines:
                    writer.write(f"{verb} {command}\n\n".encode())
                    answers.append(await _answer(reader, kind))
                    if answers[-1].startswith(REFUSALS):
                        break
        except TimeoutError:
            raise DestinationError(
                f"FreeSWITCH did not answer within {TIMEOUT_S:g} s; expected +OK; check the event socket's address"
            ) from None
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise DestinationError(
                f"FreeSWITCH's event socket failed ({type(error).__name__}); expected its protocol; "
                "check its address and its access list"
            ) from None
        return answers

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=MAX_ANSWER_BYTES)
        try:
            await _answer(reader, "auth/request")
            writer.write(f"auth {self._password}\n\n".encode())
            if not (await _answer(reader, "command/reply")).startswith("+OK"):
                raise DestinationError(
                    "FreeSWITCH refused the event socket's password; expected +OK; check event_socket.conf.xml"
                )
            yield reader, writer
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader, wanted: str) -> str:
    """Read messages up to the first of a content type; return its body, or its reply text where it has none."""
    while True:
        head = (await reader.readuntil(b"\n\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.strip().splitlines())
        length = int(headers.get("Content-Length", "0"))
        if not 0 <= length <= MAX_ANSWER_BYTES:
            raise ValueError(length)
        body = (await reader.readexactly(length)).decode()
        if headers.get("Content-Type") == wanted:
            return body or headers.get("Reply-Text", "")


def word(what: str, text: str) -> str:
    """Return the text, once it is known to be one word of a command.

    Raises
    ------
    DestinationError
        It is empty, or holds a blank, a line break or what FreeSWITCH reads as its own.
    """
    if not text or " " in argument(what, text):
        raise DestinationError(f"{what} is empty or holds a blank; expected one word; check where it comes from")
    return text
