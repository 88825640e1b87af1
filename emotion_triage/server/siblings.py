"""The other processes on the same ports: asked through sockets of their own, so that any of them knows every call."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec

from emotion_triage.server.requests import Refused
from emotion_triage.server.schemas import Fault

__all__ = ["Question", "Siblings", "socket_of"]

log = logging.getLogger(__name__)

ASKED_S = 2.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the API, passed on by a process that knows who asks.

    Attributes
    ----------
    run : str
        The endpoint's name.
    by : str
        Whose token it was.
    call_id : str or None
        The call.
    body : Raw
        As the endpoint takes it.
    """

    run: str
    by: str
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
    place, of : int
        This process's, and how many there are.
    """

    def __init__(self, folder: str | None, place: int, of: int) -> None:
        others = () if folder is None else (each for each in range(of) if each != place)
        self.folder = folder
        self.socket = None if folder is None else socket_of(folder, place)
        self._clients = [
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=socket_of(folder or "", each)),
                base_url="http://sibling",
                timeout=ASKED_S,
            )
            for each in others
        ]

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.aclose()

    async def ask(self, question: Question, answer: Any) -> list[Any]:
        """Return what those say who know; one that is gone says nothing.

        Raises
        ------
        Refused
            One of them knows the call and refuses.
        """
        body = msgspec.json.encode(question)
        answers = []
        for response in await asyncio.gather(*(self._one(client, body) for client in self._clients)):
            if response is None or response.status_code == HTTPStatus.NOT_FOUND:
                continue
            if response.status_code != HTTPStatus.OK:
                raise Refused(response.status_code, msgspec.json.decode(response.content, type=Fault).error)
            answers.append(msgspec.json.decode(response.content, type=answer))
        return answers

    async def _one(self, client: httpx.AsyncClient, body: bytes) -> httpx.Response | None:
        try:
            return await client.post("/ask", content=body)
        except httpx.TransportError as error:
            log.warning("another process does not answer (%s)", type(error).__name__)
            return None
