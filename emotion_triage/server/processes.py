"""Several processes on the same ports: one that starts, stops and replaces them, and those that serve."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from emotion_triage.errors import ConfigError, TriageError
from emotion_triage.server.config import Config
from emotion_triage.server.logs import log_to_stderr
from emotion_triage.server.run import serve
from emotion_triage.server.siblings import Siblings, socket_of

__all__ = ["run"]

log = logging.getLogger(__name__)

REFUSED = 2
"""How a process ends that could not begin; it is not replaced, since the next could not either."""
REPLACE_S = 1.0
COUNTED = "PROMETHEUS_MULTIPROC_DIR"


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code.

    Raises
    ------
    TriageError
        A single process could not begin.
    """
    log_to_stderr()
    if config.processes == 1:
        asyncio.run(serve(config))
        return 0
    wire = config.wires.audiosocket
    if config.http.port == 0 or (wire and wire.port == 0):
        raise ConfigError("port 0 with several processes; expected a port that all of them share")
    with tempfile.TemporaryDirectory(prefix="emotion-triage-") as folder:
        os.environ[COUNTED] = folder
        return _Watch(config, folder).run()


class _Watch:
    """Keeps the processes running until it is told to stop."""

    def __init__(self, config: Config, folder: str) -> None:
        self._config = config
        self._folder = folder
        self._context = multiprocessing.get_context("spawn")
        self._stop = threading.Event()

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stopped)
        running = {place: self._started(place) for place in range(self._config.processes)}
        code = 0
        while not self._stop.wait(REPLACE_S):
            for place, process in running.items():
                if process.exitcode is None:
                    continue
                if process.exitcode == REFUSED:
                    code = REFUSED
                    self._stop.set()
                    break
                log.error("process ended, another takes its place", extra={"status": process.exitcode})
                from prometheus_client.multiprocess import mark_process_dead

                mark_process_dead(process.pid)  # type: ignore[no-untyped-call]
                Path(socket_of(self._folder, place)).unlink(missing_ok=True)
                running[place] = self._started(place)
        for process in running.values():
            if process.exitcode is None:
                process.terminate()
        for process in running.values():
            process.join()
            code = max(code, abs(process.exitcode or 0))
        return code

    def _started(self, place: int) -> BaseProcess:
        process = self._context.Process(target=_serve, args=(self._config, self._folder, place))
        process.start()
        return process

    def _stopped(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()


def _serve(config: Config, folder: str, place: int) -> None:
    log_to_stderr()
    try:
        asyncio.run(serve(config, siblings=Siblings(folder, place, config.processes)))
    except TriageError as error:
        log.error("could not begin: %s", error)
        os._exit(REFUSED)
