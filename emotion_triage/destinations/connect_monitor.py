"""A supervisor on a contact of Amazon Connect's: silent monitoring, and barge where they may.

Connect opens the contact in the supervisor's Contact Control Panel: they barge there, if they may, and leave there.
It cannot whisper. https://docs.aws.amazon.com/connect/latest/APIReference/API_MonitorContact.html
"""

from __future__ import annotations

import uuid
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request
from emotion_triage.destinations.monitoring import Leg, ask, decoded
from emotion_triage.routing.supervision import Mode

__all__ = ["ConnectMonitor", "monitor"]

ENGINE = "Amazon Connect"
CAPABILITIES = {Mode.LISTEN: ("SILENT_MONITOR",), Mode.JOIN: ("SILENT_MONITOR", "BARGE")}


class _Monitored(msgspec.Struct, frozen=True):
    contact_id: str = msgspec.field(name="ContactId")


class _Contact(msgspec.Struct, frozen=True):
    ended: float | str | None = msgspec.field(name="DisconnectTimestamp", default=None)


class _Described(msgspec.Struct, frozen=True):
    contact: _Contact = msgspec.field(name="Contact")


def monitor(instance_id: str, contact_id: str, user_id: str, mode: Mode, token: str) -> Request:
    """Return ``MonitorContact``; `token` makes it one request, however often it is sent."""
    body = {
        "InstanceId": instance_id,
        "ContactId": contact_id,
        "UserId": user_id,
        "AllowedMonitorCapabilities": CAPABILITIES[mode],
        "ClientToken": token,
    }
    return Request(method="POST", path="/contact/monitor", body=msgspec.json.encode(body))


class ConnectMonitor:
    """One supervisor of an Amazon Connect instance.

    Parameters
    ----------
    client : httpx.AsyncClient
        As for `emotion_triage.destinations.connect.Connect`.
    instance_id, supervisor : str
        The instance, and the supervisor's user in it by id.
    """

    modes = frozenset(CAPABILITIES)

    def __init__(self, client: httpx.AsyncClient, instance_id: str, supervisor: str) -> None:
        self._client = client
        self._instance_id = instance_id
        self._supervisor = supervisor

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Open the contact in the supervisor's panel."""
        request = monitor(self._instance_id, call, self._supervisor, mode, str(uuid.uuid4()))
        own = decoded(await ask(self._client, request, engine=ENGINE), _Monitored, engine=ENGINE).contact_id
        path = f"/contacts/{quote(self._instance_id, safe='')}/{quote(own, safe='')}"

        async def there() -> bool:
            answer = await ask(
                self._client, Request(method="GET", path=path, body=b""), engine=ENGINE, expected=(404, 410)
            )
            return answer.is_success and decoded(answer, _Described, engine=ENGINE).contact.ended is None

        return Leg(there, None)
