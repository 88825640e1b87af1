"""The low-level descriptors (LLDs): rows in, rows out, no state.

=========================== ======= ==============================================================================
column                      unit    definition
=========================== ======= ==============================================================================
energy_dbfs                 dBFS    mean square without DC; a sine of full scale has -3.01; floor -120
zero_crossing_rate_hz       Hz      sign changes a second, without DC (Kedem 1986)
f0_hz                       Hz      fundamental frequency, NaN where unvoiced (Boersma 1993)
f0_second_hz                Hz      second candidate, NaN where there is none (Boersma 1993)
voicing                     ratio   strength r of the first candidate, 0 to 1 (Boersma 1993)
voicing_second              ratio   strength of the second candidate, 0 to 1 (Boersma 1993)
hnr_db                      dB      10 log10(r / (1 - r)), NaN where unvoiced (Boersma 1993)
jitter_local                ratio   mean difference of neighbouring periods over the mean period (Praat manual)
shimmer_local_db            dB      mean level difference of neighbouring periods (Praat manual)
slope_300_1000_db_per_khz   dB/kHz  least-squares line through the dB spectrum (as GeMAPS' slopes, Eyben 2016)
slope_1000_3400_db_per_khz  dB/kHz  the same in the upper part of the telephone band
band_balance_db             dB      energy of 1000-3400 Hz over 300-1000 Hz (as GeMAPS' alpha ratio, Eyben 2016)
peak_balance_db             dB      strongest bin of 300-2000 Hz over that of 2000-3400 Hz (after Hammarberg 1980)
centroid_hz                 Hz      centre of gravity of the power spectrum (MPEG-7 audio)
flatness_db                 dB      geometric over arithmetic mean of power, 300-3400 Hz (Gray and Markel 1974)
spectral_flux               ratio   distance of the two halves' unit-norm magnitude spectra, 0 to sqrt(2)
crest_db                    dB      strongest bin over the mean bin: 20 for a tone, 7 for noise (MPEG-7 audio)
mfcc_1 ... mfcc_12          dB      orthonormal DCT-II of 24 mel bands in dB (Davis and Mermelstein 1980)
=========================== ======= ==============================================================================

Spectral levels are floored 60 dB below a flat spectrum of the frame's power. Only `energy_dbfs` depends on
gain. In digital zeros every column is finite, except the four that need F0 and `f0_second_hz`: they are NaN.

References
----------
P. Boersma (1993): Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound. IFA Proceedings 17. P. Boersma, D. Weenink: Praat manual. S. Davis, P. Mermelstein (1980): Comparison of
parametric representations for monosyllabic word recognition. IEEE Trans. ASSP 28. F. Eyben et al. (2016): The Geneva
Minimalistic Acoustic Parameter Set (GeMAPS). IEEE Trans. Affective Computing 7. A. Gray, J. Markel (1974): A
spectral-flatness measure for studying the autocorrelation method of linear prediction. IEEE Trans. ASSP 22.
B. Hammarberg et al. (1980): Perceptual and acoustic correlates of abnormal voice qualities. Acta Oto-Laryngologica 90.
B. Kedem (1986): Spectral analysis and discrimination by zero-crossings. Proc. IEEE 74. ISO/IEC 15938-4 (MPEG-7 audio).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH
from emotion_triage.prosody.pitch import N_FFT, WINDOW, normalise, pitch, power_spectrum, squared_magnitudes
from emotion_triage.prosody.voice import voice

__all__ = [
    "COLUMN",
    "ENERGY_FLOOR_DBFS",
    "LLD_NAMES",
    "LLD_UNITS",
    "MEL_MAX_HZ",
    "MEL_MIN_HZ",
    "N_MELS",
    "level_dbfs",
    "lld",
    "mel_spectrum",
]

Array = NDArray[np.float64]
Samples = NDArray[np.float32]

ENERGY_FLOOR_DBFS = -120.0
"""`energy_dbfs` of digital zeros."""
N_MELS = 24
"""Mel bands."""
MEL_MIN_HZ = 100.0
"""Lower edge of the lowest mel band, in Hz."""
MEL_MAX_HZ = 3800.0
"""Upper edge of the highest mel band, in Hz."""
N_MFCC = 12
ROWS_AT_ONCE = 320
"""What a pass over rows needs of them stays in the processor's cache; measured by benchmarks/throughput.py."""
BLOCKS_AT_ONCE = 4
"""Of some hundred rows a few tens are voiced: those of several blocks are one pass."""

