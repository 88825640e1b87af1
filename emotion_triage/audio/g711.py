"""G.711, the telephone's 8-bit codes: mu-law and A-law to float32 and back."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from emotion_triage.errors import AudioError

__all__ = ["FULL_SCALE", "decode_alaw", "decode_mulaw", "encode_alaw", "encode_mulaw"]

Samples: TypeAlias = npt.NDArray[np.float32]
Codes: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[np.uint8]

FULL_SCALE = 32768.0


def _mulaw_levels() -> Samples:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return np.asarray(np.where(code & 0x80, -magnitude, magnitude) / FULL_SCALE, np.float32)


def _alaw_levels() -> Samples:
    code = np.arange(256) ^ 0x55
    mantissa, segment = (code & 0x0F) << 4, (code & 0x70) >> 4
    magnitude = np.where(segment, (mantissa + 0x108) << np.maximum(segment - 1, 0), mantissa + 8)
    return np.asarray(np.where(code & 0x80, magnitude, -magnitude) / FULL_SCALE, np.float32)


_MULAW_LEVELS = _mulaw_levels()
_ALAW_LEVELS = _alaw_levels()


def _codes(data: Codes) -> npt.NDArray[np.uint8]:
    codes = data if isinstance(data, np.ndarray) else np.frombuffer(bytes(data), np.uint8)
    if codes.dtype != np.uint8:
        raise AudioError(f"G.711: got an array of {codes.dtype}, expected bytes or uint8; push the codes as they came")
    return codes


def decode_mulaw(data: Codes) -> Samples:
    """Expand G.711 mu-law.

    Parameters
    ----------
    data
        One code a sample, as bytes or a uint8 array ``(n,)``.

    Returns
    -------
    ndarray of float32, (n,)
        Samples within ``[-0.981, 0.981]``: the 16-bit value over 32768.

    Raises
    ------
    AudioError
        An array of another dtype.

    References
    ----------
    ITU-T Recommendation G.711 (11/1988), table 2.

    Examples
    --------
    >>> decode_mulaw(bytes([0xFF, 0x80, 0x00])).tolist()
    [0.0, 0.9803466796875, -0.9803466796875]
    """
    return _MULAW_LEVELS[_codes(data)]


def decode_alaw(data: Codes) -> Samples:
    """Expand G.711 A-law.

    Parameters
    ----------
    data
        One code a sample, as bytes or a uint8 array ``(n,)``.

    Returns
    -------
    ndarray of float32, (n,)
        Samples within ``[-0.985, 0.985]``: the 16-bit value over 32768.

    Raises
    ------
    AudioError
        An array of another dtype.

    References
    ----------
    ITU-T Recommendation G.711 (11/1988), table 1.

    Examples
    --------
    >>> decode_alaw(bytes([0xD5, 0xAA, 0x2A])).tolist()
    [0.000244140625, 0.984375, -0.984375]
    """
    return _ALAW_LEVELS[_codes(data)]


def _pcm16(samples: npt.ArrayLike) -> npt.NDArray[np.int64]:
    scaled = np.rint(np.asarray(samples, np.float64) * FULL_SCALE)
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int64)


def encode_mulaw(samples: npt.ArrayLike) -> bytes:
    """Compress to G.711 mu-law.

    Parameters
    ----------
    samples
        Floats ``(n,)`` in ``[-1, 1)``; what lies outside is clipped.

    Returns
    -------
    bytes
        One code a sample.

    References
    ----------
    ITU-T Recommendation G.711 (11/1988), table 2, on the 14-bit uniform code.

    Examples
    --------
    >>> encode_mulaw([0.0, 1.0, -1.0]).hex()
    'ff8000'
    """
    value = _pcm16(samples) >> 2
    biased = np.minimum(np.abs(value), 8158) + 33
    segment = np.searchsorted(1 << np.arange(6, 14), biased, side="right")
    code = segment << 4 | biased >> (segment + 1) & 0x0F
    return np.asarray(code ^ np.where(value < 0, 0x7F, 0xFF), np.uint8).tobytes()


def encode_alaw(samples: npt.ArrayLike) -> bytes:
    """Compress to G.711 A-law.

    Parameters
    ----------
    samples
        Floats ``(n,)`` in ``[-1, 1)``; what lies outside is clipped.

    Returns
    -------
    bytes
        One code a sample.

    References
    ----------
    ITU-T Recommendation G.711 (11/1988), table 1, on the 13-bit uniform code.

    Examples
    --------
    >>> encode_alaw([0.0, 1.0, -1.0]).hex()
    'd5aa2a'
    """
    value = _pcm16(samples) >> 3
    magnitude = np.where(value < 0, ~value, value)
    segment = np.searchsorted(1 << np.arange(5, 12), magnitude, side="right")
    code = segment << 4 | magnitude >> np.maximum(segment, 1) & 0x0F
    return np.asarray(code ^ np.where(value < 0, 0x55, 0xD5), np.uint8).tobytes()
