"""A model written by hand and a caller who loses his temper: what the tests of the engine share."""

from __future__ import annotations

import asyncio
import os
import selectors
import shutil
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from emotion_triage.affect.classifier import LABELS
from emotion_triage.call.triage import Triage
from emotion_triage.prosody.functionals import FEATURE_NAMES
from emotion_triage.routing.policy import Policy
from emotion_triage.synthesis.speech import synthetic_speech
from emotion_triage.training.encoder import Encoder
from emotion_triage.training.export import export
from emotion_triage.training.fit import Linear, Model
from emotion_triage.training.tone import silent

WriteModel = Callable[..., Path]
# Centre and spread of what the hand-made models look at; every other feature has 0 and 1 and no weight.
SCALES = {
    "band_balance_db_mean": (-14.0, 4.0),
    "f0_mean_semitone": (30.0, 5.0),
    "f0_mean_semitone_change": (0.0, 4.0),
    "level_dbfs_change": (0.0, 4.0),
    "syllable_rate_hz": (3.5, 0.7),
}
ANGER = {"band_balance_db_mean": 1.5, "f0_mean_semitone_change": 1.5, "level_dbfs_change": 1.5}


@pytest.fixture(scope="session")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> WriteModel:
    """Return a function that writes a linear model from weights by feature name and biases by label."""

    def write(
        anger: Mapping[str, float] = ANGER, *, bias: float = -3.0, speech: Mapping[str, float] = {}, heard: float = 8.0
    ) -> Path:
        mean, scale = np.zeros(len(FEATURE_NAMES)), np.ones(len(FEATURE_NAMES))
        for feature, (centre, spread) in SCALES.items():
            mean[FEATURE_NAMES.index(feature)], scale[FEATURE_NAMES.index(feature)] = centre, spread
        weights = np.zeros((len(LABELS), len(FEATURE_NAMES)))
        of_anyone = {feature: weight for feature, weight in anger.items() if not feature.endswith("_change")}
        by_label = {
            "anger": of_anyone,
            "anger_against_baseline": anger,
            "arousal": {"f0_mean_semitone": 1.0},
            "speech": speech,
        }
        for label, by_feature in by_label.items():
            for feature, weight in by_feature.items():
                weights[LABELS.index(label), FEATURE_NAMES.index(feature)] = weight
        biases = {"anger": bias, "anger_against_baseline": bias, "distress": -1.0, "arousal": 0.0, "speech": heard}
        linear = Linear(mean, scale, weights, np.array([biases[label] for label in LABELS]))
        path = tmp_path_factory.mktemp("model") / "by_hand.onnx"
        export(path, Model(silent(), linear), Encoder(), name="by hand", training={"corpora": []})
        return path

    return write


@pytest.fixture(scope="session")
def anger_model(write_model: WriteModel) -> Path:
    """A model to which higher, louder and sharper than before is angrier, and every window is speech."""
    return write_model()


@pytest.fixture(scope="session")
def triage(anger_model: Path) -> Triage:
    """The hand-made model under a policy that judges within seconds, so that short calls show every event."""
    policy = Policy.parse(
        "[escalation]\nbaseline_s = 4.0\nsmoothing_s = 1.0\nmin_duration_on_s = 0.5\nmin_duration_off_s = 1.5\n"
        "hold_s = 4.0\nrelative_shift = -0.5\nabsolute_shift = -1.0"
    )
    return Triage.load(model=anger_model, policy=policy)


