"""A supervisor on a conversation of Genesys Cloud's: monitor, coach, barge.

Genesys puts the user whose token asks on the call, so that each supervisor needs a token of their own.
https://developer.genesys.cloud/devapps/api-explorer (Conversations, ``postConversationsCallParticipantMonitor``)
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request
from emotion_triage.destinations.monitoring import ALL, Leg, MonitorError, ask, decoded
from emotion_triage.routing.supervision import Mode

__all__ = ["GenesysMonitor", "UserToken"]

ENGINE = "Genesys Cloud"
VERBS = {Mode.LISTEN: "monitor", Mode.WHISPER: "coach", Mode.JOIN: "barge"}
OVER = frozenset({"disconnected", "terminated"})


class _User(msgspec.Struct, frozen=True):
    id: str


class _Participant(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    purpose: str = ""
    state: str = ""
    user: _User | None = None
    monitored_participant_id: str | None = None
    coached_participant_id: str | None = None
    barged_participant_id: str | None = None

    @property
    def supervises(self) -> bool:
        return any((self.monitored_participant_id, self.coached_participant_id, self.barged_participant_id))


class _Conversation(msgspec.Struct, frozen=True):
    participants: tuple[_Participant, ...] = ()


class UserToken(httpx.Auth):
    """A user's token, read anew for each request: whoever signs the user in renews it.

    Parameters
    ----------
    read : callable
        Returns the token.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token."""
        request.headers["Authorization"] = f"Bearer {self._read()}"
        yield request


class GenesysMonitor:
    """One supervisor of Genesys Cloud.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` such as ``https://api.mypurecloud.de`` and `auth` a `UserToken` of the supervisor's.
    """

    modes = ALL

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Put the supervisor on the agent's part of a conversation."""
        me = decoded(await self._get("/api/v2/users/me"), _User, engine=ENGINE).id
        path = f"/api/v2/conversations/calls/{quote(call, safe='')}"
        conversation = decoded(await self._get(path), _Conversation, engine=ENGINE)
        agent = next((each for each in conversation.participants if _answers(each)), None)
        if agent is None:
            raise MonitorError("alone", "no agent is on the call; expected one; wait until the call is answered")
        verb = Request(method="POST", path=f"{path}/participants/{quote(agent.id, safe='')}/{VERBS[mode]}", body=b"{}")
        await ask(self._client, verb, engine=ENGINE)

        async def mine() -> _Participant | None:
            answer = await self._get(path, expected=(404,))
            listed = decoded(answer, _Conversation, engine=ENGINE).participants if answer.is_success else ()
            own = (each for each in listed if each.user is not None and each.user.id == me)
            return next((each for each in own if each.state not in OVER and each.supervises), None)

        async def there() -> bool:
            return await mine() is not None

        async def end() -> None:
            own = await mine()
            if own is not None:
                body = b'{"state":"disconnected"}'
                leave = Request(method="PATCH", path=f"{path}/participants/{quote(own.id, safe='')}", body=body)
                await ask(self._client, leave, engine=ENGINE, expected=(404,))

        return Leg(there, end)

    async def _get(self, path: str, expected: tuple[int, ...] = ()) -> httpx.Response:
        return await ask(self._client, Request(method="GET", path=path, body=b""), engine=ENGINE, expected=expected)


def _answers(participant: _Participant) -> bool:
    return participant.purpose in ("agent", "user") and participant.state == "connected" and not participant.supervises
