"""What one window tells of its frames: speech or not, F0 without octave jumps, syllables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.prosody.vad import WINDOW_FRAMES, SpeechFrames, quantiles, repair_octaves, speech_frames
from emotion_triage.synthesis import sounds
from emotion_triage.synthesis.speech import synthetic_speech


def windows_of(samples: np.ndarray) -> np.ndarray:
    """Whole windows of 3 s, side by side: (n_windows, n_lld, 150)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), 320)[::160]
    rows = lld(frames[: len(frames) // WINDOW_FRAMES * WINDOW_FRAMES])
    return rows.reshape(-1, WINDOW_FRAMES, len(LLD_NAMES)).transpose(0, 2, 1).copy()


def syllables(rate_hz: float, duration_s: float, f0_hz: float = 140.0) -> tuple[np.ndarray, int]:
    """Vowels of two formants that swell and fade `rate_hz` times a second on a gliding F0, and how many they are."""
    time_s = np.arange(round(duration_s * 8000)) / 8000
    phase = 2 * np.pi * np.cumsum(f0_hz * (1 + 0.1 * np.sin(2 * np.pi * 1.5 * time_s))) / 8000
    voice = sum(
        np.sin(k * phase) / (1 + ((k * f0_hz - 600) / 300) ** 2)
        + 0.3 * np.sin(k * phase) / (1 + ((k * f0_hz - 1500) / 400) ** 2)
        for k in range(1, int(3300 / f0_hz))
    )
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * rate_hz * time_s)
    line = 0.0005 * np.random.default_rng(0).standard_normal(len(time_s))
    return (0.1 * voice * (0.03 + swell) + line).astype(np.float32), round(rate_hz * duration_s)


def none_of(frames: SpeechFrames) -> bool:
    return not (frames.speech.any() or frames.voiced.any() or frames.nuclei.any())


# Speech or not


@pytest.mark.parametrize("voice", ["female", "male"])
@pytest.mark.parametrize("mood", ["calm", "angry"])
@pytest.mark.parametrize("gain_db", [-20.0, 0.0])
def test_speech_is_found(voice: str, mood: str, gain_db: float) -> None:
    """At least half of a speaker's frames are speech, and of those most are voiced."""
    samples = synthetic_speech(15.0, mood=mood, voice=voice, seed=11) * 10 ** (gain_db / 20)
    frames = speech_frames(windows_of(samples))
    assert 0.5 < frames.speech.mean() < 0.95
    assert frames.voiced.sum() > 0.5 * frames.speech.sum()


def test_pauses_are_not_speech() -> None:
    """Between two stretches of speech a second of line noise holds no speech beyond 160 ms of either."""
    speech = synthetic_speech(1.0, seed=2)
    quiet = sounds.comfort_noise(1.0, level_dbfs=-62.0, seed=0)
    (speech_mask,) = speech_frames(windows_of(np.concatenate((speech, quiet, speech, quiet)))).speech
    assert speech_mask[:48].any()
    assert not speech_mask[60:98].any()
    assert speech_mask[100:148].any()


@pytest.mark.parametrize("level_dbfs", [-75.0, -50.0, -30.0, -10.0])
def test_noise_has_no_speech(level_dbfs: float) -> None:
    """White noise of any level holds no speech."""
    noise = sounds.at_level(np.random.default_rng(1).standard_normal(30 * 8000), level_dbfs)
    assert none_of(speech_frames(windows_of(noise)))


@pytest.mark.parametrize("f0_hz", [220.0, 350.0, 425.0, 440.0])
def test_a_steady_tone_has_no_speech(f0_hz: float) -> None:
    """A tone switched on and off, whose level moves but whose F0 does not, is not speech."""
    on = (np.arange(12 * 8000) // 4000) % 2 == 0
    line = sounds.comfort_noise(12.0, level_dbfs=-55.0, seed=0)
    assert none_of(speech_frames(windows_of(sounds.tone(f0_hz, 12.0) * on + line)))


def test_what_was_lost_is_not_speech() -> None:
    """Lost frames are told as lost and never as speech, and those heard are judged as before."""
    window = windows_of(synthetic_speech(6.0, seed=3))[:1]
    torn = window.copy()
    torn[:, :, 40:70] = np.nan
    frames = speech_frames(torn)
    assert frames.lost[0].nonzero()[0].tolist() == list(range(40, 70))
    assert not frames.speech[:, 40:70].any()
    kept = np.r_[0:32, 78:150]
    assert (frames.speech == speech_frames(window).speech)[:, kept].mean() > 0.95


def test_a_window_that_was_never_heard() -> None:
    """A window without a single row is lost throughout."""
    frames = speech_frames(np.full((2, len(LLD_NAMES), WINDOW_FRAMES), np.nan, np.float32))
    assert frames.lost.all()
    assert none_of(frames)


def test_windows_do_not_see_each_other() -> None:
    """Each of twenty windows is told the same alone as among the others."""
    windows = windows_of(synthetic_speech(60.0, seed=6))
    together = speech_frames(windows)
    for i in range(len(windows)):
        for name, alone in speech_frames(windows[i : i + 1])._asdict().items():
            np.testing.assert_array_equal(alone[0], getattr(together, name)[i])


# Syllables


@pytest.mark.parametrize("rate_hz", [2.5, 3.5, 4.5, 5.5, 6.5])
@pytest.mark.parametrize("f0_hz", [110.0, 210.0])
def test_syllables_are_counted(rate_hz: float, f0_hz: float) -> None:
    """As many nuclei are found as vowels were spoken, within 15 %."""
    samples, count = syllables(rate_hz, 12.1, f0_hz)
    assert speech_frames(windows_of(samples)).nuclei.sum() == pytest.approx(count, rel=0.15)


def test_a_nucleus_is_where_the_vowel_is_loudest() -> None:
    """Nuclei lie within 40 ms of the middle of a vowel."""
    samples, _ = syllables(4.0, 6.1)
    middles_s = 0.02 * np.flatnonzero(speech_frames(windows_of(samples)).nuclei.ravel()) + 0.02
    away_s = np.abs((middles_s * 4.0 - 0.5) - np.round(middles_s * 4.0 - 0.5)) / 4.0
    assert len(middles_s) > 18
    assert away_s.max() <= 0.04


def test_a_ripple_is_no_syllable() -> None:
    """A vowel of a second whose level ripples by 1 dB five times is at most one nucleus."""
    vowel, _ = syllables(1 / 1.5, 12.1)
    time_s = np.arange(len(vowel)) / 8000
    rippled = vowel * 10 ** (0.5 * np.sin(2 * np.pi * 5 * time_s) / 20)
    assert speech_frames(windows_of(rippled)).nuclei.sum() <= 8


# Parts


@given(
    arrays(np.float32, (3, 20), elements=st.floats(-100, 100, width=32)),
    arrays(np.bool_, (3, 20)),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_quantiles_are_those_of_the_masked_values(values: np.ndarray, mask: np.ndarray, ranks: list[float]) -> None:
    """Quantiles are numpy's of the masked values alone by nearest rank, and 0 where nothing is masked in."""
    got = quantiles(values, mask, tuple(ranks))
    for row, kept, each in zip(values, mask, got, strict=True):
        if not kept.any():
            assert not each.any()
            continue
        ordered = np.sort(row[kept])
        for rank, value in zip(ranks, each, strict=True):
            assert value in ordered
            below, above = (np.quantile(row[kept], rank, method=method) for method in ("lower", "higher"))
            assert below <= value <= above
    assert np.array_equal(
        quantiles(values, np.ones_like(mask), (0.0, 1.0)), np.stack((values.min(1), values.max(1)), 1)
    )


def test_the_median_is_numpys() -> None:
    """Of an odd number of values the 0.5 quantile is their median."""
    values = np.random.default_rng(0).standard_normal((5, 31)).astype(np.float32)
    assert np.array_equal(quantiles(values, np.ones((5, 31), bool), (0.5,))[:, 0], np.median(values, axis=1))


@pytest.mark.parametrize("jump", [0.5, 2.0])
def test_octave_jumps_are_repaired(jump: float) -> None:
    """A fifth of the frames an octave off go back where their second candidate says, and the rest stay."""
    draw = np.random.default_rng(0)
    true_hz = (180 * 2 ** (draw.normal(0, 0.15, (4, 150)))).astype(np.float32)
    off = draw.random(true_hz.shape) < 0.2
    first = np.where(off, true_hz * np.float32(jump), true_hz)
    second = np.where(off, true_hz, true_hz * np.float32(jump))
    repaired = repair_octaves(first, second)
    wrong = np.abs(np.log2(repaired / true_hz)) > 0.5
    assert np.abs(np.log2(first / true_hz) > 0.5).sum() + off.sum() > 50
    assert wrong.sum() <= 0.1 * off.sum()
    assert np.array_equal(repaired[~off], true_hz[~off])


def test_repair_invents_no_f0() -> None:
    """Unvoiced frames stay unvoiced, and a jump without a second candidate stays as it is."""
    first = np.array([[200, 200, 200, np.nan, 400]], np.float32)
    second = np.array([[100, 100, 100, 200, np.nan]], np.float32)
    np.testing.assert_array_equal(repair_octaves(first, second), first)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_held_notes_are_not_speech(seed: int) -> None:
    """Most windows of music, whose F0 stays on its notes, hold no speech before any classifier sees them."""
    assert speech_frames(windows_of(sounds.hold_music(60.0, seed=seed))).speech.any(axis=-1).mean() < 0.5
