"""The ledger as a server uses it: what a call waits for is bounded in time, and what is decided is never forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from emotion_triage.errors import LedgerError, LedgerMissing, LedgerUnavailable
from emotion_triage.ledger import Ledger
from emotion_triage.ledger.identity import spelled
from emotion_triage.ledger.log_events import Body, Decision
from emotion_triage.routing.policy import Policy
from emotion_triage.routing.rules import CLEAR, Standing
from emotion_triage.server.config import LedgerConfig
from emotion_triage.server.metrics import Metrics

__all__ = ["LedgerClient"]

log = logging.getLogger(__name__)

MAX_WAITING = 20_000
"""Decisions kept while the ledger is away: an hour of a few each second."""
BATCH = 500
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
HEX_KEY = re.compile(r"(?:[0-9a-fA-F]{2}){32,}")

ALIAS_LETTERS, ALIAS_LENGTH = "bcdfghjkmnpqrstvwxz", 6
"""No digits and no vowels: an alias is neither taken for a number nor for a word."""
CLOSING_S = 2.0
ASKED_S = 10.0
"""How long a person or a program waits for the ledger; what was asked may still be done later."""

T = TypeVar("T")


class _Waiting(NamedTuple):
    """A decision on its way into the log, and who waits for it to be there."""

    decision: Decision
    kept: asyncio.Future[None] | None = None

    def settle(self, error: LedgerError | None = None) -> None:
        """Tell who waits that it is kept, or why it is not."""
        if self.kept is None or self.kept.done():
            return
        if error is None:
            self.kept.set_result(None)
        else:
            self.kept.set_exception(error)


class LedgerClient:
    """The ledger, or none; never in a call's way.

    Parameters
    ----------
    config : LedgerConfig or None
        None: standings are clear and decisions are not kept.
    policy : Policy
        For the ledger.
    wait_s : float
        How long a call waits for its standing.
    metrics : Metrics
        Counts.
    """

    def __init__(self, config: LedgerConfig | None, policy: Policy, wait_s: float, metrics: Metrics) -> None:
        self._config = config
        self._policy = policy
        self._wait_s = wait_s
        self._metrics = metrics
        self._ledger: Ledger | None = None
        self._askers = ThreadPoolExecutor(4, "ledger")
        self._writer = ThreadPoolExecutor(1, "decisions")
        self._waiting: deque[_Waiting] = deque()
        self._more = asyncio.Event()
        self._tried = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        # read now, so that a missing secret stops the server and not the first call
        secrets = () if config is None else (*config.previous_keys, config.key)
        self._keys = tuple(_key(secret.read()) for secret in secrets)
        self.problem: str | None = None
        self.missing = False

    @property
    def kept(self) -> bool:
        """Whether there is a ledger at all."""
        return self._config is not None

    @property
    def keeps_windows(self) -> bool:
        """Whether the scores of a contact's windows are kept with it."""
        return self._config is not None and self._config.keep_windows

    async def open(self) -> None:
        """Try to open the ledger, go on trying, and write decisions as they come, until `close`.

        Returns after the first try, or without it where the ledger does not answer.
        """
        if self._config is not None:
            self._task = asyncio.create_task(self._run())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), ASKED_S)

    def alias(self, caller: str | None) -> str | None:
        """Return what a caller is called instead of their number, the same in every process and call of theirs.

        A hash under the ledger's key; None where there is no ledger, or no number that it could read.
        """
        if not self._keys or caller is None:
            return None
        try:
            spelling = spelled(caller, self._policy.protection.region)
        except LedgerError:
            return None
        if spelling is None:
            return None
        hashed = hmac.digest(self._keys[-1], f"alias {spelling}".encode(), "sha256")
        return "".join(ALIAS_LETTERS[byte % len(ALIAS_LETTERS)] for byte in hashed[:ALIAS_LENGTH])

    async def standing(self, caller: str | None, queue: str | None) -> Standing:
        """Return a caller's standing in bounded time; unknown where the ledger does not answer in it."""
        if self._config is None:
            return CLEAR
        try:
            standing = await asyncio.wait_for(
                self.ask(lambda ledger: ledger.standing(caller, queue=queue)), self._wait_s
            )
        except (TimeoutError, LedgerError) as error:
            problem = str(error) or f"the ledger did not answer within {self._wait_s:g} s"
            standing = self._policy.protection.unknown_standing(problem)
        self.problem = standing.problem
        if not standing.known:
            self._metrics.ledger_faults.inc()
        return standing

    async def ask(self, act: Callable[[Ledger], T]) -> T:
        """Do something with the ledger, in a thread.

        Raises
        ------
        LedgerError
            There is none, it cannot be reached, or it refuses.
        """
        ledger = self._ledger
        if ledger is None:
            raise LedgerUnavailable(
                "ledger: got none that is open, expected one; "
                + ("mend what the log says of it" if self._config else "add a table [ledger] to the configuration")
            )
        try:
            async with asyncio.timeout(ASKED_S):
                return await asyncio.get_running_loop().run_in_executor(self._askers, act, ledger)
        except TimeoutError:
            raise LedgerUnavailable(
                f"ledger: did not answer within {ASKED_S:g} s, expected it sooner; what was asked may still be done: "
                "look before you ask again"
            ) from None

    def note(self, body: Body, *, call_id: str, caller: str | None) -> None:
        """Keep a decision until the ledger has it."""
        if self._config is not None:
            self._queue(_Waiting(Decision(at=datetime.now(UTC), call_id=call_id, caller=caller, body=body)))

    async def keep(self, body: Body, *, call_id: str, caller: str | None) -> None:
        """Keep a decision, after those that wait already, and return once the ledger has it.

        Raises
        ------
        LedgerUnavailable
            The ledger does not have it in time; it is kept until the ledger does.
        LedgerError
            The ledger refuses it.
        """
        if self._config is None:
            return
        kept = asyncio.get_running_loop().create_future()
        decision = Decision(at=datetime.now(UTC), call_id=call_id, caller=caller, body=body)
        self._queue(_Waiting(decision, kept))
        try:
            await asyncio.wait_for(kept, self._wait_s)
        except TimeoutError:
            raise LedgerUnavailable(
                f"ledger: did not take this within {self._wait_s:g} s; it holds all the same, and is logged once the "
                "ledger answers"
            ) from None

    def _queue(self, waiting: _Waiting) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft().settle(LedgerUnavailable("ledger: too many decisions wait for it"))
            self._metrics.decisions_lost.inc()
        self._waiting.append(waiting)
        self._metrics.decisions_waiting.set(len(self._waiting))
        self._more.set()

    async def close(self, within_s: float) -> None:
        """Write what waits, if the ledger lets it, and close."""
        self._closing.set()
        self._more.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=within_s)
            self._task.cancel()
        if self._waiting:
            log.error("decisions could not be logged before the end", extra={"calls": len(self._waiting)})
            self._metrics.decisions_lost.inc(len(self._waiting))
        self._askers.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=False, cancel_futures=True)
        if self._ledger is not None:
            # a ledger that does not answer may not close either
            closing = threading.Thread(target=self._ledger.close, name="closing", daemon=True)
            closing.start()
            await asyncio.to_thread(closing.join, CLOSING_S)

    async def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._closing.is_set() or self._waiting:
            if self._ledger is not None or await self._open():
                await self._more.wait()
                if await self._write():
                    wait_s = FIRST_WAIT_S
                    continue
            elif self._closing.is_set():
                return
            if self._closing.is_set():
                await asyncio.sleep(FIRST_WAIT_S)
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _open(self) -> bool:
        if self._config is None:
            return False
        config, keys, policy = self._config, self._keys, self._policy

        def opened() -> Ledger:
            previous = keys[:-1]
            return Ledger.open(config.url, policy=policy, key=keys[-1], previous_keys=previous, create=config.create)

        try:
            self._ledger = await asyncio.get_running_loop().run_in_executor(self._writer, opened)
        except LedgerError as error:
            self.missing = isinstance(error, LedgerMissing)
            self._fault(error)
            return False
        finally:
            self._tried.set()
        self.missing = False
        self.problem = None
        return True

    async def _write(self) -> bool:
        """Write one batch; False where it has to be tried again."""
        assert self._ledger is not None
        self._more.clear()
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        if batch:
            try:
                await self._log(batch)
            except LedgerUnavailable as error:
                self._waiting.extendleft(reversed(batch))
                self._more.set()
                self._fault(error)
                return False
            except LedgerError:
                await self._write_each(batch)
            self.problem = None
        self._metrics.decisions_waiting.set(len(self._waiting))
        if self._waiting:
            self._more.set()
        return True

    async def _log(self, batch: list[_Waiting]) -> None:
        assert self._ledger is not None
        decisions = [each.decision for each in batch]
        await asyncio.get_running_loop().run_in_executor(self._writer, self._ledger.log_all, decisions)
        for each in batch:
            each.settle()

    async def _write_each(self, batch: list[_Waiting]) -> None:
        """Write the decisions of a batch that the ledger refuses, save those for which it does."""
        for position, each in enumerate(batch):
            try:
                await self._log([each])
            except LedgerUnavailable:
                self._waiting.extendleft(reversed(batch[position:]))
                return
            except LedgerError as error:
                each.settle(error)
                self._metrics.decisions_lost.inc()
                log.error("a decision is refused by the ledger: %s", error, extra={"call": each.decision.call_id})

    def _fault(self, error: LedgerError) -> None:
        self._metrics.ledger_faults.inc()
        if str(error) != self.problem:
            log.error("ledger: %s", error)
        self.problem = str(error)


def _key(text: str) -> bytes:
    """Return a key from its text: hex digits as the commands read them, or else the text's own bytes."""
    return bytes.fromhex(text) if HEX_KEY.fullmatch(text) else text.encode()
