"""Where there is too much to do, less is done in stages, nothing is dropped in silence, and it comes back."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client")

from emotion_triage.call.triage import Call, Triage
from emotion_triage.routing.escalation import Level
from emotion_triage.server.batcher import Batcher, Heard
from emotion_triage.server.config import Limits
from emotion_triage.server.metrics import Metrics
from emotion_triage.server.overload import DOWN_S, UP_S, Load, Stage
from emotion_triage.server.words import words
from emotion_triage.texts import LANGUAGES

SLOW = """
import sys, time
from pathlib import Path
from emotion_triage.__main__ import main
from emotion_triage.call.triage import Triage
from emotion_triage.server import overload

overload.UP_S = 0.5
overload.DOWN_S = 2.0
overload.AVERAGED_S = 0.5

if __name__ == "__main__":
    push_many = Triage.push_many
    busy = Path(sys.argv[2])

    def slow(self, chunks):
        if busy.exists():
            time.sleep(0.6)
        return push_many(self, chunks)

    Triage.push_many = slow
    sys.argv = ["emotion-triage", "serve", "--config", sys.argv[1]]
    main()
"""


def worked(load: Load, seconds: float, share: float, from_s: float) -> float:
    """Note ticks that take a share of the time; return when it ends."""
    now_s = from_s
    while now_s < from_s + seconds:
        now_s += load.tick_s
        load.note(took_s=share * load.tick_s, every_s=load.tick_s, now_s=now_s)
    return now_s


def test_stages_come_one_by_one_and_go_later() -> None:
    """Work without a pause goes through each stage in turn; rest gives them back one by one, more slowly."""
    load, seen, now_s = Load(0.1), [Stage.NORMAL], 0.0
    while load.stage < Stage.FULL:
        now_s = worked(load, 0.5, 1.0, now_s)
        if load.stage is not seen[-1]:
            seen.append(load.stage)
    assert seen == list(Stage)
    assert len(seen) - 1 <= now_s / UP_S + 1
    began_s = now_s
    while load.stage > Stage.NORMAL:
        now_s = worked(load, 0.5, 0.1, now_s)
    assert now_s - began_s >= 5 * DOWN_S


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_work_that_fits_changes_nothing(share: float) -> None:
    """A process that scores in up to four fifths of its time does all that it is asked, for as long as it likes."""
    load = Load(0.1)
    worked(load, 60.0, share, 0.0)
    assert (load.stage, load.tick_s) == (Stage.NORMAL, 0.1)


def test_single_long_ticks_change_nothing() -> None:
    """A tick of half a second now and then, as a pause of the machine makes them, is no overload."""
    load, now_s = Load(0.1), 0.0
    for _ in range(10):
        now_s = worked(load, 5.0, 0.2, now_s)
        now_s += 0.5
        load.note(took_s=0.5, every_s=0.5, now_s=now_s)
    assert load.stage is Stage.NORMAL


def test_ticks_grow_first() -> None:
    """The first two stages make ticks longer and leave every call heard."""
    load = Load(0.1)
    assert [load.tick_s, *(each.tick_s for each in staged(Stage.SLOW, Stage.SLOWER))] == [0.1, 0.2, 0.5]
    for each in staged(Stage.SLOW, Stage.SLOWER):
        assert each.hears(calm=True, position_s=3.0, turn=1)


def staged(*stages: Stage) -> list[Load]:
    loads = []
    for stage in stages:
        loads.append(Load(0.1))
        loads[-1].stage = stage
    return loads


def test_half_of_the_calm_are_heard_at_a_time() -> None:
    """At `HALF` each calm caller is heard half of the time, half of them at any time, and the tense always."""
    (load,) = staged(Stage.HALF)
    heard = [[load.hears(calm=True, position_s=at_s, turn=turn) for at_s in range(40)] for turn in range(10)]
    assert [sum(each) for each in heard] == [20] * 10
    assert [sum(each) for each in zip(*heard, strict=True)] == [5] * 40
    assert all(load.hears(calm=False, position_s=at_s, turn=1) for at_s in range(40))


class Held:
    """A call of which only the level is fixed: calm or not."""

    def __init__(self, call: Call, level: Level) -> None:
        self._call = call
        self.level = level

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)


def test_only_tense_callers_are_heard_and_time_goes_on(triage: Triage, monkeypatch: pytest.MonkeyPatch) -> None:
    """At `TENSE` a calm caller's audio is passed over as a gap that is counted, and a tense caller's is scored."""
    pushed: list[str] = []
    push_many = Triage.push_many

    def noted(self: Triage, chunks: Any) -> Any:
        pushed.extend(call.call_id for call, _ in chunks)
        return push_many(self, [(getattr(call, "_call", call), chunk) for call, chunk in chunks])

    monkeypatch.setattr(Triage, "push_many", noted)

    async def run() -> tuple[Any, Any, Metrics]:
        metrics, heard = Metrics(), list[Heard]()
        batcher = Batcher(triage, Limits(), lambda each: heard.extend(each), metrics)
        batcher.load.stage = Stage.TENSE
        calm: Any = Held(triage.call("calm", encoding="pcm16"), Level.CALM)
        tense: Any = Held(triage.call("tense", encoding="pcm16"), Level.TENSE)
        for call in (calm, tense):
            batcher.open(call, "pcm16", 8000)
        for second in range(3):
            for call in (calm, tense):
                batcher.deliver(call, bytes(16000), 8000 * second)
            await batcher.tick()
        batcher.load.stage = Stage.NORMAL
        batcher.deliver(calm, bytes(16000), 8000 * 3)
        await batcher.tick()
        return calm, tense, metrics

    calm, tense, metrics = asyncio.run(run())
    assert pushed == ["tense", "tense", "tense", "calm"]
    assert (calm.lost_s, calm.position_s) == (pytest.approx(3.0), pytest.approx(4.0))
    assert (tense.lost_s, tense.position_s) == (0.0, pytest.approx(3.0))
    assert metrics.passed_over_s._value.get() == pytest.approx(3.0)


def test_the_page_has_words_for_each_stage() -> None:
    """Each stage but the first has its sentence in each language."""
    for language in LANGUAGES:
        assert all(words(language)[f"load_{stage.name.lower()}"] for stage in Stage if stage is not Stage.NORMAL)


def stages(server: Any) -> list[str]:
    """Return the stages that a server has written to its log, in their order."""
    return [line["event"].split()[1].strip(",") for line in server.lines() if line["event"].startswith("load:")]


def test_a_server_with_too_much_to_do_drops_no_call(
    start: Any, audiosocket: Any, eventually: Callable[..., Any], tmp_path: Any
) -> None:
    """Scoring that is too slow ends in new calls being refused; those that are here stay, the page says so, and all
    comes back once there is time."""
    script, busy = tmp_path / "slow.py", tmp_path / "busy"
    script.write_text(SLOW)
    busy.touch()
    sound = start()
    sound.stop()
    slow = sound.again([sys.executable, str(script), str(sound.folder / "serve.toml"), str(busy)])

    async def talk(caller: Any, until: asyncio.Event) -> None:
        while not until.is_set():
            await caller.say(np.zeros(800, np.float32))
            await asyncio.sleep(0.1)

    async def run() -> None:
        async with audiosocket(slow) as one, audiosocket(slow) as two:
            over = asyncio.Event()
            talking = [asyncio.create_task(talk(each, over)) for each in (one, two)]
            try:
                await eventually(lambda: "overloaded" in slow.get("/readyz").text, 60.0)
                with slow.client(None) as browser:
                    await asyncio.to_thread(browser.post, "/login", data={"token": "durand-token-0123456789abcdef"})
                    assert words("en")["load_full"] in (await asyncio.to_thread(browser.get, "/")).text
                async with audiosocket(slow) as surplus:
                    await surplus.say(np.zeros(800, np.float32))
                    assert await asyncio.wait_for(surplus.reader.read(), 10.0) == bytes(3)
                assert slow.get("/healthz").status_code == 200
                busy.unlink()
                await eventually(lambda: slow.get("/readyz").text.startswith("ready"), 60.0)
                for each in (one, two):
                    assert not slow.call(each.call_id)["ended"]
                await eventually(lambda: stages(slow)[-1] == "normal", 60.0)
            finally:
                over.set()
                await asyncio.gather(*talking)

    began_s = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began_s < 180.0
    assert stages(slow)[:5] == ["slow", "slower", "half", "tense", "full"]
