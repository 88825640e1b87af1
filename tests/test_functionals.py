"""Statistics of a window against their definitions, written out one window at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_triage.prosody.frames import HOP_S
from emotion_triage.prosody.functionals import (
    DRIVER_GROUPS,
    FEATURE_NAMES,
    FUNCTIONAL_NAMES,
    HEADLINES,
    STATISTIC_NAMES,
    Baseline,
    features,
    functionals,
    population,
)
from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.prosody.vad import WINDOW_FRAMES, speech_frames
from emotion_triage.synthesis.speech import synthetic_speech


def windows_of(samples: np.ndarray, step: int = 25) -> np.ndarray:
    """Windows of 3 s every `step` frames: (n_windows, n_lld, 150)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), 320)[::160]
    rows = lld(frames)
    starts = range(0, len(rows) - WINDOW_FRAMES + 1, step)
    return np.stack([rows[start : start + WINDOW_FRAMES].T for start in starts])


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Calm and angry, female and male, with some rows lost."""
    speech = [
        synthetic_speech(12.0, mood=mood, voice=voice, seed=7)
        for mood in ("calm", "angry")
        for voice in ("female", "male")
    ]
    windows = windows_of(np.concatenate(speech))
    windows[3::7, :, 20:45] = np.nan
    return windows


def column(statistics: np.ndarray, name: str) -> np.ndarray:
    return statistics[:, STATISTIC_NAMES.index(name)]


def by_definition(window: np.ndarray) -> dict[str, float]:
    """A window's statistics, frame by frame."""
    frames = speech_frames(window[None])
    speech, voiced, f0_hz = frames.speech[0], frames.voiced[0], frames.f0_hz[0]
    llds = dict(zip(LLD_NAMES, window, strict=True))
    energy, semitones = llds["energy_dbfs"], [12 * np.log2(hz / 27.5) if hz == hz else np.nan for hz in f0_hz]
    rises, falls, deltas = [], [], []
    for k in range(1, len(energy)):
        if speech[k] and speech[k - 1]:
            deltas.append(abs(energy[k] - energy[k - 1]))
        if voiced[k] and voiced[k - 1] and abs(semitones[k] - semitones[k - 1]) < 3:
            step = (semitones[k] - semitones[k - 1]) / HOP_S
            (rises if step > 0 else falls if step < 0 else []).append(step)
    spoken = np.flatnonzero(speech)
    speech_s = len(spoken) * HOP_S
    runs = sum(voiced[k] and not voiced[k - 1] for k in range(1, len(voiced)))
    jitter = [value for value in llds["jitter_local"][voiced] if value == value]
    f0 = np.array(semitones)[voiced]
    return {
        "level_dbfs": np.mean(energy[voiced]),
        "level_std_db": np.std(energy[voiced]),
        "level_delta_db": np.mean(deltas),
        "f0_mean_semitone": np.mean(f0),
        "f0_std_semitone": np.std(f0),
        "f0_p50_semitone": np.sort(f0)[round(0.5 * (len(f0) - 1))],
        "f0_range_semitone": np.sort(f0)[round(0.8 * (len(f0) - 1))] - np.sort(f0)[round(0.2 * (len(f0) - 1))],
        "f0_rise_semitone_per_s": np.mean(rises),
        "f0_fall_semitone_per_s": np.mean(falls),
        "hnr_db_mean": np.mean(llds["hnr_db"][voiced]),
        "jitter_local_mean": np.mean(jitter),
        "jitter_local_std": np.std(jitter),
        "band_balance_db_mean": np.mean(llds["band_balance_db"][voiced]),
        "centroid_hz_mean": np.mean(llds["centroid_hz"][speech]),
        "mfcc_3_std": np.std(llds["mfcc_3"][speech]),
        "syllable_rate_hz": frames.nuclei.sum() / speech_s,
        "voiced_ratio": voiced.sum() / speech.sum(),
        "voiced_runs_hz": runs / speech_s,
        "pause_ratio": 1 - len(spoken) / (spoken[-1] - spoken[0] + 1),
    }


def test_statistics_are_what_they_are_called(windows: np.ndarray) -> None:
    """Nineteen statistics of every window equal their definitions, written as loops."""
    measured = functionals(windows, speech_frames(windows))
    for i in range(0, len(windows), 3):
        for name, value in by_definition(windows[i]).items():
            assert column(measured.statistics, name)[i] == pytest.approx(value, rel=2e-5, abs=2e-5), name


def test_speech_and_lost_audio_are_counted_in_seconds(windows: np.ndarray) -> None:
    """`speech_s` is 20 ms a speech frame, `lost_s` 20 ms a lost one."""
    measured = speech_frames(windows)
    assert measured.speech_s == pytest.approx(0.02 * speech_frames(windows).speech.sum(axis=1))
    assert measured.lost_s[3::7] == pytest.approx(0.5)
    assert not np.delete(measured.lost_s, np.s_[3::7]).any()


def test_a_window_is_measured_alike_among_any_number(windows: np.ndarray) -> None:
    """Alone, among its neighbours and among five hundred, a window's statistics are the same to the bit."""
    together = functionals(windows, speech_frames(windows))
    resized = np.resize(windows, (500, *windows.shape[1:]))
    many = functionals(resized, speech_frames(resized))
    for i in range(len(windows)):
        alone = functionals(windows[i : i + 1], speech_frames(windows[i : i + 1]))
        for name, value in alone._asdict().items():
            np.testing.assert_array_equal(value[0], getattr(together, name)[i])
            np.testing.assert_array_equal(value[0], getattr(many, name)[i + len(windows)])


