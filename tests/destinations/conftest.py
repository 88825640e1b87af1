"""A route to send, and a real HTTP server on the loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest
import stamina
import uvicorn
from starlette.applications import Starlette

from emotion_triage.routing.escalation import Level
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import Route, Standing, StandingState

Serve = Callable[[Starlette], AbstractAsyncContextManager[str]]


@pytest.fixture(scope="session")
def escalated() -> Route:
    """The balanced policy's route of an escalated, protected caller whom two agents need not meet again."""
    standing = Standing(
        state=StandingState.PROTECTED, abusive_contacts=1, since=None, expires_at=None, avoid_agents=("a-17", "a-4")
    )
    route = Policy.load().router.route(
        call_id="c-1", time_s=9.5, level=Level.ESCALATED, standing=standing, model_digest="m1", policy_digest="p1"
    )
    return msgspec.structs.replace(route, skills=("de-escalation", "français"))


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Tries follow each other at once."""
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Return a context that serves an application on the loopback and yields its address."""

    @asynccontextmanager
    async def served(app: Starlette) -> AsyncIterator[str]:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                server.should_exit = True
                await serving

    return served
