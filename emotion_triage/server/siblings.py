"""The other processes on the same ports: asked through sockets of their own, so that any of them knows every call."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec

from emotion_triage.server.board import Board
from emotion_triage.server.config import Access
from emotion_triage.server.requests import Refused
from emotion_triage.server.schemas import Fault

__all__ = ["Question", "Siblings", "socket_of"]

log = logging.getLogger(__name__)

ASKED_S = 2.0
CONNECTIONS = httpx.Limits(max_connections=8)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the API, passed on by a process that knows who asks.

    Attributes
    ----------
    run : str
        The endpoint's name.
    by : Access
        Whose token it was; of the token itself it has only the place.
    call_id : str or None
        The call.
    body : Raw
        As the endpoint takes it.
    """

    run: str
    by: Access
    call_id: str | None = None
    body: msgspec.Raw = msgspec.Raw(b"null")


def socket_of(folder: str, place: int) -> str:
    """Return where the process of a place is asked; only this user may open the folder."""
    return str(Path(folder) / f"{place}.sock")


class Siblings:
    """Every other process.

    Parameters
    ----------
    folder : str or None
        Where the sockets are; None: there is one process.
    place : int
        This process's.
    board : Board, optional
        Which of the others move; one that does not is not waited for.
    """

    def __init__(self, folder: str | None = None, place: int = 0, board: Board | None = None) -> None:
        of = 1 if board is None else board.of
        self.folder = folder
        self.socket = None if folder is None else socket_of(folder, place)
        self.place = None if board is None else board.at(place)
        self._board = board
        self._clients = {
            each: httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=socket_of(folder or "", each), limits=CONNECTIONS),
                base_url="http://sibling",
                timeout=ASKED_S,
            )
            for each in range(of)
            if each != place
        }

    def yields(self) -> bool:
        """Return whether another process that moves has fewer calls, and the first go at a new one."""
        return self.place is not None and self.place.lighter_elsewhere()

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def ask(self, question: Question, answer: Any) -> list[Any]:
        """Return what those say who know; of a call that nobody knows, one that is silent may.

        Raises
        ------
        Refused
            One of them knows the call and refuses, or does not answer where no other knows the call.
        """
        body = msgspec.json.encode(question)
        answers, silent = [], False
        for response in await asyncio.gather(*(self._one(each, body) for each in self._clients)):
            if response is None:
                silent = True
            elif response.status_code == HTTPStatus.OK:
                answers.append(msgspec.json.decode(response.content, type=answer))
            elif response.status_code != HTTPStatus.NOT_FOUND:
                fault = msgspec.json.decode(response.content, type=Fault)
                raise Refused(response.status_code, fault.error, fault.kind)
        if silent and not answers and question.call_id is not None:
            raise Refused(
                503, "a process of the server does not answer, and the call may be its; expected it back soon"
            )
        return answers

    async def _one(self, place: int, body: bytes) -> httpx.Response | None:
        if self._board is None or not self._board.moves(place):
            return None
        try:
            return await self._clients[place].post("/ask", content=body)
        except httpx.TransportError as error:
            log.warning("another process does not answer (%s)", type(error).__name__)
            return None