@pytest.fixture(scope="session")
def temper() -> np.ndarray:
    """Calm for 10 s, angry for 8 s, silent for 6 s, calm for 4 s: float32 at 8 kHz."""
    calm, angry = (synthetic_speech(10.0, mood=mood, seed=3) for mood in ("calm", "angry"))
    samples = np.concatenate((calm, angry[: 8 * 8000], np.zeros(6 * 8000, np.float32), calm[: 4 * 8000]))
    samples.setflags(write=False)
    return samples


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """An empty PostgreSQL database of one's own, on the server that `EMOTION_TRIAGE_POSTGRES` names."""
    server = os.environ.get("EMOTION_TRIAGE_POSTGRES")
    if not server:
        pytest.skip(
            "EMOTION_TRIAGE_POSTGRES names no server; `.ci/postgres start FOLDER` starts one and prints its URL"
        )
    psycopg = pytest.importorskip("psycopg")
    name = f"ledger_{uuid4().hex}"
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{server.rpartition('/')[0]}/{name}"
    with psycopg.connect(server.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Network(threading.Thread):
    """What lies between here and a server: bytes pass until it is frozen, and connections stay open."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.frozen = False
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = False

    def run(self) -> None:
        other: dict[socket.socket, socket.socket] = {}
        self._pass(other)
        for each in other:
            each.close()

    def _pass(self, other: dict[socket.socket, socket.socket]) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended:
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._listener:
                        here, _ = self._listener.accept()
                        there = socket.create_connection(("127.0.0.1", self._server))
                        other[here], other[there] = there, here
                        for each in (here, there):
                            selector.register(each, selectors.EVENT_READ)
                        continue
                    if self.frozen:
                        time.sleep(0.01)
                        continue
                    side = key.fileobj
                    assert isinstance(side, socket.socket)
                    if side.fileno() < 0:  # its other side ended in this very round
                        continue
                    try:
                        received = side.recv(65536)
                        other[side].sendall(received)
                    except OSError:
                        received = b""
                    if not received:
                        for each in (side, other[side]):
                            selector.unregister(each)
                            each.close()

    def end(self) -> None:
        self._ended = True
        self.join()
        self._listener.close()


@pytest.fixture
def network(postgres_url: str) -> Iterator[Network]:
    """What lies between here and a PostgreSQL database of one's own, to be frozen."""
    from sqlalchemy.engine import make_url

    port = make_url(postgres_url).port
    assert port is not None
    between = Network(port)
    between.start()
    yield between
    between.end()


@pytest.fixture
def through(network: Network, postgres_url: str) -> str:
    """The URL of the database by way of the network."""
    from sqlalchemy.engine import make_url

    return make_url(postgres_url).set(port=network.port).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of store in turn, empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def telephone(tmp_path: Path) -> Callable[[bytes, int], Awaitable[None]]:
    """Return a coroutine function that lets one sipp call another over SIP, whose mu-law RTP goes to a port of ours."""
    sipp = shutil.which("sipp")
    if sipp is None:
        pytest.skip("sipp makes the call: apt-get install sip-tester")
    scenarios = Path(__file__).parent / "sip"

    async def run(scenario: str, *arguments: str) -> asyncio.subprocess.Process:
        command = [sipp, "-sf", scenario, "-i", "127.0.0.1", "-m", "1", "-nostdin", *arguments]
        output = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=output, stderr=output)

    def free_port() -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            return str(probe.getsockname()[1])

    async def call(audio: bytes, rtp_port: int) -> None:
        (tmp_path / "caller.ul").write_bytes(audio)
        told = {"audio": tmp_path / "caller.ul", "duration_ms": len(audio) // 8 + 500, "rtp_port": rtp_port}
        for name in ("caller.xml", "line.xml"):
            (tmp_path / name).write_text((scenarios / name).read_text().format(**told))
        line_port = free_port()
        line = await run("line.xml", "-p", line_port)
        await asyncio.sleep(0.5)
        caller = await run("caller.xml", "-p", free_port(), "-timeout", "60s", f"127.0.0.1:{line_port}")
        try:
            codes = await asyncio.wait_for(asyncio.gather(caller.wait(), line.wait()), 90)
        finally:
            for process in (line, caller):
                if process.returncode is None:
                    process.kill()
        assert codes == [0, 0]

    return call
