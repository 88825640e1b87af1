"""Audio of any telephone encoding and rate to mono float32 at 8 kHz, as it streams."""

from __future__ import annotations

import difflib
import math
import operator
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

from emotion_triage.audio.g711 import FULL_SCALE, Samples, decode_alaw, decode_mulaw, encode_alaw, encode_mulaw
from emotion_triage.errors import AudioError, StreamError

__all__ = [
    "ENCODINGS",
    "SAMPLE_RATE_HZ",
    "AudioStream",
    "Coding",
    "Encoding",
    "Samples",
    "decode",
    "decode_alaw",
    "decode_mulaw",
    "encode_alaw",
    "encode_mulaw",
]

Chunk: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.uint8 | np.int16 | np.float32]

Encoding: TypeAlias = Literal["mulaw", "alaw", "pcm16", "float32"]
"""How a telephone system sends samples."""

Coding: TypeAlias = Literal["mulaw", "alaw", "float32"]
"""How samples at 8 kHz lie in bytes: as G.711 brings them, or decoded."""

SAMPLE_RATE_HZ = 8000
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)

_DTYPES: dict[str, np.dtype[np.generic]] = {
    "mulaw": np.dtype(np.uint8),
    "alaw": np.dtype(np.uint8),
    "pcm16": np.dtype("<i2"),
    "float32": np.dtype("<f4"),
}
_HIGHEST_RATE_HZ = 48000
# Float audio that was clipped or boosted passes 1; beyond this it is 16-bit integers cast to float.
_LARGEST_FLOAT = 4.0

# The telephone band ends at 3.4 kHz; a transition centred on 4 kHz folds only into 3.6 to 4 kHz.
_TRANSITION_HZ = 800.0
_STOP_BAND_DB = 80.0
# Rows of taps gathered at once: small enough to stay in the processor's cache.
_OUTPUTS_AT_ONCE = 512


@lru_cache(maxsize=16)
def _polyphase(sample_rate_hz: int) -> tuple[int, int, Samples]:
    """Return up, down and the taps (up, 2 * half) of a Kaiser-windowed sinc, cut off at 4 kHz.

    Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", ISCAS 1974.
    """
    common = math.gcd(SAMPLE_RATE_HZ, sample_rate_hz)
    up, down = SAMPLE_RATE_HZ // common, sample_rate_hz // common
    transition_rad = 2 * math.pi * _TRANSITION_HZ / sample_rate_hz
    half = math.ceil((_STOP_BAND_DB - 7.95) / (2.285 * transition_rad) / 2)
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    away = np.arange(1 - half, half + 1) - np.arange(up)[:, None] / up
    window = np.i0(beta * np.sqrt(np.maximum(1 - (away / half) ** 2, 0)))
    taps = np.sinc(away * SAMPLE_RATE_HZ / sample_rate_hz) * window
    rows: Samples = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    rows.setflags(write=False)
    return up, down, rows


def _checked_rate(sample_rate_hz: int) -> int:
    try:
        rate = operator.index(sample_rate_hz)
    except TypeError:
        rate = 0
    if not SAMPLE_RATE_HZ <= rate <= _HIGHEST_RATE_HZ:
        raise AudioError(
            f"sample_rate_hz: got {sample_rate_hz!r}, expected a whole number from {SAMPLE_RATE_HZ} to "
            f"{_HIGHEST_RATE_HZ}; below it the speech band is cut: record the call at 8 kHz or more, "
            "above it resample first"
        )
    return rate


def _check_floats(samples: Samples, samples_before: int) -> None:
    # A comparison with NaN is false, so this one test finds NaN, infinities and values too large.
    if not samples.size or (samples.min() >= -_LARGEST_FLOAT and samples.max() <= _LARGEST_FLOAT):
        return
    at = int(np.argmin(np.abs(samples) <= _LARGEST_FLOAT))
    if np.isfinite(samples[at]):
        fix = "divide 16-bit values by 32768, or push them as int16 with encoding 'pcm16'"
    else:
        fix = "find what computed it: audio has no such value"
    raise AudioError(
        f"float32 audio: got {samples[at]:g} at sample {samples_before + at}, expected values within "
        f"+-1 (up to +-{_LARGEST_FLOAT:g} is taken); {fix}"
    )


def _array_fix(encoding: str, array: npt.NDArray[Any]) -> str:
    if array.ndim != 1:
        return "push one channel, the caller's, as a flat array"
    matching = [name for name in ENCODINGS if _DTYPES[name] == array.dtype]
    if matching:
        return f"say encoding {' or '.join(map(repr, matching))}, or convert the samples"
    if array.dtype.kind == "f" and encoding == "float32":
        return "convert with .astype(np.float32)"
    return f"convert to {_DTYPES[encoding]} without losing the scale"


