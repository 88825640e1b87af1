"""Frames lie on one grid, whatever the cut and whatever is lost."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.prosody.frames import FRAME_LENGTH, HOP_LENGTH, Framer, frames_of, starts_of

RAMP = np.arange(6000, dtype=np.float32)
"""Each sample is its own stream index."""


def frames(framer: Framer, samples: np.ndarray) -> np.ndarray:
    framer.push(samples.tobytes())
    hops = np.frombuffer(framer.cut(), np.float32)
    return frames_of(hops, starts_of(np.array([len(hops) // HOP_LENGTH])))


@given(st.lists(st.integers(0, 700), max_size=40))
def test_frames_are_the_grid_of_what_was_pushed(sizes: list[int]) -> None:
    """Frame k starts at sample 160 k, is 320 long, and every whole frame comes out exactly once."""
    framer, at, seen = Framer(4), 0, []
    for size in sizes:
        seen.extend(frames(framer, RAMP[at : at + size]))
        at = min(at + size, len(RAMP))
        assert framer.frame_index * HOP_LENGTH + FRAME_LENGTH > at
    assert framer.position == at
    assert len(seen) == max(0, (at - FRAME_LENGTH) // HOP_LENGTH + 1)
    for k, frame in enumerate(seen):
        assert np.array_equal(frame, RAMP[HOP_LENGTH * k : HOP_LENGTH * k + FRAME_LENGTH])


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), max_size=12))
def test_gaps_never_shift_the_grid(moves: list[tuple[int, int]]) -> None:
    """The frames that come out are those of the grid whose samples were all pushed; the others are counted lost."""
    framer, position, lost = Framer(4), 0, 0
    heard: dict[int, np.ndarray] = {}
    was_pushed = np.zeros(24_000, bool)
    for size, gap in moves:
        new = frames(framer, np.arange(position, position + size, dtype=np.float32))
        heard |= {framer.frame_index - len(new) + i: frame for i, frame in enumerate(new)}
        was_pushed[position : position + size] = True
        position += size + gap
        lost += framer.jump(position)
        assert framer.position == position
        assert framer.frame_index == len(heard) + lost
    grid = np.lib.stride_tricks.sliding_window_view(was_pushed, FRAME_LENGTH)[::HOP_LENGTH]
    assert sorted(heard) == np.flatnonzero(grid.all(axis=1)).tolist()
    for k, frame in heard.items():
        assert np.array_equal(frame, np.arange(HOP_LENGTH * k, HOP_LENGTH * k + FRAME_LENGTH))


def test_every_whole_frame_after_a_gap_is_heard() -> None:
    """After a jump to sample 1001 the first frame is that of sample 1120, the first on the grid."""
    framer = Framer(4)
    assert len(frames(framer, RAMP[:500])) == 2
    assert framer.jump(1001) == 5
    assert frames(framer, RAMP[1001:1600])[:, 0].tolist() == [1120.0, 1280.0]


def test_a_jump_to_where_it_is_drops_nothing() -> None:
    """A jump of no length keeps the frame under way."""
    framer = Framer(4)
    frames(framer, RAMP[:319])
    assert framer.jump(319) == 0
    assert len(frames(framer, RAMP[319:320])) == 1


def test_a_frame_never_reaches_into_the_next_push() -> None:
    """Of the hops of several pushes joined, no two of different pushes make a frame."""
    hops = np.repeat(np.arange(7, dtype=np.float32), HOP_LENGTH)
    joined = frames_of(hops, starts_of(np.array([0, 2, 0, 3, 2])))
    assert joined[:, [0, -1]].tolist() == [[0.0, 1.0], [2.0, 3.0], [3.0, 4.0], [5.0, 6.0]]
    assert frames_of(hops[:0], starts_of(np.array([0, 0]))).shape == (0, FRAME_LENGTH)
