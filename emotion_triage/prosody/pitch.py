"""F0 candidates and voicing of frames, by the autocorrelation method of Praat.

The autocorrelation of the windowed frame divided by that of the window estimates the autocorrelation of the signal
itself (Boersma 1993, eq. 9). It needs no energy at F0: harmonics alone put a peak at their common period, so a
telephone line that cuts everything below 300 Hz leaves F0 where it was. What the line does do is to leave the harmonic
nearest the first formant alone in front, and then each of its periods looks as good as F0's. So candidates are sought
in the autocorrelation of the compressed spectrum, where many weak harmonics outvote a strong one (Tolonen and
Karjalainen 2000), and their place and strength are taken from the true one. Measured against Praat on clips sent
through such a line, the compression leaves a third of the gross errors.

References
----------
P. Boersma (1993): Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound. IFA Proceedings 17, 97-110. T. Tolonen, M. Karjalainen (2000): A computationally efficient multipitch
analysis model. IEEE Trans. Speech and Audio Processing 8(6), 708-716.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.frames import FRAME_LENGTH

__all__ = [
    "F0_MAX_HZ",
    "F0_MIN_HZ",
    "N_FFT",
    "VOICING_THRESHOLD",
    "WINDOW",
    "Normalised",
    "Pitch",
    "normalise",
    "pitch",
    "power_spectrum",
    "squared_magnitudes",
]

Array = NDArray[np.float64]
Samples = NDArray[np.float32]
Real = NDArray[np.floating]

F0_MIN_HZ = 60.0
"""Lowest F0 looked for, in Hz: a frame of 40 ms holds 2.4 of its periods."""
F0_MAX_HZ = 500.0
"""Highest F0 looked for, in Hz: shouting women and children stay below."""
N_FFT = 512
"""Points of the Fourier transform: a frame and the longest lag fit without wrapping round."""
VOICING_THRESHOLD = 0.6
"""Strength in [0, 1] from which a frame is voiced: HNR 1.8 dB. Praat's 0.45 also leans on the clip's peak level."""
OCTAVE_COST = 0.02
"""What a candidate loses for each octave it lies lower (Boersma 1993, eq. 26; Praat's default is 0.01)."""
SILENCE_POWER = 1e-20
"""Mean square (-200 dBFS) up to which a frame is digital zero: far below the last bit of any codec."""

_STRENGTH_MAX = 1.0 - 1e-6
_NO_PEAK = np.float32(1e30)

WINDOW: Samples = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME_LENGTH) / FRAME_LENGTH)).astype(np.float32)
"""Periodic Hann window, shape (320,)."""
WINDOW.flags.writeable = False

_LAG_MIN = int(SAMPLE_RATE_HZ / F0_MAX_HZ)
_LAG_MAX = int(np.ceil(SAMPLE_RATE_HZ / F0_MIN_HZ))
_COST = (OCTAVE_COST * np.log2(F0_MIN_HZ / SAMPLE_RATE_HZ * np.arange(_LAG_MIN, _LAG_MAX + 1))).astype(np.float32)
_TAPS = np.arange(-7, 8)
_WINDOW_ACF = np.fft.irfft(np.abs(np.fft.rfft(WINDOW.astype(np.float64), N_FFT)) ** 2, N_FFT)[: _LAG_MAX + len(_TAPS)]
_CORRECTION = _WINDOW_ACF[0] / _WINDOW_ACF
_SEARCHED = slice(_LAG_MIN - 1, _LAG_MAX + 2)
_CORRECTION_SEARCHED = (0.5 * _CORRECTION[_SEARCHED]).astype(np.float32)
_NEAR = np.arange(_LAG_MIN + _TAPS[0], _LAG_MAX + _TAPS[-1] + 1)
_CORRECTION_NEAR = (_CORRECTION[_NEAR] / (4.0 * np.sin(2.0 * np.pi * _NEAR / N_FFT))).astype(np.float32)


def _half_sample_sinc() -> Array:
    """Return the weights (15, 7) that take samples at -7 ... 7 to values at -1.5, -1 ... 1.5: a Hann-windowed sinc."""
    distance = _TAPS[:, None] - np.arange(-3, 4) / 2.0
    hann = 0.5 + 0.5 * np.cos(np.pi * distance / len(_TAPS) * 2.0)
    return np.asarray(np.sinc(distance) * np.where(np.abs(distance) < len(_TAPS) / 2.0, hann, 0.0))