def decode(data: bytes, coding: Coding) -> Samples:
    """Return the samples that bytes of a coding hold.

    Parameters
    ----------
    data
        Whole samples, of any number of streams one after another.
    coding
        From `AudioStream.coding`.

    Returns
    -------
    ndarray of float32, (n,)
        In ``[-1, 1)`` for G.711; read-only where nothing had to be decoded.

    Examples
    --------
    >>> decode(bytes([0xFF, 0x80]), "mulaw").tolist()
    [0.0, 0.9803466796875]
    """
    if coding == "mulaw":
        return decode_mulaw(data)
    return decode_alaw(data) if coding == "alaw" else np.frombuffer(data, _DTYPES["float32"])


class _Resampler:
    """Any rate to 8 kHz; the state is the tail of the input and two counts.

    Output ``k`` is the input at time ``k / 8000`` s. Its taps depend on ``k`` alone and are summed
    by themselves, so that no cut of the input can change a bit of it.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self.half = _polyphase(sample_rate_hz)[2].shape[1] // 2
        self._tail: Samples = np.zeros(self.half - 1, np.float32)
        self._taken = 0
        self._given = 0

    def push(self, samples: Samples) -> Samples:
        up, down, taps = _polyphase(self.sample_rate_hz)
        buffer = np.concatenate((self._tail, samples))
        self._taken += samples.size
        # Output k is complete once input k * down // up + half has come.
        start, stop = self._given, max(self._given, -(-(self._taken - self.half) * up // down))
        origin = self._taken - buffer.size + self.half - 1
        out = np.empty(stop - start, np.float32)
        if out.size:
            windows = np.lib.stride_tricks.sliding_window_view(buffer, 2 * self.half)
            for k in range(start, stop, _OUTPUTS_AT_ONCE):
                at, phase = np.divmod(np.arange(k, min(k + _OUTPUTS_AT_ONCE, stop)) * down, up)
                rows = windows[at - origin]
                np.einsum("ij,ij->i", rows, taps[phase], out=out[k - start : k - start + at.size])
        self._given = stop
        self._tail = buffer[stop * down // up - origin :].copy()
        return out

    def flush(self) -> Samples:
        return self.push(np.zeros(self.half, np.float32))


class AudioStream:
    """One speaker's audio to 8 kHz, packet by packet, whatever the size of the packets.

    The output does not depend on how the input was cut, to the bit. Output sample ``k`` is the
    input at ``k / 8000`` s. A stream pickles between two pushes.

    After lost packets, ``flush()`` what came before the gap, then ``reset()`` and push what comes
    after it: the new output starts at the time of the first sample after the gap, and nothing is
    invented in between.

    Parameters
    ----------
    encoding
        ``"mulaw"`` or ``"alaw"`` (G.711), ``"pcm16"`` (little-endian in bytes) or ``"float32"``
        (little-endian in bytes, full scale 1).
    sample_rate_hz
        Any whole number from 8000 to 48000.

    Attributes
    ----------
    samples_in
        Source samples taken since the start or the last reset.
    coding
        What `take` returns: G.711 that came at 8 kHz as it came, all else as float32.

    Raises
    ------
    AudioError
        Unknown encoding, or a rate outside 8000 to 48000 Hz.

    Examples
    --------
    >>> stream = AudioStream("pcm16", 16000)
    >>> packet = bytes(640)  # 20 ms
    >>> stream.push(packet).size + stream.push(packet).size + stream.flush().size
    320
    """

    samples_in: int
    _resampler: _Resampler | None
    _carry: bytes
    _flushed: bool

    def __init__(self, encoding: Encoding, sample_rate_hz: int) -> None:
        if not isinstance(encoding, str) or encoding not in ENCODINGS:
            guess = difflib.get_close_matches(str(encoding).lower(), ENCODINGS, n=1, cutoff=0.4)
            hint = f"; did you mean {guess[0]!r}?" if guess else ""
            raise AudioError(f"encoding: got {encoding!r}, expected one of {', '.join(ENCODINGS)}{hint}")
        self.encoding = encoding
        self.sample_rate_hz = _checked_rate(sample_rate_hz)
        as_it_came = sample_rate_hz == SAMPLE_RATE_HZ and encoding in ("mulaw", "alaw")
        self.coding: Coding = cast(Coding, encoding) if as_it_came else "float32"
        self.reset()

    @property
    def latency_s(self) -> float:
        """Audio held back by the resampler, in seconds: 0 at 8 kHz, about 3 ms otherwise."""
        return self._resampler.half / self.sample_rate_hz if self._resampler else 0.0

    def push(self, chunk: Chunk) -> Samples:
        """Take audio of any length and return the 8 kHz samples that are now complete.

        Parameters
        ----------
        chunk
            Bytes, which may end within a sample, or an array ``(n,)`` of the encoding's dtype:
            uint8 for G.711, int16 for pcm16, float32 for float32. Never written to.

        Returns
        -------
        ndarray of float32, (m,)
            New memory; in ``[-1, 1)`` for all encodings but float32, which is passed as it is.

        Raises
        ------
        AudioError
            Wrong type, dtype or shape; NaN, infinite or beyond +-4. The stream is as it was before.
        StreamError
            The stream has been flushed.
        """
        self._open()
        values, carry = self._values(chunk)
        samples = self._decode(values)
        self._carry = carry
        self.samples_in += samples.size
        return self._resampler.push(samples) if self._resampler else samples

    def take(self, chunk: Chunk) -> bytes:
        """Take audio as `push` does, and return its samples at 8 kHz undecoded where they can stay so.

        A tick of many calls then decodes once for all: bytes are joined and cut at a tenth of what arrays cost.

        Parameters
        ----------
        chunk
            As for `push`.

        Returns
        -------
        bytes
            Samples of the stream's `coding`, for `decode`.

        Raises
        ------
        AudioError, StreamError
            As `push`.
        """
        if self.coding == "float32":
            return self.push(chunk).tobytes()
        if self._flushed:
            self._open()
        codes = chunk if type(chunk) is bytes else self._values(chunk)[0].tobytes()
        self.samples_in += len(codes)
        return codes

    def flush(self) -> Samples:
        """End the audio and return what the resampler still holds.

        The whole output then counts ``ceil(samples_in * 8000 / sample_rate_hz)`` samples. Bytes of
        an unfinished sample are dropped. A second flush returns nothing.

        Returns
        -------
        ndarray of float32, (m,)
            The last samples, about 3 ms; empty at 8 kHz.
        """
        first, self._flushed, self._carry = not self._flushed, True, b""
        return self._resampler.flush() if first and self._resampler else np.zeros(0, np.float32)

    def reset(self) -> None:
        """Forget everything: the stream is as constructed."""
        at_target = self.sample_rate_hz == SAMPLE_RATE_HZ
        self._resampler = None if at_target else _Resampler(self.sample_rate_hz)
        self._carry = b""
        self._flushed = False
        self.samples_in = 0

    def _open(self) -> None:
        if self._flushed:
            raise StreamError("push after flush: this audio has ended; reset() the stream to start another")

    def _values(self, chunk: Chunk) -> tuple[npt.NDArray[Any], bytes]:
        """Return the whole samples of a chunk, undecoded, and the bytes left over."""
        dtype = _DTYPES[self.encoding]
        if isinstance(chunk, np.ndarray):
            if chunk.dtype != dtype or chunk.ndim != 1:
                raise AudioError(
                    f"{self.encoding} audio: got an array of {chunk.dtype} {chunk.shape}, expected "
                    f"{dtype} (n,); {_array_fix(self.encoding, chunk)}"
                )
            if self._carry and chunk.size:
                raise AudioError(
                    f"{self.encoding} audio: got an array after {len(self._carry)} bytes of an unfinished "
                    "sample, expected its other bytes; push bytes or arrays, not both"
                )
            return chunk, self._carry
        if not isinstance(chunk, bytes | bytearray | memoryview):
            raise AudioError(
                f"{self.encoding} audio: got {type(chunk).__name__}, expected bytes or an array of {dtype}; "
                f"convert with np.asarray(chunk, np.{dtype})"
            )
        data = self._carry + bytes(chunk)
        whole = len(data) - len(data) % dtype.itemsize
        return np.frombuffer(data[:whole], dtype), data[whole:]

    def _decode(self, values: npt.NDArray[Any]) -> Samples:
        if self.encoding == "mulaw":
            return decode_mulaw(values)
        if self.encoding == "alaw":
            return decode_alaw(values)
        samples: Samples = values.astype(np.float32)
        if self.encoding == "pcm16":
            samples /= np.float32(FULL_SCALE)
        else:
            _check_floats(samples, self.samples_in)
        return samples
