"""The same scoring on a Dask cluster: recordings in chunks of like duration, results in order, whatever dies there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from emotion_triage.affect.classifier import Classifier
from emotion_triage.audio.decoding import is_pipe
from emotion_triage.audio.remote import is_remote, remote_bytes
from emotion_triage.batch.scoring import Scored, ScoringOptions, give_up, refuse_unknown_notice, run_one
from emotion_triage.call.triage import Triage
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.routing.policy import Policy

__all__ = ["check_cluster", "chunks_of", "cluster_address", "run_on_cluster"]

SCHEME = "dask://"
CHUNK_S = 1200.0
"""Audio of one task: a second or two of work, against which the scheduler's milliseconds are little."""
REMOTE_BYTES_PER_S = 8000
"""Of one channel of G.711; an address is asked for its size alone."""
MAX_FILES = 500
"""Of one task, where recordings are short, or broken."""
CHUNKS_AHEAD = 4
"""Tasks in flight for each worker: bounds what waits for its turn."""
CONNECT_S = 20


class _Scorer:
    """A model and policy on a worker; travels by content, as the model's path may be of another machine."""

    def __init__(self, model: tuple[Path, bytes], policy: bytes, options: ScoringOptions) -> None:
        self._parts = model, policy, options
        self._triage = Triage(Classifier(*model), msgspec.json.decode(policy, type=Policy))

    def __reduce__(self) -> tuple[Callable[..., _Scorer], tuple[Any, ...]]:
        return _Scorer, self._parts

    def __call__(self, chunk: tuple[str, ...]) -> list[Scored]:
        return [run_one(self._triage, self._parts[2], source) for source in chunk]


def cluster_address(engine: str) -> str:
    """Return the scheduler's address of an engine.

    Raises
    ------
    TriageError
        If it is none.

    Examples
    --------
    >>> cluster_address("dask://10.0.0.7:8786")
    'tcp://10.0.0.7:8786'
    """
    host = engine.removeprefix(SCHEME)
    if not engine.startswith(SCHEME) or not host.rpartition(":")[2].isdigit():
        raise TriageError(f"--engine: got {engine!r}, expected local or dask://HOST:PORT")
    return f"tcp://{host}"


def check_cluster(engine: str) -> None:
    """Refuse a cluster that does not answer, before anything is begun.

    Raises
    ------
    TriageError
        If it cannot be reached.
    MissingExtraError
        If Dask's scheduler is not installed.
    """
    with _client(cluster_address(engine)):
        pass


def chunks_of(sources: Iterable[str], options: ScoringOptions, *, chunk_s: float) -> Iterator[tuple[str, ...]]:
    """Group recordings, in order, into chunks of about the same duration.

    Parameters
    ----------
    sources : iterable of str
        Their headers tell how long they are; what cannot be read counts for nothing here, and is told by who scores it.
    options : ScoringOptions
        See `emotion_triage.batch.scoring.ScoringOptions`.
    chunk_s : float
        Audio of a chunk, in seconds; more only where one recording has more.
    """
    chunk: list[str] = []
    held_s = 0.0
    for source in sources:
        duration_s = _duration_s(source, options)
        if chunk and (held_s + duration_s > chunk_s or len(chunk) >= MAX_FILES):
            yield tuple(chunk)
            chunk, held_s = [], 0.0
        chunk.append(source)
        held_s += duration_s
    if chunk:
        yield tuple(chunk)


def _duration_s(source: str, options: ScoringOptions) -> float:
    try:
        if is_remote(source):  # by its size, which came with the listing: a header would cost a journey each
            return remote_bytes(source) / REMOTE_BYTES_PER_S
        return 0.0 if is_pipe(source) else options.open(source).duration_s  # a pipe is read once, by who scores it
    except (TriageError, OSError, UnicodeError):
        return 0.0


def run_on_cluster(triage: Triage, options: ScoringOptions, sources: Iterable[str], *, engine: str) -> Iterator[Scored]:
    """Score recordings on a Dask cluster, in their order, as they become known; see `run_locally`.

    What a worker that dies was doing is done by another; a recording that ends several of them is given up.

    Parameters
    ----------
    triage, options, sources
        See `emotion_triage.batch.scoring.run_locally`. The workers need this library, and the recordings at
        the same paths or addresses.
    engine : str
        ``dask://HOST:PORT`` of the scheduler.

    Raises
    ------
    TriageError
        If the cluster cannot be reached.
    MissingExtraError
        If Dask's scheduler is not installed.
    """
    refuse_unknown_notice(triage.policy)
    address = cluster_address(engine)
    with _client(address) as client:
        classifier = triage.classifier
        model = (Path(classifier.path.name), classifier.path.read_bytes())
        # a task, not a scattered object: whichever worker loses it, it can be made again
        scorer = client.submit(_Scorer, model, msgspec.json.encode(triage.policy), options, pure=False)
        waiting: deque[tuple[tuple[str, ...], Any]] = deque()
        left = chunks_of(sources, options, chunk_s=CHUNK_S)
        more = True
        while more or waiting:
            ahead = CHUNKS_AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
            while more and len(waiting) < ahead:
                chunk = next(left, None)
                more = chunk is not None
                if chunk is not None:
                    waiting.append((chunk, client.submit(_score, scorer, chunk, pure=False)))
            if waiting:
                yield from _result(client, triage, options, scorer, *waiting.popleft())


def _score(scorer: _Scorer, chunk: tuple[str, ...]) -> list[Scored]:
    return scorer(chunk)


def _result(
    client: Any, triage: Triage, options: ScoringOptions, scorer: Any, chunk: tuple[str, ...], task: Any
) -> list[Scored]:
    """Wait for a chunk; where it ended its workers, find out which of its recordings did."""
    from distributed import KilledWorker

    try:
        results: list[Scored] = task.result()
        return results
    except KilledWorker:
        if len(chunk) == 1:
            return [give_up(triage, options, chunk[0], "dead")]
    alone = [((source,), client.submit(_score, scorer, (source,), pure=False)) for source in chunk]
    return [scored for each in alone for scored in _result(client, triage, options, scorer, *each)]


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtraError(
            "--engine dask:// needs Dask, which is not installed; install the extra 'cluster', see docs/install.md"
        ) from None
    try:
        client: Any = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise TriageError(f"{address}: cannot be reached ({error}); check that the scheduler runs") from None
    with closing(client):
        yield client
