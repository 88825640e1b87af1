"""Twilio TaskRouter: a task's attributes and priority; higher is sooner, whatever the age of the others.

Attributes are one JSON document, so that a change is read, merged and written back under the ETag that was read.
https://www.twilio.com/docs/taskrouter/api/task
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request, deliver
from emotion_triage.errors import DestinationError
from emotion_triage.routing.rules import Route

__all__ = ["Task", "TaskRouter", "request"]

CONFLICTS = 5
"""Times that a task may change between read and write before its changes are taken for endless."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was read.

    Attributes
    ----------
    path : str
        Its address below the client's `base_url`.
    etag : str
        Its version.
    attributes : dict
        What others wrote, kept as it is.
    """

    path: str
    etag: str
    attributes: dict[str, Any]


def request(route: Route, task: Task) -> Request:
    """Return the update of a task: its attributes and the route's, its priority, if it is still as it was read.

    Skills and agents stay lists, for expressions such as ``worker.name NOT IN task.triage_avoid_agents``.

    Examples
    --------
    >>> from emotion_triage.routing.policy import Policy
    >>> from emotion_triage.routing.rules import CLEAR, Level
    >>> route = Policy.load().router.route(
    ...     call_id="c-1", time_s=9.5, level=Level.ESCALATED, standing=CLEAR, model_digest="m", policy_digest="p"
    ... )
    >>> update = request(route, Task(path="/v1/Workspaces/WS1/Tasks/WT1", etag='"7"', attributes={}))
    >>> update.headers["If-Match"], b"Priority=80" in update.body
    ('"7"', True)
    """
    attributes = task.attributes | {
        "triage_target": route.target,
        "triage_queue": route.queue,
        "triage_priority": route.priority,
        "triage_skills": route.skills,
        "triage_avoid_agents": route.avoid_agents,
    }
    form = {"Attributes": msgspec.json.encode(attributes).decode(), "Priority": route.priority}
    return Request(
        method="POST",
        path=task.path,
        body=urlencode(form).encode(),
        content_type="application/x-www-form-urlencoded",
        headers={"If-Match": task.etag},
    )


class TaskRouter:
    """Routes to Twilio TaskRouter.

    Parameters
    ----------
    client : httpx.AsyncClient
        With `base_url` ``https://taskrouter.twilio.com`` and `auth` (account SID or API key, secret). Its owner
        closes it.
    workspace_sid : str
        The workspace, ``WS`` and 32 hex digits.
    """

    def __init__(self, client: httpx.AsyncClient, workspace_sid: str) -> None:
        self._client = client
        self._workspace = quote(workspace_sid, safe="")

    async def send(self, route: Route, task_sid: str) -> None:
        """Send a route to a task, ``WT`` and 32 hex digits; read it anew whenever something else changed it.

        Raises
        ------
        DestinationError
            Twilio cannot be reached or refuses, or the task's attributes are not a JSON object.
        """
        path = f"/v1/Workspaces/{self._workspace}/Tasks/{quote(task_sid, safe='')}"
        for _ in range(CONFLICTS):
            task = await self._read(path)
            response = await deliver(self._client, request(route, task), engine="TaskRouter", expected=(412,))
            if response.is_success:
                return
        raise DestinationError(
            f"TaskRouter's task changed {CONFLICTS} times between read and write; expected it to rest; "
            "find what keeps writing to it, and send the route again"
        )

    async def _read(self, path: str) -> Task:
        response = await deliver(self._client, Request(method="GET", path=path, body=b""), engine="TaskRouter")
        try:
            attributes = msgspec.json.decode(response.json()["attributes"], type=dict[str, Any])
            return Task(path=path, etag=response.headers["ETag"], attributes=attributes)
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError):
            raise DestinationError(
                "TaskRouter's task cannot be read; expected an ETag and attributes that are a JSON object; "
                "mend the task's attributes"
            ) from None
