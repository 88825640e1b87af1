"""The ONNX session: one, shared, immutable; its contract is read from the model's own metadata.

One file holds two graphs. The encoder takes a second of speech to its tone; the regressions take prosody and tone of a
window to probabilities.
"""

from __future__ import annotations

import functools
import hashlib
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from emotion_triage.affect.weights import not_finite
from emotion_triage.arguments import path_name
from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.errors import ModelError
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH
from emotion_triage.prosody.functionals import FEATURE_NAMES, TONE_NAMES
from emotion_triage.prosody.mel import N_BANDS, N_FRAMES, log_mel
from emotion_triage.prosody.vad import STEP_FRAMES, WINDOW_FRAMES

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["LABELS", "MEL", "METADATA_KEY", "Classifier", "Contract", "default_model_path", "session_of"]

METADATA_KEY = "emotion_triage.contract"
SCHEMA = 3
MEL = "mel"
"""Names of the encoder's input and of what it makes of it."""
_NO_MEL = np.zeros((1, N_BANDS, N_FRAMES), np.float32)
_NO_FEATURES = np.zeros((0, len(FEATURE_NAMES)), np.float32)
LABELS = ("anger", "anger_against_baseline", "distress", "arousal", "speech")
"""The classifier's outputs: probabilities. The second anger also knows the caller's baseline and means nothing before
they have one; `speech` tells a voice from music and noise."""


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a model expects and how it was made; travels inside the ONNX file.

    Attributes
    ----------
    schema : int
        Version of this structure.
    name : str
        The model's name.
    features : tuple of str
        Inputs, in order.
    feature_mean, feature_scale : tuple of float
        Training speech's mean and scale of each input; the graph applies them itself.
    labels : tuple of str
        Outputs, in order.
    sample_rate_hz, frame_length, hop_length, window_frames, step_frames : int
        Geometry of frames and windows, in Hz, samples and frames.
    training : dict
        Corpora, hours, licences, seed and digest of the manifest.
    """

    schema: int = SCHEMA
    name: str
    features: tuple[str, ...] = FEATURE_NAMES
    feature_mean: tuple[float, ...]
    feature_scale: tuple[float, ...]
    labels: tuple[str, ...] = LABELS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    frame_length: int = FRAME_LENGTH
    hop_length: int = HOP_LENGTH
    window_frames: int = WINDOW_FRAMES
    step_frames: int = STEP_FRAMES
    training: dict[str, str | float | int | list[str]]

    def _standardises(self) -> bool:
        if not len(self.feature_mean) == len(self.feature_scale) == len(self.features):
            return False
        with np.errstate(over="ignore"):
            mean, scale = np.array([self.feature_mean, self.feature_scale]).astype(np.float32)
        return bool(np.isfinite([mean, scale]).all() and (scale > 0).all())

    def check(self, source: str) -> None:
        """Refuse a model that was made for another version of the features.

        Raises
        ------
        ModelError
            Naming the first field that differs, what was got and what this library computes.
        """
        fix = "retrain it with this version (python -m emotion_triage.training) or install the version it was made for"
        expected = {
            "schema": SCHEMA,
            "labels": LABELS,
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "frame_length": FRAME_LENGTH,
            "hop_length": HOP_LENGTH,
            "window_frames": WINDOW_FRAMES,
            "step_frames": STEP_FRAMES,
        }
        for field, value in expected.items():
            if (got := getattr(self, field)) != value:
                raise ModelError(f"{source}: the model has {field} {got}, this library has {value}; {fix}")
        if not self._standardises():
            raise ModelError(
                f"{source}: got means and scales that are not finite, one of each feature; the graph is not that of "
                f"its contract: {fix}"
            )
        if self.features != FEATURE_NAMES:
            missing = [name for name in self.features if name not in FEATURE_NAMES]
            unknown = [name for name in FEATURE_NAMES if name not in self.features]
            what = "; ".join(
                f"{label}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}"
                for label, names in (
                    ("the model wants features this library does not compute", missing),
                    ("this library computes features the model does not know", unknown),
                )
                if names
            )
            raise ModelError(f"{source}: {what or 'the features are in another order'}; {fix}")


def default_model_path() -> Path:
    """Return the model that ships with the library: in the wheel's package, or in a checkout's ``models/``."""
    package = Path(__file__).parents[1]
    packed = package / "models" / "triage.onnx"
    return packed if packed.exists() else package.parent / "models" / "triage.onnx"


class Classifier:
    """An ONNX model and its contract. Immutable; one serves every call and every thread.

    Examples
    --------
    >>> classifier = Classifier.load()
    >>> classifier.score(np.zeros((2, len(FEATURE_NAMES)), np.float32)).shape
    (2, 5)
    """

    __slots__ = ("_session", "contract", "digest", "mean", "path")

    def __init__(self, path: Path, content: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256(content).hexdigest()
        self._session = session_of(path, content)
        self.contract = _contract(path, self._session)
        self.mean = np.asarray(self.contract.feature_mean, np.float32)
        self.mean.flags.writeable = False
        self._refuse_weights(content)
        self._rehearse()

    @staticmethod
    def load(path: str | PathLike[str] | None = None) -> Classifier:
        """Load a model and run it once, so that the first call pays nothing.

        Parameters
        ----------
        path : str or Path, optional
            An ONNX file; the model that ships with the library by default.

        Returns
        -------
        Classifier
            The same object for the same file content: sessions are shared within a process.

        Raises
        ------
        ArgumentError
            If `path` is no path.
        ModelError
            If the file is missing, damaged, not ours, or made for other features, or says what is not finite.
        """
        path = default_model_path() if path is None else Path(path_name("model", path, ModelError))
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path}: got no readable model ({error.strerror}), expected an ONNX file; give --model a file made by "
                "python -m emotion_triage.training"
            ) from None
        return _shared(path.resolve(), content)

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the calibrated probabilities of each row.

        Parameters
        ----------
        features : ndarray of float32, shape (n_windows, n_features)
            In the order of the contract.

        Returns
        -------
        ndarray of float32, shape (n_windows, n_labels)
            In the order of `LABELS`, each 0 to 1; a row's result does not depend on its
            neighbours, bit for bit.
        """
        inputs = {MEL: _NO_MEL, "features": features}
        probabilities: NDArray[np.float32] = self._session.run(["probabilities"], inputs)[0]
        return probabilities

    def tone(self, second: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the encoder makes of one second of speech.

        Parameters
        ----------
        second : ndarray of float32, shape (8000,)
            Samples at 8 kHz.

        Returns
        -------
        ndarray of float32, shape (n_tones,)
            In the order of `emotion_triage.prosody.functionals.TONE_NAMES`, about log-odds. One second is one run of
            the encoder, so that its bits do not depend on what else is scored.
        """
        inputs = {MEL: log_mel(second)[None], "features": _NO_FEATURES}
        tone: NDArray[np.float32] = self._session.run(["tone"], inputs)[0][0]
        return tone

    def _refuse_weights(self, content: bytes) -> None:
        """Refuse weights that are not finite: what they score may be finite all the same, and wrong."""
        if names := not_finite(content):
            raise ModelError(
                f"{self.path}: got numbers that are not finite in {', '.join(names[:5])}, expected finite weights; "
                "export it again with python -m emotion_triage.training"
            )

    def _rehearse(self) -> None:
        """Run once: the first call pays nothing, and a graph that breaks its contract is found before it."""
        try:
            outputs = self.tone(np.zeros(SAMPLE_RATE_HZ, np.float32)), self.score(self.mean[None])
            got: object = tuple(output.shape for output in outputs)
            if not all(np.isfinite(output).all() for output in outputs):
                got = "numbers that are not finite"
        except Exception as error:  # onnxruntime's own errors share no base class
            got = type(error).__name__
        if got != (expected := ((len(TONE_NAMES),), (1, len(LABELS)))):
            raise ModelError(
                f"{self.path}: got {got} from silence and the row of the contract's means, expected {expected}; "
                "the graph is not that of its contract: export it again with python -m emotion_triage.training"
            )

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return _reload, (self.path, self.digest)


@functools.lru_cache(maxsize=8)
def _shared(path: Path, content: bytes) -> Classifier:
    return Classifier(path, content)


def _reload(path: Path, digest: str) -> Classifier:
    classifier = Classifier.load(path)
    if classifier.digest != digest:
        raise ModelError(
            f"{path}: got a model with digest {classifier.digest[:12]}, expected {digest[:12]} as when the call was "
            "stored; put the old model back, or let its calls end before replacing it"
        )
    return classifier


def session_of(path: Path, content: bytes) -> onnxruntime.InferenceSession:
    """Return a session on one thread, whose results depend on its inputs alone.

    Raises
    ------
    ModelError
        If onnxruntime cannot load the content; `path` is named.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base class
        raise ModelError(
            f"{path}: got {len(content)} bytes that onnxruntime cannot load ({type(error).__name__}), expected a whole "
            "ONNX model; the file may be cut short: copy it again or retrain it"
        ) from None


def _contract(path: Path, session: onnxruntime.InferenceSession) -> Contract:
    try:
        metadata = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except UnicodeDecodeError:
        raise ModelError(f"{path}: got metadata that is not UTF-8, expected text; copy the model again") from None
    if metadata is None:
        raise ModelError(
            f"{path}: got an ONNX model without the metadata {METADATA_KEY!r}, expected one made by "
            "python -m emotion_triage.training"
        )
    try:
        contract = msgspec.json.decode(metadata, type=Contract)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ModelError(
            f"{path}: got a contract that this library cannot read ({error}), expected schema {SCHEMA}; retrain the "
            "model with this version or install the version it was made for"
        ) from None
    contract.check(str(path))
    return contract
