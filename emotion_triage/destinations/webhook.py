"""A signed webhook, for any engine that has no file of its own: https://www.standardwebhooks.com.

The receiver gets the whole route, checks the signature and the time, and drops an id that it has seen.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Generator
from datetime import UTC, datetime

import httpx
import msgspec
import standardwebhooks

from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

__all__ = ["SignedWebhook", "Webhook", "request"]

MIN_SECRET_BYTES = 24
"""The shortest secret that the specification allows."""
ID_HEX_DIGITS = 32
"""Digits of the SHA-256 in a webhook's id: 128 bits."""


def request(route: Route, path: str) -> Request:
    """Return the webhook of a route, not yet signed.

    Its id is made from the route, so that the same route sent again, even by another process, has the same id.

    Parameters
    ----------
    route : Route
        The decision.
    path : str
        Below the client's `base_url`.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> from emotion_triage.routing.rules import CLEAR, Level
    >>> route = Policy.load().router.route(
    ...     call_id="c-1", time_s=9.5, level=Level.ESCALATED, standing=CLEAR, model_digest="m", policy_digest="p"
    ... )
    >>> hook = request(route, "/routes")
    >>> data = msgspec.json.decode(hook.body)["data"]
    >>> data["queue"], data["priority"], data["level"], data["avoid_agents"]
    ('senior', 80, 'escalated', [])
    """
    data = msgspec.to_builtins(route) | {"level": None if route.level is None else route.level.name.lower()}
    body = msgspec.json.encode({"type": "route.decided", "data": data})
    webhook_id = f"route_{hashlib.sha256(body).hexdigest()[:ID_HEX_DIGITS]}"
    return Request(
        method="POST",
        path=path,
        body=body,
        headers={"webhook-id": webhook_id, "Idempotency-Key": webhook_id},
    )


class SignedWebhook(httpx.Auth):
    """Signs each try of a webhook with HMAC-SHA256 over its id, the time and the body.

    Parameters
    ----------
    secret : str
        ``whsec_`` and at least 24 random bytes in base64, shared with the receiver.

    Raises
    ------
    DestinationError
        The secret is not that.

    Examples
    --------
    >>> import base64, os
    >>> auth = SignedWebhook("whsec_" + base64.b64encode(os.urandom(32)).decode())
    """

    requires_request_body = True

    def __init__(self, secret: str) -> None:
        try:
            n_bytes = len(binascii.a2b_base64(secret.removeprefix("whsec_"), strict_mode=True))
        except ValueError:
            n_bytes = 0
        if not secret.startswith("whsec_") or n_bytes < MIN_SECRET_BYTES:
            raise DestinationError(
                f"the webhook's secret is not whsec_ and base64 of {MIN_SECRET_BYTES} bytes or more; "
                "make one with: echo whsec_$(head -c 32 /dev/urandom | base64)"
            )
        self._signer = standardwebhooks.Webhook(secret)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add time and signature, anew at each try, so that a late one is not taken for a replay."""
        now = datetime.now(UTC)
        request.headers["webhook-timestamp"] = str(int(now.timestamp()))
        request.headers["webhook-signature"] = self._signer.sign(
            request.headers["webhook-id"], now, request.content.decode()
        )
        yield request


class Webhook:
    """Routes to whatever listens.

    Parameters
    ----------
    client : httpx.AsyncClient
        With the receiver's `base_url`, by https, and `auth` a `SignedWebhook`. Its owner closes it.
    path : str
        Below it, such as ``/routes``.
    """

    def __init__(self, client: httpx.AsyncClient, path: str) -> None:
        self._client = client
        self._path = path

    async def send(self, route: Route) -> None:
        """Send a route.

        Raises
        ------
        DestinationError
            The receiver cannot be reached, refuses, or fails at every try.
        """
        await deliver(self._client, request(route, self._path), engine="the webhook")