LLD_UNITS: dict[str, str] = {
    "energy_dbfs": "dBFS",
    "zero_crossing_rate_hz": "Hz",
    "f0_hz": "Hz",
    "f0_second_hz": "Hz",
    "voicing": "ratio",
    "voicing_second": "ratio",
    "hnr_db": "dB",
    "jitter_local": "ratio",
    "shimmer_local_db": "dB",
    "slope_300_1000_db_per_khz": "dB/kHz",
    "slope_1000_3400_db_per_khz": "dB/kHz",
    "band_balance_db": "dB",
    "peak_balance_db": "dB",
    "centroid_hz": "Hz",
    "flatness_db": "dB",
    "spectral_flux": "ratio",
    "crest_db": "dB",
    **{f"mfcc_{k}": "dB" for k in range(1, N_MFCC + 1)},
}
"""Unit of each column, in the order of the columns."""
LLD_NAMES: tuple[str, ...] = tuple(LLD_UNITS)
"""Names of the columns of `lld`, in order."""
COLUMN: dict[str, int] = {name: i for i, name in enumerate(LLD_NAMES)}
"""Where in a row each descriptor stands."""
_VOICE = slice(COLUMN["hnr_db"], COLUMN["shimmer_local_db"] + 1)
_MFCC = slice(COLUMN["mfcc_1"], None)

_FREQUENCY_HZ = np.fft.rfftfreq(N_FFT, 1.0 / SAMPLE_RATE_HZ)
_BIN_HZ = _FREQUENCY_HZ.astype(np.float32)
# 60 dB below a flat spectrum of the same power: what lies deeper is a codec's rounding, not the voice
_POWER_FLOOR = np.float32(1e-6 * np.sum(WINDOW**2))
_MEL_FLOOR = np.float32(_POWER_FLOOR * N_FFT / SAMPLE_RATE_HZ)
_HALF_WINDOW = (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(HOP_LENGTH) / HOP_LENGTH)).astype(np.float32)
_DB = np.float32(10.0 / np.log(10.0))


def _band(low_hz: float, high_hz: float) -> slice:
    low, high = np.searchsorted(_FREQUENCY_HZ, (low_hz, high_hz))
    return slice(int(low), int(high))


_LOW, _HIGH, _TELEPHONE = _band(300.0, 1000.0), _band(1000.0, 3400.0), _band(300.0, 3400.0)
_BELOW_2000, _ABOVE_2000 = _band(300.0, 2000.0), _band(2000.0, 3400.0)


def _regression(band: slice) -> Samples:
    khz = _FREQUENCY_HZ[band] / 1000.0
    centred = khz - khz.mean()
    return np.asarray(centred / np.sum(centred**2), np.float32)


_SLOPE_LOW, _SLOPE_HIGH = _regression(_LOW), _regression(_HIGH)


def _mel_slopes() -> tuple[NDArray[np.intp], Samples, Samples]:
    """Return the bins at the bands' edges, and each bin's weight in the band that falls and in the one that rises."""
    lowest, highest = 2595.0 * np.log10(1.0 + np.array((MEL_MIN_HZ, MEL_MAX_HZ)) / 700.0)
    mel = np.linspace(lowest, highest, N_MELS + 2)
    edges_hz = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    edges = np.searchsorted(_FREQUENCY_HZ, edges_hz)
    interval = np.repeat(np.arange(N_MELS + 1), np.diff(edges))
    hz = _FREQUENCY_HZ[edges[0] : edges[-1]]
    rising = (hz - edges_hz[interval]) / (edges_hz[interval + 1] - edges_hz[interval])
    area = np.append(2.0 / (edges_hz[2:] - edges_hz[:-2]), 0.0)
    falling = (1.0 - rising) * np.roll(area, 1)[interval]
    return edges, falling.astype(np.float32), (rising * area[interval]).astype(np.float32)


