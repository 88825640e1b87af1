"""Amazon Connect: contact attributes that a flow reads, and the contact's place in its queue.

Connect counts the other way: the lower `QueuePriority` is served first, 1 before all, 5 for a contact of which nothing
was said. https://docs.aws.amazon.com/connect/latest/APIReference/API_UpdateContactRoutingData.html
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.destinations.fields import text_fields
from emotion_triage.errors import MissingExtraError
from emotion_triage.routing.rules import Route

if TYPE_CHECKING:
    from botocore.credentials import Credentials

__all__ = ["Connect", "SigV4", "queue_priority", "requests"]

FIRST = 1
"""Connect's most urgent priority."""
STEP = 10
"""Points of a route's priority in one of Connect's, so that 50 is Connect's own 5."""


def queue_priority(priority: int) -> int:
    """Return Connect's priority for a route's: 10 at 0, 5 at 50, 1 from 90 on; never later for a larger one.

    Examples
    --------
    >>> [queue_priority(priority) for priority in (0, 50, 60, 80, 100)]
    [10, 5, 4, 2, 1]
    """
    return max(FIRST, STEP - priority // STEP)


def requests(route: Route, instance_id: str, contact_id: str) -> tuple[Request, ...]:
    """Return what Connect is asked for a route: ``UpdateContactAttributes``, then ``UpdateContactRoutingData``.

    Parameters
    ----------
    route : Route
        The decision.
    instance_id, contact_id : str
        The Connect instance, and the call in it.

    Raises
    ------
    DestinationError
        A name holds a line break, or one of a list holds a comma.
    """
    attributes = {"InitialContactId": contact_id, "InstanceId": instance_id, "Attributes": text_fields(route)}
    contact = f"/contacts/{quote(instance_id, safe='')}/{quote(contact_id, safe='')}"
    return (
        Request(method="POST", path="/contact/attributes", body=msgspec.json.encode(attributes)),
        Request(
            method="POST",
            path=f"{contact}/routing-data",
            body=msgspec.json.encode({"QueuePriority": queue_priority(route.priority)}),
        ),
    )


class SigV4(httpx.Auth):
    """Signs each request to Connect as AWS wants it, through botocore (extra ``[connect]``).

    Parameters
    ----------
    credentials : botocore.credentials.Credentials
        Such as ``botocore.session.get_session().get_credentials()``; their own refresh is used.
    region : str
        Such as ``eu-west-2``.

    Raises
    ------
    MissingExtraError
        botocore is not installed.
    """

    requires_request_body = True

    def __init__(self, credentials: Credentials, region: str) -> None:
        try:
            from botocore.auth import SigV4Auth
        except ImportError:
            raise MissingExtraError(
                "signing for Amazon Connect needs botocore, which is not installed; "
                "install the extra 'connect', see docs/install.md"
            ) from None
        self._credentials = credentials
        self._signer = SigV4Auth
        self._region = region

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature, anew at each try, since it holds the time."""
        from botocore.awsrequest import AWSRequest

        signed = AWSRequest(
            method=request.method,
            url=str(request.url),
            data=request.content,
            headers={"Content-Type": request.headers["Content-Type"], "Host": request.headers["Host"]},
        )
        self._signer(self._credentials.get_frozen_credentials(), "connect", self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


class Connect:
    """Routes to Amazon Connect.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` such as ``https://connect.eu-west-2.amazonaws.com`` and `auth` a `SigV4`. Its owner closes it.
    instance_id : str
        The Connect instance.
    """

    def __init__(self, client: httpx.AsyncClient, instance_id: str) -> None:
        self._client = client
        self._instance_id = instance_id

    async def send(self, route: Route, contact_id: str) -> None:
        """Send a route to a contact.

        Raises
        ------
        DestinationError
            Connect cannot be reached or refuses; the attributes stand even where the priority is refused.
        """
        for request in requests(route, self._instance_id, contact_id):
            await deliver(self._client, request, engine="Amazon Connect")