def test_statistics_are_finite(windows: np.ndarray) -> None:
    """Silence, lost windows and speech alike have finite statistics."""
    empty = np.full_like(windows[:1], np.nan)
    silence = windows_of(np.zeros(4 * 8000))
    for each in (windows, empty, silence):
        assert np.isfinite(functionals(each, speech_frames(each)).statistics).all()


def test_anger_moves_statistics_the_way_the_field_says() -> None:
    """The angry synthetic speaker is louder, higher, faster, sharper and pauses less (Juslin & Laukka 2003)."""
    spoken = (
        windows_of(np.concatenate([synthetic_speech(15.0, mood=mood, seed=seed) for seed in (1, 2)]))
        for mood in ("calm", "angry")
    )
    calm, angry = (functionals(each, speech_frames(each)) for each in spoken)
    for name in ("level_dbfs", "f0_mean_semitone", "f0_p80_semitone", "syllable_rate_hz", "band_balance_db_mean"):
        assert column(angry.statistics, name).mean() > column(calm.statistics, name).mean(), name
    assert column(angry.statistics, "pause_ratio").mean() < column(calm.statistics, "pause_ratio").mean()


# Features


def test_absolute_level_is_no_feature() -> None:
    """A telephone's gain says nothing: the level is a feature only against the caller's own."""
    assert "level_dbfs" not in FEATURE_NAMES
    assert "level_dbfs_change" in FEATURE_NAMES


def test_gain_changes_no_feature() -> None:
    """A caller at half the level has the same features before he has a baseline."""
    windows = windows_of(synthetic_speech(10.0, mood="angry", seed=3))
    quieter = windows.copy()
    quieter[:, LLD_NAMES.index("energy_dbfs")] -= 6.0
    loud, soft = (functionals(each, speech_frames(each)).statistics for each in (windows, quieter))
    level = FUNCTIONAL_NAMES.index("level_dbfs")
    np.testing.assert_allclose(soft[:, level], loud[:, level] - 6.0, atol=1e-4)
    np.testing.assert_allclose(np.delete(soft, level, axis=1), np.delete(loud, level, axis=1), atol=1e-4)


def test_changes_are_what_is_now_less_what_was() -> None:
    """Each change is the window's statistic minus the baseline's, and 0 without a baseline."""
    now, before = np.random.default_rng(0).standard_normal((2, len(STATISTIC_NAMES))).astype(np.float32)
    row = dict(zip(FEATURE_NAMES, features(now, before).tolist(), strict=True))
    changes = [k for k, name in enumerate(FEATURE_NAMES) if name.endswith("_change")]
    for name in (FEATURE_NAMES[k].removesuffix("_change") for k in changes):
        k = STATISTIC_NAMES.index(name)
        assert row[f"{name}_change"] == now[k] - before[k]
    assert len(changes) > 5
    assert not features(now, None)[changes].any()
    assert not features(now, now)[changes].any()
    for name in set(STATISTIC_NAMES) & set(FEATURE_NAMES):
        assert row[name] == now[STATISTIC_NAMES.index(name)]


def test_every_feature_is_in_one_driver_group() -> None:
    """The groups share no feature and leave none out, and each has a headline."""
    members = np.concatenate(list(DRIVER_GROUPS.values()))
    assert sorted(members.tolist()) == list(range(len(FEATURE_NAMES)))
    assert list(DRIVER_GROUPS) == list(HEADLINES)


def test_a_groups_headline_is_one_of_its_features() -> None:
    """What stands for a group in words is in the group, itself or as a change."""
    for group, (at, _) in HEADLINES.items():
        names = {FEATURE_NAMES[k].removesuffix("_change") for k in DRIVER_GROUPS[group]}
        assert STATISTIC_NAMES[at] in names


def test_the_population_is_what_features_tell_of_it() -> None:
    """The training speech's mean statistics are the model's means, and NaN where no feature tells one, as the level."""
    mean = np.arange(len(FEATURE_NAMES), dtype=np.float32)
    typical = dict(zip(STATISTIC_NAMES, population(mean).tolist(), strict=True))
    assert np.isnan(typical["level_dbfs"])
    assert {name for name, value in typical.items() if value != value} == set(STATISTIC_NAMES) - set(FEATURE_NAMES)
    assert all(typical[name] == mean[FEATURE_NAMES.index(name)] for name in set(STATISTIC_NAMES) & set(FEATURE_NAMES))


# Baseline


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-8, 8), st.floats(0.1, 1.0)), min_size=1, max_size=40), st.floats(0.5, 12.0))
def test_a_baseline_fills_once_and_stays(windows: list[tuple[float, float]], full_s: float) -> None:
    """It is the mean, weighted by speech, of the first windows that together reach `full_s`; nothing after moves it."""
    baseline, taken = Baseline(full_s), []
    for value, speech_s in windows:
        if sum(each for _, each in taken) < full_s:
            assert baseline.statistics is None
            taken.append((value, speech_s))
        baseline.add(np.full(len(STATISTIC_NAMES), value, np.float32), speech_s=speech_s)
    assert (baseline.statistics is not None) == (sum(each for _, each in taken) >= full_s)
    if baseline.statistics is not None:
        mean = sum(np.float32(value) * each for value, each in taken) / sum(each for _, each in taken)
        assert baseline.statistics == pytest.approx(np.full(len(STATISTIC_NAMES), mean), abs=1e-5)
