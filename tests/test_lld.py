"""The laws of the rows, the signs of the descriptors, and librosa's mel spectra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH
from emotion_triage.prosody.lld import (
    ENERGY_FLOOR_DBFS,
    LLD_NAMES,
    LLD_UNITS,
    MEL_MAX_HZ,
    MEL_MIN_HZ,
    N_MELS,
    lld,
    mel_spectrum,
)
from emotion_triage.prosody.pitch import N_FFT, power_spectrum

Frames = NDArray[np.float32]

MAY_BE_NAN = {"f0_hz", "f0_second_hz", "hnr_db", "jitter_local", "shimmer_local_db"}
TIME_S = np.arange(FRAME_LENGTH) / SAMPLE_RATE_HZ


def crowd(n: int = 240, seed: int = 0) -> Frames:
    """Return frames of everything: voices, noise, tones, clicks, DC, digital zeros, very loud and very quiet."""
    rng = np.random.default_rng(seed)
    frames = np.zeros((n, FRAME_LENGTH))
    for row in range(n):
        kind, level = row % 8, 10.0 ** rng.uniform(-4.0, 0.0)
        f0_hz = rng.uniform(60.0, 500.0)
        if kind < 4:
            frames[row] = sum(np.cos(2 * np.pi * k * f0_hz * TIME_S + k) / k for k in range(1, int(3400 / f0_hz)))
            frames[row] += 0.1 * kind * rng.standard_normal(FRAME_LENGTH)
        elif kind == 4:
            frames[row] = rng.standard_normal(FRAME_LENGTH)
        elif kind == 5:
            frames[row] = np.sin(2 * np.pi * 8 * f0_hz * TIME_S)
        elif kind == 6:
            frames[row, rng.integers(0, FRAME_LENGTH)] = 1.0
        frames[row] = level * frames[row] + rng.choice([0.0, 0.1])
    return frames.astype(np.float32)


CROWD = crowd()
ROWS = lld(CROWD)


def described(frame: NDArray[np.floating]) -> dict[str, float]:
    return dict(zip(LLD_NAMES, lld(frame[None].astype(np.float32))[0].tolist(), strict=True))


def coloured(exponent: float, seed: int = 0) -> NDArray[np.float64]:
    """Return noise whose power falls as frequency to the minus `exponent`."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(FRAME_LENGTH))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-exponent / 2)
    spectrum[0] = 0.0
    return np.asarray(np.fft.irfft(spectrum, FRAME_LENGTH))


@given(rows=st.lists(st.integers(0, len(CROWD) - 1), min_size=1, max_size=60))
@settings(max_examples=120, deadline=None)
def test_a_row_does_not_know_its_neighbours(rows: list[int]) -> None:
    """Any choice of rows, in any order and number, gives the same bits."""
    assert np.array_equal(lld(CROWD[rows]), ROWS[rows], equal_nan=True)


def test_a_row_alone_and_among_many_is_the_same() -> None:
    """Each row alone, and all rows in a batch of more than a thousand, give the same bits."""
    alone = np.concatenate([lld(CROWD[row : row + 1]) for row in range(len(CROWD))])
    assert np.array_equal(alone, ROWS, equal_nan=True)
    many = np.tile(CROWD, (5, 1))
    assert np.array_equal(lld(many), np.tile(ROWS, (5, 1)), equal_nan=True)


def test_overlapping_views_are_as_good_as_copies() -> None:
    """Read-only, overlapping frames give the bits of their copies."""
    stream = CROWD[:40].reshape(-1).copy()
    stream.flags.writeable = False
    views = np.lib.stride_tricks.sliding_window_view(stream, FRAME_LENGTH)[::HOP_LENGTH]
    assert np.array_equal(lld(views), lld(views.copy()), equal_nan=True)


def test_input_is_not_written_to() -> None:
    """The frames are the same after as before."""
    frames = CROWD.copy()
    lld(frames)
    assert np.array_equal(frames, CROWD)


def test_no_rows_give_no_rows() -> None:
    """Zero frames give an array of shape (0, n_lld)."""
    assert lld(np.empty((0, FRAME_LENGTH), np.float32)).shape == (0, len(LLD_NAMES))


