"""Links by which a desktop lets its agent in: once, for a minute, by the desktop's own signature, without a number."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("itsdangerous")
from itsdangerous import URLSafeTimedSerializer

from emotion_triage.adapters.audiohook_signature import Nonces
from emotion_triage.routing.call_ids import safe_call_id
from emotion_triage.server.auth import Authenticator
from emotion_triage.server.config import Access
from emotion_triage.server.engines import Secret
from emotion_triage.server.links import KEPT_S, LINK_S, SKEW_S, Links

TOKEN = "desktop-token-0123456789abcdef"
NOW_S = time.time()


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Access:
    monkeypatch.setenv("DESKTOP", TOKEN)
    return Access(name="desktop", kind="machine", token=Secret(env="DESKTOP"))


def signed(token: str = TOKEN, salt: str = "emotion-triage link", **entrance: Any) -> str:
    """A link as the guide has a desktop make one."""
    signer = URLSafeTimedSerializer(token, salt=salt, signer_kwargs={"digest_method": hashlib.sha256})
    return str(signer.dumps({"agent_id": "a-17", "once": "o-1", **entrance}))


def test_a_desktop_signs_for_itself(desktop: Access) -> None:
    """A link that a desktop signed is good once, in every way that the API's own is."""
    links = Links([desktop], Nonces(KEPT_S))
    link = signed(call_id="CALL")
    now_s = time.time()  # the link's own clock
    entered = links.enter(link, now_s=now_s)
    assert entered is not None
    assert (entered.by.name, entered.entrance.agent_id, entered.entrance.call_id) == ("desktop", "a-17", "CALL")
    assert links.enter(link, now_s=now_s + 1) is None
    assert links.enter(links.make(desktop, "a-17", None), now_s=now_s) is not None


@pytest.mark.parametrize("late_s", [LINK_S + 2, -SKEW_S - 2])
def test_a_link_is_good_for_a_minute(desktop: Access, late_s: float) -> None:
    """Too old, or from too far ahead: nobody comes in."""
    assert Links([desktop], Nonces(KEPT_S)).enter(signed(), now_s=time.time() + late_s) is None


@pytest.mark.parametrize(
    "link",
    [
        "",
        "x",
        "x" * 5000,
        signed(token="t" * 30),
        signed(salt="emotion-triage session"),
        signed(call_id="call-+33198765432"),
        signed(call_id=7),
        signed(agent_id=None),
    ],
)
def test_no_other_link_lets_in(desktop: Access, link: str) -> None:
    """A link of nobody, of another purpose, with a number in sight, or of another shape, is refused."""
    assert Links([desktop], Nonces(KEPT_S)).enter(link, now_s=time.time()) is None


def test_only_a_machine_that_is_still_good_lets_in(desktop: Access) -> None:
    """A person's or an agent's token signs nothing, nor one that has expired."""
    for kind, agent_id in (("person", None), ("agent", "a-17")):
        other = Access(name="m", kind=kind, agent_id=agent_id, token=desktop.token)  # type: ignore[arg-type]
        assert Links([other], Nonces(KEPT_S)).enter(signed(), now_s=time.time()) is None
    over = Access(name="m", kind="machine", token=desktop.token, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert Links([over], Nonces(KEPT_S)).enter(signed(), now_s=time.time()) is None


def test_a_session_by_a_link_is_the_agents(desktop: Access) -> None:
    """Whom a desktop let in is an agent, whatever the desktop may; the session ends with its time."""
    auth = Authenticator([desktop])
    call_id = safe_call_id("call-+33198765432")
    cookie = auth.cookie(desktop, until_s=NOW_S + 10, agent_id="a-17", call_id=call_id)
    session = auth.by_cookie(cookie, now_s=NOW_S)
    assert session is not None
    assert (session.access.kind, session.access.name, session.access.agent_id) == ("agent", "a-17", "a-17")
    assert session.call_id == call_id
    assert auth.by_cookie(cookie, now_s=NOW_S + 10) is None
    assert auth.by_cookie(f"x{cookie}", now_s=NOW_S) is None
