"""A conversation served on the loopback, for tests that stand in for an engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

__all__ = ["Talk", "listening"]

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk, port: int = 0) -> AsyncIterator[int]:
    """Serve a conversation to whoever connects; yield its port. At the end every connection is closed."""
    writers: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            try:
                await talk(reader, writer)
            finally:
                writer.close()

    async with await asyncio.start_server(served, "127.0.0.1", port) as server:
        yield server.sockets[0].getsockname()[1]
        for writer in writers:
            writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