def test_every_column_has_a_unit() -> None:
    """Names and units go together, 29 columns in float32."""
    assert tuple(LLD_UNITS) == LLD_NAMES
    assert ROWS.shape == (len(CROWD), 29)
    assert ROWS.dtype == np.float32


@given(frame=arrays(np.float32, FRAME_LENGTH, elements=st.floats(-4.0, 4.0, width=32)))
@settings(max_examples=60, deadline=None)
def test_what_needs_no_f0_is_finite(frame: Frames) -> None:
    """Any finite frame has finite descriptors, but for those that need F0."""
    row = described(frame)
    assert np.all(np.isfinite([value for name, value in row.items() if name not in MAY_BE_NAN]))
    assert not np.any(np.isinf(list(row.values())))
    assert 0.0 <= row["voicing_second"] <= 1.0
    assert 0.0 <= row["voicing"] <= 1.0


@pytest.mark.parametrize("level", [0.0, 0.5, -1.0])
def test_digital_zeros_are_at_the_floor(level: float) -> None:
    """A constant frame has the floor's energy, no crossing, no voice."""
    row = described(np.full(FRAME_LENGTH, level))
    assert row["energy_dbfs"] == ENERGY_FLOOR_DBFS
    assert (row["zero_crossing_rate_hz"], row["voicing"], row["spectral_flux"]) == (0.0, 0.0, 0.0)
    assert np.isnan([row[name] for name in MAY_BE_NAN]).all()


@given(gain=st.sampled_from([2.0**-3, 2.0**-7, 2.0]), row=st.integers(0, len(CROWD) - 1))
@settings(max_examples=80, deadline=None)
def test_only_energy_knows_the_gain(gain: float, row: int) -> None:
    """Gain moves energy by its dB and nothing else: powers of two, which round nothing, leave every bit."""
    plain, changed = ROWS[row], lld(np.float32(gain) * CROWD[row : row + 1])[0]
    if plain[0] > ENERGY_FLOOR_DBFS + 43.0:
        assert changed[0] - plain[0] == pytest.approx(20 * np.log10(gain), abs=1e-3)
    np.testing.assert_array_equal(changed[1:], plain[1:])


def test_energy_is_that_of_a_sine() -> None:
    """A sine of amplitude 0.1 has -23.01 dBFS, with or without DC."""
    sine = 0.1 * np.sin(2 * np.pi * 500 * TIME_S)
    assert described(sine)["energy_dbfs"] == pytest.approx(-23.01, abs=0.01)
    assert described(sine + 0.3)["energy_dbfs"] == pytest.approx(-23.01, abs=0.01)


@pytest.mark.parametrize("frequency_hz", [400.0, 1000.0, 2500.0])
def test_a_tone_sits_at_its_frequency(frequency_hz: float) -> None:
    """A tone crosses zero twice a period, and its centroid is its frequency."""
    row = described(np.sin(2 * np.pi * frequency_hz * TIME_S + 0.4))
    assert row["zero_crossing_rate_hz"] == pytest.approx(2 * frequency_hz, rel=0.05)
    assert row["centroid_hz"] == pytest.approx(frequency_hz, abs=5.0)


def test_tilt_has_its_sign() -> None:
    """A steeper fall lowers slopes, band balance, centroid and crossings, and raises peak balance and MFCC 1."""
    flat, steep = (
        {name: np.mean([described(coloured(exponent, seed))[name] for seed in range(20)]) for name in LLD_NAMES}
        for exponent in (0.0, 3.0)
    )
    falling = ("slope_300_1000_db_per_khz", "slope_1000_3400_db_per_khz", "band_balance_db", "centroid_hz")
    for name in (*falling, "zero_crossing_rate_hz"):
        assert steep[name] < flat[name]
    assert steep["slope_1000_3400_db_per_khz"] < 0.0
    assert steep["peak_balance_db"] > flat["peak_balance_db"] + 5.0
    assert steep["mfcc_1"] > flat["mfcc_1"] + 20.0


