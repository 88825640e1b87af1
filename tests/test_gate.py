"""What can be speech at all: the same however packets are cut, and never less than what is found to be speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH
from emotion_triage.prosody.gate import ABOVE_DB, LOWEST_FLOOR, RISE_DB_PER_S, gate
from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.prosody.vad import MIN_ENERGY_DBFS, WINDOW_FRAMES, speech_frames
from emotion_triage.synthesis.speech import synthetic_speech


def opened(energy_dbfs: np.ndarray, floor: int = LOWEST_FLOOR) -> np.ndarray:
    return gate(np.asarray(energy_dbfs, float), np.array([len(energy_dbfs)]), np.array([floor])).open


def plain(energy_dbfs: list[float], floor: int) -> tuple[list[bool], int]:
    """The definition, frame by frame."""
    found = []
    for energy in energy_dbfs:
        level = max(round(energy * 1000), LOWEST_FLOOR)
        floor = min(level, floor + round(RISE_DB_PER_S * 20))
        found.append(level > floor + round(ABOVE_DB * 1000))
    return found, floor


@given(
    st.lists(st.tuples(st.lists(st.floats(-120, 0), max_size=30), st.integers(LOWEST_FLOOR, 0)), min_size=1, max_size=6)
)
def test_calls_of_any_length_are_gated_together_as_alone(calls: list[tuple[list[float], int]]) -> None:
    """One pass over many calls, some of which have no frame, gives what following each frame by frame does."""
    energy = np.concatenate([np.array(each, float) for each, _ in calls])
    found = gate(energy, np.array([len(each) for each, _ in calls]), np.array([floor for _, floor in calls]))
    alone = [plain(each, floor) for each, floor in calls]
    assert found.open.tolist() == [each for answers, _ in alone for each in answers]
    assert found.floors.tolist() == [floor for _, floor in alone]


@given(st.lists(st.floats(-120, 0), min_size=2, max_size=60), st.data())
def test_cuts_change_nothing(energy: list[float], data: st.DataObject) -> None:
    """A stream in two pieces is gated as in one."""
    at = data.draw(st.integers(0, len(energy)))
    whole, floors, found = opened(energy), np.array([LOWEST_FLOOR]), []
    for piece in (energy[:at], energy[at:]):
        answer = gate(np.array(piece, float), np.array([len(piece)]), floors)
        found += answer.open.tolist()
        floors = answer.floors
    assert found == whole.tolist()


@pytest.mark.parametrize("line_dbfs", [-120.0, -75.0, -59.0, -40.0, -30.0])
def test_the_line_is_known_within_seconds(line_dbfs: float) -> None:
    """A steady line is shut out once the floor has risen to it, and a word of 20 dB more goes through."""
    needed_s = max(0.0, (line_dbfs - ABOVE_DB - LOWEST_FLOOR / 1000) / RISE_DB_PER_S)
    energy = np.full(round((needed_s + 10) / 0.02), line_dbfs)
    found = opened(energy)
    assert not found[round(needed_s / 0.02) + 1 :].any()
    word = np.full(10, max(line_dbfs, MIN_ENERGY_DBFS) + 20)
    assert opened(np.concatenate((energy, word)))[-10:].all()


@pytest.mark.parametrize("noise_dbfs", [-70.0, -50.0, -35.0])
def test_no_speech_is_lost(noise_dbfs: float) -> None:
    """Of a minute over a noisy line, windows hold the same speech whether or not the line was described."""
    draw = np.random.default_rng(2)
    samples = synthetic_speech(60.0, seed=3)
    samples = (samples + 10 ** (noise_dbfs / 20) * draw.standard_normal(len(samples))).astype(np.float32)
    rows = lld(sliding_window_view(samples, FRAME_LENGTH)[::HOP_LENGTH])
    gated = rows.copy()
    shut = ~opened(rows[:, 0])
    gated[shut, 1:] = np.nan
    assert shut.mean() > 0.1
    whole, less = (
        speech_frames(
            each[: len(each) // WINDOW_FRAMES * WINDOW_FRAMES]
            .reshape(-1, WINDOW_FRAMES, len(LLD_NAMES))
            .transpose(0, 2, 1)
        )
        for each in (rows, gated)
    )
    assert (whole.speech & ~less.speech).sum() <= 0.002 * whole.speech.sum()