_MEL_EDGES, _MEL_FALLING, _MEL_RISING = _mel_slopes()
_MEL_BAND = slice(int(_MEL_EDGES[0]), int(_MEL_EDGES[-1]))
_MEL_STARTS = _MEL_EDGES[:-1] - _MEL_EDGES[0]
_DCT: Samples = (
    np.sqrt(2.0 / N_MELS) * np.cos(np.pi / N_MELS * (np.arange(N_MELS) + 0.5) * np.arange(1, N_MFCC + 1)[:, None])
).astype(np.float32)


def level_dbfs(power: Array) -> Array:
    """Return the level of a mean square, in dBFS: -120 of digital zeros.

    Examples
    --------
    >>> level_dbfs(np.array([1.0, 0.0])).tolist()
    [0.0, -120.0]
    """
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (ENERGY_FLOOR_DBFS / 10.0))))


def mel_spectrum(power: Samples) -> Samples:
    """Sum power spectra into 24 mel bands from 100 to 3800 Hz.

    Triangles of area 1 on the HTK mel scale: ``librosa.feature.melspectrogram(S=power, sr=8000, n_mels=24, fmin=100,
    fmax=3800, htk=True, norm="slaney")``.

    Parameters
    ----------
    power : ndarray of float32, shape (n_frames, 257)
        Power spectra, from `emotion_triage.prosody.pitch.power_spectrum`.

    Returns
    -------
    ndarray of float32, shape (n_frames, 24)
        Power in each band.

    Examples
    --------
    >>> import numpy as np
    >>> mel_spectrum(np.ones((2, 257), np.float32)).shape
    (2, 24)
    """
    banded = power[:, _MEL_BAND]
    rising = np.add.reduceat(banded * _MEL_RISING, _MEL_STARTS, axis=-1)
    falling = np.add.reduceat(banded * _MEL_FALLING, _MEL_STARTS, axis=-1)
    return np.asarray(rising[:, :-1] + falling[:, 1:])


def _flux(samples: Samples) -> Samples:
    """Return the distance between the unit-norm magnitude spectra of the first and the second half of each frame."""
    halves = samples.reshape(-1, 2, HOP_LENGTH) * _HALF_WINDOW
    magnitude = squared_magnitudes(np.asarray(np.fft.rfft(halves), np.complex64))
    energy = np.add.reduce(magnitude, axis=-1, keepdims=True)
    np.sqrt(magnitude, out=magnitude)
    magnitude *= np.where(energy > 0.0, 1.0 / np.sqrt(np.where(energy > 0.0, energy, 1.0)), 0.0).astype(np.float32)
    apart = magnitude[:, 0] - magnitude[:, 1]
    both = np.logical_and.reduce(energy > 0.0, axis=1)[:, 0]
    return np.where(both, np.sqrt(np.einsum("nf,nf->n", apart, apart)), np.float32(0.0))


