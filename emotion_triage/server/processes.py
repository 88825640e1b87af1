"""Several processes on the same ports: one that starts, stops and replaces them, and those that serve."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from emotion_triage.errors import TriageError
from emotion_triage.server.board import Board
from emotion_triage.server.config import Config
from emotion_triage.server.logs import log_to_stderr
from emotion_triage.server.run import STOPPED_S, bound, serve
from emotion_triage.server.siblings import Siblings, socket_of
from emotion_triage.server.vitals import LOOK_S, Stillness, leave, notify

__all__ = ["run"]

log = logging.getLogger(__name__)

REFUSED = 2
"""How a process ends that could not begin; it is not replaced, since the next could not either."""
BEGUN_S = 120.0
"""How long a process may take to begin."""
COUNTED = "PROMETHEUS_MULTIPROC_DIR"


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    TriageError
        A single process could not begin.
    """
    log_to_stderr()
    listeners = bound(config)
    if config.processes == 1:
        asyncio.run(serve(config, listeners))
        leave(0, now=True)
        return 0
    with tempfile.TemporaryDirectory(prefix="emotion-triage-") as folder:
        os.environ[COUNTED] = folder
        return _Watch(config, listeners, folder).run()


class _Watch:
    """Keeps the processes running until it is told to stop."""

    def __init__(self, config: Config, listeners: list[socket.socket], folder: str) -> None:
        self._config = config
        self._listeners = listeners
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")
        self._board = Board(config.processes)
        self._still = {place: Stillness() for place in range(config.processes)}
        self._stop = threading.Event()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stopped)
        running = {place: self._started(place) for place in range(self._config.processes)}
        code, ready = 0, False
        while not self._stop.wait(LOOK_S):
            for place, process in running.items():
                if process.exitcode == REFUSED:
                    code = REFUSED
                    self._stop.set()
                    break
                if process.exitcode is not None:
                    log.error("process ended, another takes its place", extra={"status": process.exitcode})
                    self._bury(place, process)
                    running[place] = self._started(place)
                elif self._stuck(place):
                    log.error("process has not moved for %g s and is ended", self._config.limits.stuck_s)
                    process.kill()
            if not ready and all(self._board.beat_s(place) for place in running):
                ready = True
                notify("READY=1")
            notify("WATCHDOG=1")
        notify("STOPPING=1")
        return max(code, self._end(list(running.values())))

    def _end(self, processes: list[BaseProcess]) -> int:
        """Let every process drain; end those that do not."""
        for each in self._listeners:
            each.close()
        for process in processes:
            if process.exitcode is None:
                process.terminate()
        end_s = time.monotonic() + self._config.limits.drain_s + STOPPED_S
        code = 0
        for process in processes:
            process.join(max(0.0, end_s - time.monotonic()))
            if process.exitcode is None:
                log.error("process did not stop in time and is ended")
                process.kill()
                process.join()
            code = max(code, abs(process.exitcode or 0))
        return code

    def _stuck(self, place: int) -> bool:
        beat_s = self._board.beat_s(place)
        still_s = self._still[place].after(beat_s)
        return still_s >= (self._config.limits.stuck_s if beat_s else BEGUN_S)

    def _bury(self, place: int, process: BaseProcess) -> None:
        """Let nobody count or ask a process that is gone."""
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
        Path(socket_of(self._folder, place)).unlink(missing_ok=True)
        self._board.clear(place)
        self._still[place] = Stillness()

    def _started(self, place: int) -> BaseProcess:
        process = self._context.Process(
            target=_serve, args=(self._config, self._listeners, self._folder, place, self._board)
        )
        process.start()
        return process

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()


def _serve(config: Config, listeners: list[socket.socket], folder: str, place: int, board: Board) -> None:
    log_to_stderr()
    # the parent's name for this one is not ours to be watched by
    os.environ.pop("NOTIFY_SOCKET", None)
    threading.Thread(target=_follow, args=(listeners,), name="parent", daemon=True).start()
    try:
        asyncio.run(serve(config, listeners, siblings=Siblings(folder, place, board)))
    except TriageError as error:
        log.error("could not begin: %s", error)
        leave(REFUSED, now=True)
    leave(0, now=True)


def _follow(listeners: list[socket.socket]) -> None:
    """End with the parent: where it is gone, nobody would replace this process, or stop it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    log.error("the process that started this one is gone; it drains")
    for each in listeners:
        # the ports are free for another server at once
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    os.kill(os.getpid(), signal.SIGTERM)