_INTERPOLATION = _half_sample_sinc()


class Normalised(NamedTuple):
    """Frames without DC and at unit power, and the power that they had.

    Attributes
    ----------
    samples : ndarray of float32, shape (n_frames, 320)
        RMS 1; 0 where the frame is digital zero.
    power : ndarray of float64, shape (n_frames,)
        Mean square before, DC removed; 0 where the frame is digital zero.
    """

    samples: Samples
    power: Array


class Pitch(NamedTuple):
    """The two best F0 candidates of each frame, best first.

    Attributes
    ----------
    f0_hz : ndarray of float64, shape (n_frames,)
        F0 in Hz, 60 to 500; NaN where the frame is unvoiced.
    f0_second_hz : ndarray of float64, shape (n_frames,)
        The candidate that came second, in Hz; NaN where there is none.
    voicing, voicing_second : ndarray of float64, shape (n_frames,)
        Height of the corrected autocorrelation peak, 0 to 1; 0 where there is no such peak.
    """

    f0_hz: Array
    f0_second_hz: Array
    voicing: Array
    voicing_second: Array


def normalise(frames: NDArray[np.float32]) -> Normalised:
    """Remove the DC of each frame and bring it to unit power, so that nothing downstream depends on gain.

    Parameters
    ----------
    frames : ndarray of float32, shape (n_frames, 320)
        Frames at 8 kHz.

    Returns
    -------
    Normalised
        The frames and their power.

    Examples
    --------
    >>> import numpy as np
    >>> quiet = normalise(np.full((1, 320), 0.25, np.float32))
    >>> float(quiet.power[0]), float(abs(quiet.samples).max())
    (0.0, 0.0)
    """
    samples = frames.astype(np.float64, order="C")
    mean = np.add.reduce(samples, axis=-1, keepdims=True) / FRAME_LENGTH
    samples -= mean
    mean = mean[:, 0]
    power = np.einsum("nt,nt->n", samples, samples) / FRAME_LENGTH
    audible = power > SILENCE_POWER * (1.0 + mean * mean)
    power = np.where(audible, power, 0.0)
    scale = np.where(audible, 1.0 / np.sqrt(np.where(audible, power, 1.0)), 0.0)
    samples *= scale[:, None]
    return Normalised(samples.astype(np.float32), power)


def power_spectrum(samples: Samples) -> Samples:
    """Return the power spectrum of the Hann-windowed frames.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_frames, 320)
        Frames at 8 kHz.

    Returns
    -------
    ndarray of float32, shape (n_frames, 257)
        Squared magnitudes at 0, 15.625, ... 4000 Hz.

    Examples
    --------
    >>> import numpy as np
    >>> tone = np.sin(2 * np.pi * 1000 / 8000 * np.arange(320), dtype=np.float32)[None]
    >>> int(power_spectrum(tone).argmax()) * 15.625
    1000.0
    """
    padded = np.zeros((len(samples), N_FFT), np.float32)
    np.multiply(samples, WINDOW, out=padded[:, :FRAME_LENGTH])
    return squared_magnitudes(np.asarray(np.fft.rfft(padded), np.complex64))


def squared_magnitudes(spectrum: NDArray[np.complex64]) -> Samples:
    """Return the squared magnitudes of contiguous spectra, which are overwritten.

    Examples
    --------
    >>> squared_magnitudes(np.array([3.0 + 4.0j], np.complex64)).tolist()
    [25.0]
    """
    parts = spectrum.view(np.float32)
    parts *= parts
    return np.asarray(parts[..., ::2] + parts[..., 1::2])


