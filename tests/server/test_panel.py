"""The agent's panel in a browser: a line, help, a flag, the wrap-up and rest; in frames, small, by keyboard."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the panel's tests need playwright")

SOON_S = 1.0
"""A line has to be on the panel within a second."""
QUEUED_S = 2.0
"""A flag has to be in the review queue within two."""


def new_page(browser: Any, **context: Any) -> Any:
    page = browser.new_context(**{"locale": "en-GB", "viewport": {"width": 390, "height": 900}, **context}).new_page()
    page.set_default_timeout(15_000)
    return page


def signed_in(browser: Any, server: Any, token: str = "martin", **context: Any) -> Any:
    page = new_page(browser, **context)
    page.goto(f"http://127.0.0.1:{server.ports['http']}/agent")
    page.fill("#token", f"{token}-token-0123456789abcdef")
    page.keyboard.press("Enter")
    page.wait_for_selector("#rest")
    return page


def told(server: Any, path: str, token: str = "DURAND", **body: Any) -> Any:
    with server.client(token) as client:
        return client.post(path, json=body).raise_for_status().json()


def waiting(server: Any) -> list[str]:
    return [each["contact_id"] for each in server.get("/api/reviews").json()]


def test_a_call_from_its_first_word_to_the_rest_after_it(
    browser: Any, server: Any, twilio: Any, aside: Any, temper: np.ndarray, shot: Any
) -> None:
    """Level, a line within 1 s, help, a flag in the queue within 2 s, rest; a verdict is the standing at once."""
    page = signed_in(browser, server)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
    about = {"agent": "a-1", "caller": "+33 1 98 76 54 32", "caller_name": "Mr Roux", "queue": "general"}
    with aside(caller := twilio(server, "CApanel", about)) as call:
        call.do(caller.say(temper[: 18 * 8000]))
        page.locator("#call .level-escalated").wait_for()
        assert "It is not about you" in page.locator("#call .sentence").inner_text()
        assert "Do not argue" in page.locator("#call .suggestion").inner_text()
        assert "76 54" not in page.content()

        supervisor = new_page(browser, viewport={"width": 1280, "height": 900})
        supervisor.goto(f"http://127.0.0.1:{server.ports['http']}/login")
        supervisor.fill("#token", "durand-token-0123456789abcdef")
        supervisor.keyboard.press("Enter")
        supervisor.wait_for_selector("h1")
        supervisor.goto(f"http://127.0.0.1:{server.ports['http']}/calls/CApanel")
        supervisor.locator("#message-text").focus()
        supervisor.keyboard.type("Offer a call back tomorrow at nine.")
        supervisor.keyboard.press("Enter")
        server.wait_for(lambda: server.call("CApanel")["messages"])
        began_s = time.monotonic()
        page.get_by_text("Offer a call back tomorrow at nine.").first.wait_for()
        took_s = time.monotonic() - began_s
        print(f"the line was there after {took_s:.2f} s")
        assert took_s < SOON_S
        assert "Offer a call back" in page.locator("#say").inner_text()

        supervisor.locator("#live .rules", has_text="Offer a call back").wait_for()
        supervisor.context.close()

        page.get_by_role("button", name="I need help").focus()
        page.keyboard.press("Enter")
        page.locator(".done").wait_for()
        assert server.call("CApanel")["help_since"]
        page.get_by_role("button", name="I no longer need help").wait_for()
        page.screenshot(path=shot("panel"), full_page=True)

        page.get_by_role("button", name="This caller is abusive").focus()
        began_s = time.monotonic()
        page.keyboard.press("Space")
        server.wait_for(lambda: "CApanel" in waiting(server), QUEUED_S)
        print(f"the flag was in the queue after {time.monotonic() - began_s:.2f} s")
        page.locator("#flagged").wait_for()
        call.do(caller.stop())
    form = page.locator("#over-CApanel")
    assert form.get_by_label("Abusive towards me").is_checked()
    form.get_by_label("A word to your supervisor").focus()
    page.keyboard.type("threw insults from the start")
    page.keyboard.press("Enter")
    page.locator(".done").wait_for()
    assert form.count() == 0
    assert "You rest until" in page.locator(".resting").inner_text()
    page.screenshot(path=shot("panel-rest"), full_page=True)
    assert server.call("CApanel")["disposition"] == "ABUSE"
    with server.client() as client:
        (asked,) = [each for each in client.get("/api/reviews").json() if each["contact_id"] == "CApanel"]
        assert asked["reason"].startswith("flagged by a-1: threw insults from the start")
        (own,) = [each for each in client.get("/api/team").json() if each["agent_id"] == "a-1"]
    assert own["after_call_work_s"] > 0
    assert f"{own['abusive_contacts']}" in page.locator("#rest dl").inner_text()

    told(server, "/api/calls/CApanel/verdict", abusive=False, reason="a test")
    assert "CApanel" not in waiting(server)
    with aside(twilio(server, "CAnext", {"caller": about["caller"]})):
        server.wait_for(lambda: server.call("CAnext")["standing"] == "clear")
    page.locator(".resting").wait_for(state="detached")
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_panel_fits_and_is_accessible(
    browser: Any, server: Any, twilio: Any, aside: Any, fits: Any, width: int, scheme: str
) -> None:
    """It is no wider than the screen, and axe finds no serious fault, in either language, whatever it shows."""
    language = "fr-FR" if scheme == "dark" else "en-GB"
    context = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "locale": language}
    name = f"CAfits-{width}-{scheme}"
    page = new_page(browser, **context, bypass_csp=True)
    page.goto(f"http://127.0.0.1:{server.ports['http']}/agent/login")
    fits(page, width, f"panel-login-{width}-{scheme}")
    page = signed_in(browser, server, "petit", **context, bypass_csp=True)
    fits(page, width, f"panel-empty-{width}-{scheme}")
    with aside(caller := twilio(server, name, {"agent": "a-2", "caller_name": "M. " + "Longnom" * 9})) as call:
        server.wait_for(lambda: server.call(name))
        told(server, f"/api/calls/{name}/message", text="A line that is as long as it may be, " * 7)
        told(server, f"/api/calls/{name}/help", "PETIT")
        page.locator(".lines").wait_for()
        fits(page, width, f"panel-call-{width}-{scheme}")
        call.do(caller.stop())
        page.locator(f"#over-{name}").wait_for()
        fits(page, width, f"panel-over-{width}-{scheme}")
    assert page.locator("html").get_attribute("lang") == language[:2]
    told(server, f"/api/calls/{name}/wrap-up", "PETIT", agent_id="a-2", disposition="OK")
    page.locator(f"#over-{name}").wait_for(state="detached")


def test_it_works_without_a_script(browser: Any, server: Any, twilio: Any, aside: Any) -> None:
    """With scripts switched off the panel is whole, and its buttons do what they say."""
    page = signed_in(browser, server, java_script_enabled=False)
    with aside(caller := twilio(server, "CAplain", {"agent": "a-1"})) as call:
        server.wait_for(lambda: server.call("CAplain"))
        server.wait_for(lambda: page.reload() and page.locator("#help").count())
        page.click("#help")
        page.get_by_role("button", name="I no longer need help").click()
        page.get_by_role("button", name="I need help").wait_for()
        assert server.call("CAplain")["help_since"] is None
        call.do(caller.stop())
        server.wait_for(lambda: server.call("CAplain")["ended"])
    form = page.locator("#over-CAplain")
    server.wait_for(lambda: page.reload() and form.count())
    form.get_by_label("Well").check()
    form.get_by_role("button", name="Done with this call").click()
    assert page.locator("#over-CAplain").count() == 0


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A desktop's own web server, at another origin."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as desktop:
        threading.Thread(target=desktop.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{desktop.server_address[1]}"
        desktop.shutdown()


DESKTOP = """<!doctype html><html lang="en"><title>desktop</title>
<script src="{panel}/static/panel.js" defer></script>
<emotion-triage-panel id="panel" src="{panel}{path}" style="width: 24rem; height: 40rem"></emotion-triage-panel>
<script>
window.told = [];
document.getElementById("panel").addEventListener("state", (event) => window.told.push(event.detail));
</script>
"""


def test_it_stands_in_a_desktops_frame_by_a_link(
    browser: Any, start: Any, twilio: Any, aside: Any, tmp_path: Path, shot: Any
) -> None:
    """A named desktop opens it with a link made before the call begins, and is told its state; any other is refused."""
    with served(tmp_path) as desktop, served(tmp_path) as stranger:
        server = start(http=f'frame_ancestors = ["{desktop}"]')
        panel = f"http://127.0.0.1:{server.ports['http']}"
        link = told(server, "/api/links", "DESKTOP", agent_id="a-9", call_id="CAframe")["path"]
        (tmp_path / "index.html").write_text(DESKTOP.format(panel=panel, path=link))
        page = new_page(browser, viewport={"width": 800, "height": 900})
        page.goto(f"{desktop}/index.html")
        frame = page.frame_locator("iframe")
        frame.locator("#rest").wait_for()
        page.wait_for_function("window.told.length && window.told.at(-1).call === null")
        with aside(twilio(server, "CAframe", {"queue": "general"})):
            page.wait_for_function("window.told.at(-1).call === 'CAframe'")
            assert server.call("CAframe")["agent_id"] == "a-9"
            frame.locator("#help").click()
            page.wait_for_function("window.told.at(-1).help === true")
            assert server.call("CAframe")["help_since"]
        page.screenshot(path=shot("panel-in-a-desktop"))
        assert set(page.evaluate("window.told.at(-1)")) == {"source", "call", "level", "help", "flagged", "wrapUps"}
        other = new_page(browser)
        other.goto(f"{stranger}/index.html")
        other.wait_for_timeout(1000)
        assert other.evaluate("window.told.length") == 0
        assert other.frame_locator("iframe").locator("#rest").count() == 0


def test_no_page_frames_it_by_default(server: Any) -> None:
    """No page may show the panel, or any other page of the server, in a frame, unless it is named."""
    for path in ("/agent", "/agent/login", "/login", "/agents", "/static/panel.js"):
        with server.client(None) as client:
            headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "DENY", path


def test_only_the_panel_may_be_framed(start: Any) -> None:
    """A named origin frames the panel, never the supervisor's page; behind TLS its cookie is kept for that frame."""
    server = start(http='frame_ancestors = ["https://crm.example.com"]')
    with server.client(None) as client:
        headers = client.get("/agent").headers
        assert "frame-ancestors https://crm.example.com" in headers["content-security-policy"]
        assert "x-frame-options" not in headers
        assert client.get("/login").headers["x-frame-options"] == "DENY"
        form = {"token": "martin-token-0123456789abcdef"}
        cookie = client.post("/agent/login", data=form, headers={"X-Forwarded-Proto": "https"}).headers["set-cookie"]
        for part in ("HttpOnly", "Path=/agent", "SameSite=none", "Secure", "Partitioned"):
            assert part in cookie
        assert "SameSite=lax" in client.post("/agent/login", data=form).headers["set-cookie"]