def lld(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Describe each frame by itself.

    Parameters
    ----------
    frames : ndarray of float32, shape (n_frames, 320)
        Frames of 40 ms at 8 kHz, finite, in [-1, 1]. Never written to.

    Returns
    -------
    ndarray of float32, shape (n_frames, 29)
        One column for each of `LLD_NAMES`, in the units of `LLD_UNITS`. `f0_hz`, `hnr_db`, `jitter_local` and
        `shimmer_local_db` are NaN where the frame is unvoiced (the last two also where it holds too few periods),
        `f0_second_hz` where there is no second candidate; all else is finite. A row is the same, bit for bit, whatever
        rows are beside it.

    Examples
    --------
    >>> import numpy as np
    >>> tone = (0.5 * np.sin(2 * np.pi * 200 / 8000 * np.arange(320))).astype(np.float32)
    >>> row = dict(zip(LLD_NAMES, lld(tone[None])[0].tolist(), strict=True))
    >>> round(row["f0_hz"]), round(row["energy_dbfs"], 1)
    (200, -9.0)
    """
    rows = np.empty((len(frames), len(LLD_NAMES)), np.float32)
    for start in range(0, len(frames), ROWS_AT_ONCE * BLOCKS_AT_ONCE):
        _describe(frames[start : start + ROWS_AT_ONCE * BLOCKS_AT_ONCE], rows[start:])
    return rows


def _describe(frames: NDArray[np.float32], rows: NDArray[np.float32]) -> None:
    """Fill in the rows of a few blocks: spectra block by block, then the voice of what is voiced in all of them."""
    each = -(-len(frames) // -(-len(frames) // ROWS_AT_ONCE))  # a small last block would cost what a whole one does
    blocks = [_spectral(frames[at : at + each], rows[at : at + each]) for at in range(0, len(frames), each)]
    samples, f0_hz, strength = (np.concatenate(each) for each in zip(*blocks, strict=True))
    if len(samples):
        voiced = np.flatnonzero(~np.isnan(rows[: len(frames), COLUMN["f0_hz"]]))
        quality = voice(samples, f0_hz)
        rows[voiced, COLUMN["hnr_db"]] = 10.0 * np.log10(strength / (1.0 - strength))
        rows[voiced, COLUMN["jitter_local"]] = quality.jitter_local
        rows[voiced, COLUMN["shimmer_local_db"]] = quality.shimmer_local_db


def _spectral(frames: Samples, row: Samples) -> tuple[Samples, Array, Array]:
    """Fill in all columns but the voice's; return the voiced frames, normalised, their F0 in Hz and its strength."""
    samples, power_before = normalise(frames)
    power = power_spectrum(samples)
    f0 = pitch(power)

    negative = samples < 0.0
    changes = (negative[:, 1:] != negative[:, :-1]).view(np.uint8)
    crossings = np.add.reduce(changes, axis=-1, dtype=np.uint16)
    total = np.add.reduce(power, axis=-1)
    floored = np.maximum(power, _POWER_FLOOR)
    spectrum_db = _db(floored)
    low, high = np.add.reduce(floored[:, _LOW], axis=-1), np.add.reduce(floored[:, _HIGH], axis=-1)
    telephone_db = spectrum_db[:, _TELEPHONE]
    n_telephone = np.float32(telephone_db.shape[1])
    mel_db = _db(np.maximum(mel_spectrum(power), _MEL_FLOOR))

    row[:, COLUMN["energy_dbfs"]] = level_dbfs(power_before)
    row[:, COLUMN["zero_crossing_rate_hz"]] = crossings * np.float32(SAMPLE_RATE_HZ / (FRAME_LENGTH - 1))
    for name, column in f0._asdict().items():
        row[:, COLUMN[name]] = column
    row[:, _VOICE] = np.nan
    row[:, COLUMN["slope_300_1000_db_per_khz"]] = np.einsum("nf,f->n", spectrum_db[:, _LOW], _SLOPE_LOW)
    row[:, COLUMN["slope_1000_3400_db_per_khz"]] = np.einsum("nf,f->n", spectrum_db[:, _HIGH], _SLOPE_HIGH)
    row[:, COLUMN["band_balance_db"]] = _db(high / low)
    row[:, COLUMN["peak_balance_db"]] = np.max(spectrum_db[:, _BELOW_2000], axis=-1) - np.max(
        spectrum_db[:, _ABOVE_2000], axis=-1
    )
    row[:, COLUMN["centroid_hz"]] = np.einsum("nf,f->n", power, _BIN_HZ) / np.where(total > 0.0, total, np.float32(1.0))
    row[:, COLUMN["flatness_db"]] = np.add.reduce(telephone_db, axis=-1) / n_telephone - _db((low + high) / n_telephone)
    row[:, COLUMN["spectral_flux"]] = _flux(samples)
    row[:, COLUMN["crest_db"]] = np.max(spectrum_db, axis=-1) - _db(
        np.maximum(total / np.float32(len(_BIN_HZ)), _POWER_FLOOR)
    )
    row[:, _MFCC] = np.einsum("nm,km->nk", mel_db, _DCT)

    voiced = np.flatnonzero(~np.isnan(f0.f0_hz))
    return samples[voiced], f0.f0_hz[voiced], f0.voicing[voiced]


def _db(power: Samples) -> Samples:
    level = np.log(power)
    level *= _DB
    return level
