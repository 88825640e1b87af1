"""A supervisor on a call of Twilio's, as one more participant of the conference that TaskRouter made of it.

https://www.twilio.com/docs/voice/api/conference-participant-resource
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

import httpx
import msgspec

from emotion_triage.destinations.delivery import Request
from emotion_triage.destinations.monitoring import ALL, Leg, MonitorError, ask, decoded
from emotion_triage.routing.supervision import Mode

__all__ = ["TwilioMonitor", "participant"]

FORM = "application/x-www-form-urlencoded"
ENGINE = "Twilio"
OVER = frozenset({"complete", "completed", "failed"})


class _Participants(msgspec.Struct, frozen=True):
    worker: str | None = None


class _Conference(msgspec.Struct, frozen=True):
    sid: str
    participants: _Participants = _Participants()


class _Attributes(msgspec.Struct, frozen=True):
    conference: _Conference | None = None


class _Task(msgspec.Struct, frozen=True):
    attributes: str


class _Call(msgspec.Struct, frozen=True):
    call_sid: str
    status: str = ""


def participant(account_sid: str, conference_sid: str, agent: str, to: str, from_: str, mode: Mode) -> Request:
    """Return the request that rings a supervisor into a conference; `agent` is the call SID of the agent's leg.

    Nobody but the agent hears a participant who coaches; who is muted is heard by nobody. Only a join is announced.
    """
    form = {"From": from_, "To": to, "Beep": "true" if mode is Mode.JOIN else "false", "EndConferenceOnExit": "false"}
    if mode is Mode.LISTEN:
        form["Muted"] = "true"
    elif mode is Mode.WHISPER:
        form |= {"Coaching": "true", "CallSidToCoach": agent}
    return Request(
        method="POST",
        path=f"{_account(account_sid)}/Conferences/{quote(conference_sid, safe='')}/Participants.json",
        body=urlencode(form).encode(),
        content_type=FORM,
    )


class TwilioMonitor:
    """One supervisor, by Twilio's conferences.

    Parameters
    ----------
    tasks, voice : httpx.AsyncClient
        With `base_url` ``https://taskrouter.twilio.com`` and ``https://api.twilio.com``, and `auth`.
    account_sid, workspace_sid : str
        The account, and TaskRouter's workspace.
    from_ : str
        A number of the account's, or ``client:NAME``, that the supervisor sees.
    supervisor : str
        ``client:NAME``, a SIP address or a number.
    """

    modes = ALL

    def __init__(
        self,
        tasks: httpx.AsyncClient,
        voice: httpx.AsyncClient,
        *,
        account_sid: str,
        workspace_sid: str,
        from_: str,
        supervisor: str,
    ) -> None:
        self._tasks = tasks
        self._voice = voice
        self._account_sid = account_sid
        self._workspace_sid = workspace_sid
        self._from = from_
        self._supervisor = supervisor

    async def begin(self, call: str, mode: Mode) -> Leg:
        """Ring the supervisor; `call` is the task, whose attributes name the conference and the worker's leg."""
        task = f"/v1/Workspaces/{quote(self._workspace_sid, safe='')}/Tasks/{quote(call, safe='')}"
        answer = await ask(self._tasks, Request(method="GET", path=task, body=b""), engine="TaskRouter")
        try:
            attributes = msgspec.json.decode(
                msgspec.json.decode(answer.content, type=_Task).attributes, type=_Attributes
            )
        except msgspec.MsgspecError:
            raise MonitorError(
                "refused", "TaskRouter's task cannot be read; expected attributes that are a JSON object; mend them"
            ) from None
        conference = attributes.conference
        if conference is None or not conference.participants.worker:
            raise MonitorError(
                "alone",
                "the task has no conference with a worker; expected one; answer it with TaskRouter's conference "
                "instruction",
            )
        request = participant(
            self._account_sid,
            conference.sid,
            conference.participants.worker,
            self._supervisor,
            self._from,
            mode,
        )
        answer = await ask(self._voice, request, engine=ENGINE)
        sid = quote(decoded(answer, _Call, engine=ENGINE).call_sid, safe="")
        own = request.path.removesuffix(".json") + f"/{sid}.json"

        async def there() -> bool:
            answer = await ask(self._voice, Request(method="GET", path=own, body=b""), engine=ENGINE, expected=(404,))
            return answer.is_success and decoded(answer, _Call, engine=ENGINE).status not in OVER

        async def end() -> None:
            # unlike the removal of a participant, this ends a call that still rings too
            path = f"{_account(self._account_sid)}/Calls/{sid}.json"
            hang_up = Request(method="POST", path=path, body=b"Status=completed", content_type=FORM)
            await ask(self._voice, hang_up, engine=ENGINE, expected=(404,))

        return Leg(there, end)


def _account(sid: str) -> str:
    return f"/2010-04-01/Accounts/{quote(sid, safe='')}"
