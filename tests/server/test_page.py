"""The supervisor's page in a browser: a call escalates, a person decides; keyboard, screen reader, small screens."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine

from emotion_triage.ledger.verification import verify

pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")


Shot = Callable[[str], Path]
SignedIn = Callable[..., Any]


def test_a_call_escalates_and_the_supervisor_overrides(
    browser: Any, server: Any, audiosocket: Any, temper: np.ndarray, signed_in: SignedIn, shot: Shot, aside: Any
) -> None:
    """The row changes level soon after the API does, the override by keyboard is in the log, and the log verifies."""
    page = signed_in(browser, server)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    with aside(caller := audiosocket(server)) as speaking:
        row = page.locator(f"#call-{caller.call_id}")
        speaking.do(caller.say(temper[: 8 * 8000]))
        row.locator(".level-calm").wait_for()
        row.get_by_role("link").focus()
        speaking.do(caller.say(temper[8 * 8000 : 18 * 8000]))
        server.wait_for(lambda: server.call(caller.call_id)["level"] == "escalated")
        began_s = time.monotonic()
        row.locator(".level-escalated").wait_for()
        print(f"the row changed {time.monotonic() - began_s:.2f} s after the API")
        page.screenshot(path=shot("calls-escalated"))
        # the refresh left the focus where it was
        page.keyboard.press("Enter")
        page.wait_for_url("**/calls/**")
        assert page.locator("#live .chosen strong").inner_text() == "escalated caller"
        page.locator("#queue").focus()
        page.keyboard.type("senior")  # the list's own choice by its first letters
        page.keyboard.press("Tab")
        page.keyboard.type("asked for her adviser")
        page.keyboard.press("Enter")
        page.locator(".done").wait_for()
        assert server.call(caller.call_id)["override"]["by"] == "m.durand"
    engine = create_engine(f"sqlite:///{server.folder}/ledger.db")
    with engine.connect() as connection:
        count = "SELECT count(*) FROM decisions WHERE kind = 'override'"
        server.wait_for(lambda: connection.exec_driver_sql(count).scalar_one() == 1)
        assert verify(connection).sound
    engine.dispose()
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_and_is_accessible(
    browser: Any,
    server: Any,
    audiosocket: Any,
    temper: np.ndarray,
    signed_in: SignedIn,
    fits: Any,
    width: int,
    scheme: str,
    aside: Any,
) -> None:
    """No page is wider than the screen, and axe finds no serious fault on any, in either language."""
    language = "fr-FR" if scheme == "dark" else "en-GB"
    context = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    page = signed_in(browser, server, **context, bypass_csp=True)
    with aside(caller := audiosocket(server)) as speaking:
        speaking.do(caller.say(temper[: 18 * 8000]))
        server.wait_for(lambda: server.call(caller.call_id)["level"] == "escalated")
        for name, path in (
            ("calls", "/"),
            ("call", f"/calls/{caller.call_id}"),
            ("team", "/team"),
            ("reviews", "/reviews"),
            ("ended", "/ended"),
        ):
            page.goto(f"http://127.0.0.1:{server.ports['http']}{path}")
            fits(page, width, f"{name}-{width}-{scheme}")
        assert page.locator("html").get_attribute("lang") == language[:2]


def test_the_page_survives_a_restart(
    browser: Any, start: Any, audiosocket: Any, signed_in: SignedIn, aside: Any
) -> None:
    """A page that was open when the server went shows the calls of the server that comes back, still signed in."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = start(port=port)
    page = signed_in(browser, before)
    page.locator(".empty").wait_for()
    assert before.stop() == 0
    page.locator("#link:not([hidden])").wait_for()
    after = start(port=port)
    with aside(caller := audiosocket(after)) as speaking:
        speaking.do(caller.say(np.zeros(8000, np.float32)))
        page.locator(f"#call-{caller.call_id}").wait_for(timeout=30_000)
    assert page.locator("#link").is_hidden()