def test_slope_is_the_slope() -> None:
    """Noise that falls by 10 dB a kHz has both slopes there."""
    rng = np.random.default_rng(9)
    spectrum = np.fft.rfft(rng.standard_normal((300, FRAME_LENGTH)))
    spectrum *= 10 ** (-10.0 * np.fft.rfftfreq(FRAME_LENGTH, 1 / SAMPLE_RATE_HZ) / 1000 / 20)
    rows = lld(np.fft.irfft(spectrum, FRAME_LENGTH).astype(np.float32))
    for name in ("slope_300_1000_db_per_khz", "slope_1000_3400_db_per_khz"):
        assert np.mean(rows[:, LLD_NAMES.index(name)]) == pytest.approx(-10.0, abs=1.5)


def test_balances_weigh_two_tones() -> None:
    """A tone at 2500 Hz 12 dB below one at 600 Hz gives -12 dB of band balance and +12 dB of peak balance."""
    row = described(np.sin(2 * np.pi * 600 * TIME_S) + 10 ** (-12 / 20) * np.sin(2 * np.pi * 2500 * TIME_S))
    assert row["band_balance_db"] == pytest.approx(-12.0, abs=0.3)
    assert row["peak_balance_db"] == pytest.approx(12.0, abs=0.5)


def test_lines_stand_out() -> None:
    """A tone and DTMF have more crest and less flatness than noise; noise is flat."""
    tone = described(np.sin(2 * np.pi * 1000 * TIME_S))
    dtmf = described(np.sin(2 * np.pi * 770 * TIME_S) + np.sin(2 * np.pi * 1336 * TIME_S))
    noise = described(np.random.default_rng(3).standard_normal(FRAME_LENGTH))
    assert tone["crest_db"] > dtmf["crest_db"] + 2.0
    assert dtmf["crest_db"] > noise["crest_db"] + 5.0
    assert tone["crest_db"] == pytest.approx(20.3, abs=0.7)
    assert max(tone["flatness_db"], dtmf["flatness_db"]) < -15.0
    assert -5.0 < noise["flatness_db"] < 0.0


def test_flux_sees_change_not_level() -> None:
    """A tone that jumps has flux near sqrt(2); a steady one, even if its level jumps, has next to none."""
    half = np.arange(FRAME_LENGTH) < FRAME_LENGTH // 2
    low, high = np.sin(2 * np.pi * 500 * TIME_S), np.sin(2 * np.pi * 2000 * TIME_S)
    assert described(np.where(half, low, high))["spectral_flux"] == pytest.approx(np.sqrt(2.0), abs=0.02)
    assert described(low)["spectral_flux"] < 0.02
    assert described(np.where(half, 0.2 * low, low))["spectral_flux"] < 0.05


def test_mel_spectrum_is_librosas() -> None:
    """The mel spectra are librosa's on the same frames, within 1e-4."""
    librosa = pytest.importorskip("librosa")
    stream = np.random.default_rng(5).standard_normal(40 * HOP_LENGTH).cumsum() * 0.01
    frames = np.lib.stride_tricks.sliding_window_view(stream, FRAME_LENGTH)[::HOP_LENGTH]
    theirs = librosa.feature.melspectrogram(
        y=np.pad(stream, (N_FFT - FRAME_LENGTH) // 2),
        sr=SAMPLE_RATE_HZ,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        win_length=FRAME_LENGTH,
        center=False,
        n_mels=N_MELS,
        fmin=MEL_MIN_HZ,
        fmax=MEL_MAX_HZ,
        htk=True,
    ).T
    np.testing.assert_allclose(mel_spectrum(power_spectrum(frames)), theirs, rtol=1e-4)


def test_mfcc_are_librosas() -> None:
    """The MFCC are the orthonormal DCT of librosa's log mel spectra."""
    librosa = pytest.importorskip("librosa")
    frames = np.stack([coloured(1.0, seed) for seed in range(8)])
    mel_db = 10 * np.log10(mel_spectrum(power_spectrum(frames)))
    theirs = librosa.feature.mfcc(S=mel_db.T, n_mfcc=13, dct_type=2, norm="ortho").T[:, 1:]
    first = LLD_NAMES.index("mfcc_1")
    np.testing.assert_allclose(lld(frames.astype(np.float32))[:, first:], theirs, atol=2e-2)
