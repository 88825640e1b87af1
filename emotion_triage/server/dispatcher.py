"""Routes out: one at a time for each call; a newer route replaces an older one, be it waiting or being tried."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from emotion_triage.destinations.delivery import outcome
from emotion_triage.errors import ConfigError, DestinationError, MissingExtraError
from emotion_triage.routing.rules import Route, same_destination
from emotion_triage.server.calls import LiveCall, Told
from emotion_triage.server.engines import AmiDestination, ConnectDestination, Destinations
from emotion_triage.server.metrics import Metrics

if TYPE_CHECKING:
    import httpx
    import panoramisk

__all__ = ["Dispatcher"]

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
MAX_CHANNELS = 10_000
IN_FLIGHT_S = 0.5
"""How long an older route may still be answered once there is a newer one; then no more is tried of it."""

T = TypeVar("T")
Send = Callable[[Route, LiveCall, str], Awaitable[None]]


class Dispatcher:
    """The senders of the destinations that are configured, and what waits to be sent.

    Parameters
    ----------
    destinations : Destinations
        Whom to tell.
    metrics : Metrics
        Counts.
    """

    def __init__(self, destinations: Destinations, metrics: Metrics) -> None:
        self._destinations = destinations
        self._metrics = metrics
        self._senders: dict[str, Send] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, tuple[str, str, LiveCall, Told]] = {}
        self._newer: dict[str, asyncio.Event] = {}
        self._channels: OrderedDict[str, str] = OrderedDict()
        self._open = AsyncExitStack()
        self.manager: panoramisk.Manager | None = None
        """Asterisk's manager interface, once it is open."""

    async def open(self) -> None:
        """Make the senders; none of them needs its engine to be there yet.

        Raises
        ------
        ConfigError
            A secret is not there, or is not what the engine takes.
        """
        for name in Destinations.__struct_fields__:
            settings = getattr(self._destinations, name)
            if settings is not None:
                try:
                    self._senders[name] = await getattr(self, f"_{name}")(settings)
                except (DestinationError, MissingExtraError) as error:
                    raise ConfigError(f"destinations.{name}: {error}") from None

    async def close(self, within_s: float) -> None:
        """Wait for what is being sent, then close every client."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=within_s)
        for task in list(self._tasks.values()):
            task.cancel()
        await self._open.aclose()

    def tell(self, destination: str, address: str, call: LiveCall, route: Route) -> None:
        """Send a route, unless the call is led there already; one that is still being tried has `IN_FLIGHT_S` left.

        Engines let a caller whom they lead to the same place again join it anew, behind those who wait there.
        """
        if call.told and call.told[-1].outcome in ("waiting", "taken") and _asks_the_same(call.told[-1].route, route):
            return
        call_id = call.call.call_id
        told = Told(route=route, outcome="waiting")
        call.told.append(told)
        if call_id in self._waiting:
            _, _, _, older = self._waiting[call_id]
            _settle(call, older, "replaced")
            self._metrics.routes.labels(destination, "replaced").inc()
        self._waiting[call_id] = destination, address, call, told
        if call_id in self._tasks:
            self._newer[call_id].set()
        else:
            self._newer[call_id] = asyncio.Event()
            self._tasks[call_id] = asyncio.create_task(self._send(call_id))

    async def _send(self, call_id: str) -> None:
        try:
            while call_id in self._waiting:
                destination, address, call, told = self._waiting.pop(call_id)
                newer = self._newer[call_id]
                newer.clear()
                beside = {"call": call_id, "destination": destination, "route": told.route.queue}
                error: Exception | None
                try:
                    error = await _unless(newer, outcome(self._senders[destination](told.route, call, address)))
                except _Replaced:
                    _settle(call, told, "replaced")
                    self._metrics.routes.labels(destination, "replaced").inc()
                    log.warning("route not taken so far, a newer one replaces it", extra=beside)
                    continue
                except Exception as fault:
                    log.exception("route could not be sent", extra=beside)
                    error = fault
                _settle(call, told, "taken" if error is None else str(error))
                call.waits_in = told.route.queue if error is None else call.waits_in
                self._metrics.routes.labels(destination, "taken" if error is None else "failed").inc()
                if error is None:
                    log.info("route taken", extra=beside)
                else:
                    log.warning("route not taken: %s", error, extra=beside)
        finally:
            del self._tasks[call_id], self._newer[call_id]

    def name_at(self, destination: str, address: str) -> str:
        """Return what a destination calls a call: in Asterisk the channel, once the dialplan has told it."""
        return self._channels.get(address, address) if destination == "ami" else address

    async def client(self, url: str, auth: Any) -> httpx.AsyncClient:
        """Return a client of an engine, which is closed with the rest."""
        import httpx

        client = httpx.AsyncClient(base_url=url, auth=auth, timeout=TIMEOUT_S)
        return await self._open.enter_async_context(client)

    async def _ami(self, to: AmiDestination) -> Send:
        try:
            import panoramisk
        except ImportError:
            raise MissingExtraError(
                "AMI needs panoramisk, which is not installed; install the extra 'destinations', see docs/install.md"
            ) from None
        from emotion_triage.destinations.asterisk import Ami

        manager = panoramisk.Manager(
            host=to.host, port=to.port, username=to.username, secret=to.secret.read(), ping_delay=10
        )
        manager.register_event("UserEvent", self._learn)
        manager.connect(run_forever=False)
        self.manager = manager
        self._open.callback(manager.close)
        ami = Ami(manager, context=to.context)

        async def send(route: Route, call: LiveCall, address: str) -> None:
            await ami.send(route, self.name_at("ami", address), waits_in=call.waits_in)

        return send

    async def _learn(self, manager: object, message: Any) -> None:
        """Learn from ``UserEvent(Triage,TriageId: ...)`` which channel has the call of an AudioSocket."""
        if message.get("UserEvent") == "Triage" and message.get("TriageId") and message.get("Channel"):
            self._channels[str(message["TriageId"])] = str(message["Channel"])
            while len(self._channels) > MAX_CHANNELS:
                self._channels.popitem(last=False)

    async def _ari(self, to: Any) -> Send:
        from emotion_triage.destinations.asterisk import Ari

        ari = Ari(await self.client(to.url, (to.username, to.password.read())), context=to.context)
        return lambda route, call, address: ari.send(route, address)

    async def _taskrouter(self, to: Any) -> Send:
        from emotion_triage.destinations.taskrouter import TaskRouter

        client = await self.client(to.url, (to.account_sid, to.auth_token.read()))
        router = TaskRouter(client, to.workspace_sid)
        return lambda route, call, address: router.send(route, address)

    async def connect_client(self, to: ConnectDestination) -> httpx.AsyncClient:
        """Return a client of Amazon Connect, whose requests are signed."""
        from emotion_triage.destinations.connect import SigV4

        try:
            import botocore.session
        except ImportError:
            raise MissingExtraError(
                "Amazon Connect needs botocore, which is not installed; "
                "install the extra 'connect', see docs/install.md"
            ) from None
        credentials = botocore.session.get_session().get_credentials()
        if credentials is None:
            raise DestinationError("no AWS credentials were found; expected some; set AWS_PROFILE or a role")
        url = to.url or f"https://connect.{to.region}.amazonaws.com"
        return await self.client(url, SigV4(credentials, to.region))

    async def _connect(self, to: ConnectDestination) -> Send:
        from emotion_triage.destinations.connect import Connect

        connect = Connect(await self.connect_client(to), to.instance_id)
        return lambda route, call, address: connect.send(route, address)

    async def _genesys(self, to: Any) -> Send:
        from emotion_triage.destinations.genesys import ClientCredentials, GenesysCloud

        auth = ClientCredentials(to.client_id, to.client_secret.read(), login_url=to.login_url)
        genesys = GenesysCloud(await self.client(to.url, auth))

        async def send(route: Route, call: LiveCall, address: str) -> None:
            await genesys.send(route, call.call.call_id, address, waits_in=call.waits_in)

        return send

    async def _freeswitch(self, to: Any) -> Send:
        from emotion_triage.destinations.freeswitch import FreeSwitch

        switch = FreeSwitch(to.host, to.port, to.password.read(), context=to.context)
        return lambda route, call, address: switch.send(route, address)

    async def _webhook(self, to: Any) -> Send:
        import httpx

        from emotion_triage.destinations.webhook import SignedWebhook, Webhook

        # a base address gets a slash at its end, which the receiver may know nothing of
        url = httpx.URL(to.url)
        client = await self.client(str(url.copy_with(raw_path=b"/")), SignedWebhook(to.secret.read()))
        hook = Webhook(client, url.raw_path.decode())
        return lambda route, call, address: hook.send(route)


def _asks_the_same(one: Route, other: Route) -> bool:
    return same_destination(one, other) and one.avoid_agents == other.avoid_agents


class _Replaced(Exception):
    """A newer route came while this one was being tried."""


async def _unless(newer: asyncio.Event, sending: Coroutine[Any, Any, T]) -> T:
    """Return what a sender returns, or give it up soon after there is a newer route."""
    trying, replaced = asyncio.ensure_future(sending), asyncio.ensure_future(newer.wait())
    try:
        await asyncio.wait((trying, replaced), return_when=asyncio.FIRST_COMPLETED)
        if not trying.done():
            await asyncio.wait((trying,), timeout=IN_FLIGHT_S)
        if not trying.done():
            raise _Replaced
        return trying.result()
    finally:
        for each in (trying, replaced):
            each.cancel()
        await asyncio.wait((trying, replaced))


def _settle(call: LiveCall, told: Told, outcome: str) -> None:
    for i in range(len(call.told) - 1, -1, -1):
        if call.told[i] is told:
            call.told[i] = Told(route=told.route, outcome=outcome)
            return