def pitch(power: Samples) -> Pitch:
    """Find the two strongest F0 candidates from 60 to 500 Hz.

    Peaks of the window-corrected autocorrelation of the compressed spectrum compete, with a small octave cost for the
    lower ones (Boersma 1993, section 4). No path through time is sought here: rows are stateless.

    Parameters
    ----------
    power : ndarray of float32, shape (n_frames, 257)
        Power spectra, from `power_spectrum`.

    Returns
    -------
    Pitch
        Candidates and their strengths.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(320) / 8000
    >>> no_fundamental = sum(np.cos(2 * np.pi * 150 * k * t) for k in (3, 4, 5, 6, 7))[None]
    >>> float(pitch(power_spectrum(no_fundamental.astype(np.float32))).f0_hz[0].round())
    150.0
    """
    r, r_true = _autocorrelations(power)
    step = r[:, 1:] - r[:, :-1]
    into, out_of = step[:, :-1], step[:, 1:]
    score = into + out_of
    score *= score
    score /= np.maximum(into - out_of, np.float32(1e-9))
    score *= np.float32(0.125)
    score += r[:, 1:-1]
    score -= _COST
    score -= np.multiply((into <= 0.0) | (out_of > 0.0), _NO_PEAK)

    rows = np.arange(len(r))
    first = score.argmax(axis=-1)
    score_first = score[rows, first]
    score[rows, first] = -np.inf
    second = score.argmax(axis=-1)
    exists = np.stack((score_first, score[rows, second])) > -0.5 * _NO_PEAK
    f0_hz, strength = _refine(r_true, np.stack((first, second)) + _LAG_MIN)
    f0_hz[~exists] = np.nan
    strength[~exists] = 0.0
    f0_hz[0, strength[0] < VOICING_THRESHOLD] = np.nan
    return Pitch(f0_hz[0], f0_hz[1], strength[0], strength[1])


def _autocorrelations(power: Samples) -> tuple[Samples, Samples]:
    """Return the corrected autocorrelations of the compressed and of the true spectrum, at `_SEARCHED` and at `_NEAR`.

    One transform gives both: the compressed spectrum is its real part and comes out even in the lag; the difference of
    the true spectrum's neighbours is its imaginary part and comes out odd, as the true autocorrelation times a sine.
    """
    true = power * _per_energy(power)
    compressed = np.sqrt(np.sqrt(true))  # power to the 1/4: no single strong harmonic decides
    compressed *= _per_energy(compressed)
    spectrum = np.empty(power.shape, np.complex64)
    spectrum.real = compressed
    imaginary = spectrum.imag
    np.subtract(true[:, :-2], true[:, 2:], out=imaginary[:, 1:-1])
    imaginary[:, :: N_FFT // 2] = 0.0
    both: Samples = np.asarray(np.fft.irfft(spectrum, N_FFT), np.float32)
    r = both[:, _SEARCHED] + both[:, -_SEARCHED.start : -_SEARCHED.stop : -1]
    r *= _CORRECTION_SEARCHED
    r_true = both[:, -_NEAR[0] : -_NEAR[-1] - 1 : -1] - both[:, _NEAR[0] : _NEAR[-1] + 1]
    r_true *= _CORRECTION_NEAR
    return r, r_true


def _per_energy(spectra: Samples) -> Samples:
    """Return what makes the autocorrelation of each symmetric spectrum 1 at lag 0; shape (n_frames, 1)."""
    total = np.add.reduce(spectra, axis=-1) * np.float32(2.0) - spectra[:, 0] - spectra[:, -1]
    return np.asarray(np.float32(N_FFT) / np.where(total > 0.0, total, np.float32(1.0)), np.float32)[:, None]


def _refine(r: Real, lags: NDArray[np.intp]) -> tuple[Array, Array]:
    """Return F0 in Hz and strength of the true autocorrelation's peaks nearest to `lags`, all of shape (2, n_frames).

    A sinc gives values between the samples (Boersma 1993, section 5), a parabola the rest.
    """
    near = r[np.arange(len(r))[:, None], lags[..., None] + (_TAPS - _NEAR[0])]
    fine = np.einsum("cnt,tp->cnp", near, _INTERPOLATION).reshape(-1, 7)
    each = np.arange(len(fine))
    best = fine[:, 1:-1].argmax(axis=-1) + 1
    left, centre, right = fine[each, best - 1], fine[each, best], fine[each, best + 1]
    slope, curvature = right - left, np.maximum(2.0 * centre - left - right, 1e-12)
    shift = np.minimum(np.maximum(0.5 * slope / curvature, -0.5), 0.5)
    f0_hz = SAMPLE_RATE_HZ / (lags.reshape(-1) + 0.5 * (best - 3 + shift))
    strength = centre + 0.25 * slope * shift
    f0_hz = np.minimum(np.maximum(f0_hz, F0_MIN_HZ), F0_MAX_HZ)
    return f0_hz.reshape(lags.shape), np.minimum(np.maximum(strength, 0.0), _STRENGTH_MAX).reshape(lags.shape)
