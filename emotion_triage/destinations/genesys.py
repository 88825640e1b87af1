"""Genesys Cloud: participant data that an Architect flow reads, and the priority of a call that waits.

Higher is sooner: a point counts as a minute waited, from -25,000,000 to 25,000,000 and 0 where nothing was said.
https://help.genesys.cloud/articles/set-up-a-transfer-to-acd-action/
"""

from __future__ import annotations

from collections.abc import Generator
from urllib.parse import quote

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.destinations.fields import text_fields
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

__all__ = ["ClientCredentials", "GenesysCloud", "requests"]


def requests(
    route: Route, conversation_id: str, participant_id: str, *, waits_in: str | None = None
) -> tuple[Request, ...]:
    """Return what Genesys Cloud is asked for a route.

    Parameters
    ----------
    route : Route
        The decision.
    conversation_id, participant_id : str
        The call and the caller in it, as AudioHook's ``open`` names them.
    waits_in : str or None
        The queue in which they wait now. If it is the route's, their priority there changes too.

    Raises
    ------
    DestinationError
        A name holds a line break, or one of a list holds a comma.
    """
    conversation = quote(conversation_id, safe="")
    data = Request(
        method="PATCH",
        path=f"/api/v2/conversations/{conversation}/participants/{quote(participant_id, safe='')}/attributes",
        body=msgspec.json.encode({"attributes": text_fields(route)}),
    )
    if waits_in != route.queue:
        return (data,)
    priority = Request(
        method="PATCH",
        path=f"/api/v2/routing/conversations/{conversation}",
        body=msgspec.json.encode({"priority": route.priority}),
    )
    return data, priority


class _Token(msgspec.Struct, frozen=True):
    access_token: str


class ClientCredentials(httpx.Auth):
    """Fetches a token of an OAuth client (client credentials grant) when needed, and once more when it is refused.

    Parameters
    ----------
    client_id, client_secret : str
        Of an OAuth client that may edit conversations.
    login_url : str
        Such as ``https://login.mypurecloud.de``.
    """

    requires_response_body = True

    def __init__(self, client_id: str, client_secret: str, *, login_url: str) -> None:
        self._basic = httpx.BasicAuth(client_id, client_secret)
        self._login_url = login_url
        self._token: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the token; after a 401 fetch another, once."""
        if self._token is None:
            self._token = yield from self._fetched()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token = yield from self._fetched()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _fetched(self) -> Generator[httpx.Request, httpx.Response, str]:
        asked = httpx.Request("POST", f"{self._login_url}/oauth/token", data={"grant_type": "client_credentials"})
        response = yield next(self._basic.auth_flow(asked))
        try:
            return msgspec.json.decode(response.content, type=_Token).access_token
        except msgspec.MsgspecError:
            raise DestinationError(
                f"Genesys Cloud's login answered {response.status_code} without a token; expected an access_token; "
                "check the OAuth client, its secret and the region"
            ) from None


class GenesysCloud:
    """Routes to Genesys Cloud.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` such as ``https://api.mypurecloud.de`` and `auth` a `ClientCredentials`. Its owner closes it.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def send(
        self, route: Route, conversation_id: str, participant_id: str, *, waits_in: str | None = None
    ) -> None:
        """Send a route; parameters as for `requests`.

        Raises
        ------
        DestinationError
            Genesys Cloud cannot be reached or refuses; the data stand even where the priority is refused.
        """
        for request in requests(route, conversation_id, participant_id, waits_in=waits_in):
            await deliver(self._client, request, engine="Genesys Cloud")
