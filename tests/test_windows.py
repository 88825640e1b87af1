"""Windows of 3 s come every 0.5 s of stream time, through gaps of any length."""

from __future__ import annotations

import pickle
from itertools import pairwise
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.audio.stream import Coding, decode, encode_alaw, encode_mulaw
from emotion_triage.errors import StreamError
from emotion_triage.prosody.lld import LLD_NAMES, lld
from emotion_triage.prosody.vad import STEP_FRAMES, WINDOW_FRAMES, speech_frames
from emotion_triage.prosody.windows import HOP_BYTES, ROW_BYTES, Window, WindowStream, rows_of

ENERGY = LLD_NAMES.index("energy_dbfs")
NOISE = (0.1 * np.random.default_rng(0).standard_normal(20 * 8000)).astype(np.float32)


def push(stream: WindowStream, samples: np.ndarray) -> list[Window]:
    return stream.describe(stream.frames(samples))


def jump(stream: WindowStream, position: int) -> list[Window]:
    hops, lost = stream.jump(position)
    return stream.describe(hops) + stream.lose(lost)


def test_windows_are_the_last_150_rows() -> None:
    """Window n ends with row 25 n - 1 and holds the 150 rows up to it, silent before the first."""
    stream = WindowStream("float32", 8000)
    due = push(stream, NOISE[: 6 * 8000])
    rows = lld(np.lib.stride_tricks.sliding_window_view(NOISE[: 6 * 8000], 320)[::160])
    before = np.full((WINDOW_FRAMES, len(LLD_NAMES)), np.nan, np.float32)
    before[:, ENERGY] = -120.0
    padded = np.concatenate((before, rows))
    assert len(due) == len(rows) // STEP_FRAMES == 11
    for n, window in enumerate(due, start=1):
        np.testing.assert_array_equal(window.rows.T, padded[STEP_FRAMES * n : STEP_FRAMES * n + WINDOW_FRAMES])
        assert window.time_s == pytest.approx(0.5 * n + 0.02)
        assert window.n_new == STEP_FRAMES


def test_the_last_window_holds_what_none_has_shown() -> None:
    """Flushed after 1.1 s, the last window is that of all 54 rows, of which 4 are new; after 1.02 s there is none."""
    stream = WindowStream("float32", 8000)
    push(stream, NOISE[: round(1.1 * 8000)])
    (window,) = stream.last()
    assert window.n_new == 4
    assert window.time_s == pytest.approx(1.1)
    assert (window.rows[ENERGY] > -120).sum() == 54
    exact = WindowStream("float32", 8000)
    push(exact, NOISE[: round(1.02 * 8000)])
    assert exact.last() == []


@given(st.integers(1, 40 * 8000), st.integers(0, 6 * 8000))
def test_a_gap_is_missing_rows(gap: int, before: int) -> None:
    """Rows that hold a missing sample are NaN, all others those of a stream without a gap, at the same stream time."""
    stream = WindowStream("float32", 8000)
    push(stream, NOISE[:before])
    jump(stream, before + gap)
    after = push(stream, NOISE[: 4 * 8000])
    assert after
    for window in after:
        end = round(window.time_s * 8000)
        last = (end - 320) // 160
        assert (last + 1) % STEP_FRAMES == 0
        for back in range(WINDOW_FRAMES):
            start = (last - back) * 160
            missing = start >= 0 and start + 320 > before and start < before + gap
            assert np.isnan(window.rows[ENERGY, -1 - back]) == missing


def test_nothing_heard_makes_no_window() -> None:
    """A step in which every row was lost makes no window, and one in which some were ends with the last heard."""
    stream = WindowStream("float32", 8000)
    push(stream, NOISE[:8000])
    windows_due = jump(stream, 60 * 8000)
    assert [window.time_s for window in windows_due] == [pytest.approx(1.0)]
    assert stream.last() == []


@pytest.mark.parametrize("hours", [1, 24])
def test_a_gap_of_hours_costs_what_one_of_seconds_does(hours: int) -> None:
    """However long the gap, as many rows pass through the window and the state is as large as after ten seconds."""

    def cost(gap_s: int) -> tuple[int, int, list[float]]:
        stream, passed = WindowStream("float32", 8000), []
        push(stream, NOISE[:8000])
        with patch.object(WindowStream, "windows", autospec=True, side_effect=WindowStream.windows) as spy:
            jump(stream, (1 + gap_s) * 8000)
            passed = [len(call.args[1]) // ROW_BYTES for call in spy.call_args_list]
        after = push(stream, NOISE[: 4 * 8000])
        return sum(passed), len(pickle.dumps(stream)) // 100, [window.time_s - gap_s for window in after]

    seconds, long = cost(10), cost(hours * 3600)
    assert long[:2] == seconds[:2]
    assert long[2] == pytest.approx(seconds[2])


def test_the_past_cannot_be_pushed() -> None:
    """A jump back is refused with where the stream is, and leaves it there."""
    stream = WindowStream("pcm16", 16000)
    stream.frames(bytes(3200))
    with pytest.raises(StreamError, match=r"sample 1599, expected 1600 or later \(16000 Hz\)"):
        stream.jump(1599)
    assert stream.source_position == 1600


def test_rows_of_many_blocks_are_the_rows_of_each() -> None:
    """Pushes of any size, empty ones too, are described together as each frame by itself, to the bit."""
    hops = NOISE[: len(NOISE) // 160 * 160].reshape(-1, 160)
    blocks = [hops[start:stop] for start, stop in ((0, 0), (0, 2), (1, 1), (1, 31), (30, 201), (5, 7))]
    streams = [WindowStream("float32", 8000) for _ in blocks]
    for rows, block in zip(rows_of(streams, [block.tobytes() for block in blocks]), blocks, strict=True):
        frames = [np.concatenate(pair)[None] for pair in pairwise(block)]
        assert rows == b"".join(lld(frame).tobytes() for frame in frames)


def test_frames_of_the_line_are_told_by_their_energy_alone() -> None:
    """Between two words nothing of the line is described but its energy; the words are as they ever are."""
    hops = np.random.default_rng(5).standard_normal((60, 160)).astype(np.float32)
    hops *= np.repeat([1e-3, 1e-1, 1e-3, 0.0], 15)[:, None]
    whole = lld(np.concatenate((hops[:-1], hops[1:]), axis=1))
    with patch("emotion_triage.prosody.windows.lld", side_effect=lld) as spy:
        (every,) = rows_of([WindowStream("float32", 8000)], [hops.tobytes()])
    rows = np.frombuffer(every, np.float32).reshape(whole.shape)
    spoken = whole[:, ENERGY] > -50
    assert len(spy.call_args.args[0]) < spoken.sum() + 15  # the floor is not known from the first frame on
    np.testing.assert_array_equal(rows[spoken], whole[spoken])
    np.testing.assert_array_equal(rows[:, ENERGY], whole[:, ENERGY])
    assert np.isnan(np.delete(rows[~spoken][-20:], ENERGY, axis=1)).all()


@pytest.mark.parametrize("coding", ["mulaw", "alaw"])
def test_codes_are_described_as_the_samples_they_stand_for(coding: Coding) -> None:
    """Hops that stay G.711 until the tick decodes them give the rows of the samples decoded one push at a time."""
    codes = np.random.default_rng(3).integers(256, size=(3, 4 * 160), dtype=np.uint8)
    stream, decoded = WindowStream(coding, 8000), WindowStream("float32", 8000)
    for packet in codes:
        hops, samples = stream.frames(packet.tobytes()), decoded.frames(decode(packet.tobytes(), coding))
        assert rows_of([stream], [hops]) == rows_of([decoded], [samples])


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100])
def test_ignored_audio_moves_time_and_leaves_nothing(rate_hz: int) -> None:
    """Audio let pass unheard makes no window, and what follows starts at its own time."""
    stream = WindowStream("float32", rate_hz)
    second = np.resize(NOISE, rate_hz)
    for packet in np.split(np.tile(second, 2)[: rate_hz // 50 * 100], 100):
        assert stream.ignore(packet) == b""
    assert stream.last() == []
    (window, *_) = push(stream, second)
    assert window.time_s == pytest.approx(2.52)
    assert not (window.rows[ENERGY, : -STEP_FRAMES - 1] > -120).any()


def test_nothing_was_lost_before_a_call_began() -> None:
    """The first windows of a call, which began less than 3 s ago, report no lost audio."""
    stream = WindowStream("float32", 8000)
    frames = speech_frames(np.stack([window.rows for window in push(stream, NOISE[: 4 * 8000])]))
    assert not frames.lost_s.any()


def test_a_window_never_ends_after_its_audio() -> None:
    """Where the last sample at 8 kHz ends after the last of the source, the window ends with the source."""
    stream = WindowStream("float32", 11025)
    push(stream, np.resize(NOISE, 17860))
    assert -(-17860 * 8000 // 11025) == 12960 == 79 * 160 + 320
    due = stream.describe(stream.flush()) + stream.last()
    assert due[-1].time_s == stream.position_s == 17860 / 11025


# Seconds


@pytest.mark.parametrize("coding", ["mulaw", "alaw", "float32"])
@pytest.mark.parametrize("cut", [160, 999, 24000])
def test_every_second_is_brought_once(coding: Coding, cut: int) -> None:
    """The seconds that windows bring are the stream, one after another, however it was cut."""
    samples = NOISE[: 6 * 8000 + 2000]
    encode = {"mulaw": encode_mulaw, "alaw": encode_alaw, "float32": np.ndarray.tobytes}[coding]
    encoded, width = bytes(encode(samples)), HOP_BYTES[coding] // 160
    as_g711 = bytes(encode_mulaw(samples)) if coding == "float32" else encoded
    stream = WindowStream(coding, 8000)
    chunks = [encoded[i : i + cut * width] for i in range(0, len(encoded), cut * width)]
    found = [window for chunk in chunks for window in stream.describe(stream.frames(chunk))] + stream.last()
    assert b"".join(window.second for window in found) == as_g711[: 6 * 8000]
    assert [window.end for window in found if window.second] == [50 * k for k in range(1, 7)]


@pytest.mark.parametrize("lost_s", [0.3, 3.0, 7.5, 3600.0])
def test_lost_audio_is_silence_in_a_second(lost_s: float) -> None:
    """Seconds lie on one grid across a gap of any length; what was lost of one is silence."""
    stream = WindowStream("float32", 8000)
    push(stream, NOISE[: round(1.3 * 8000)])
    at = round((1.3 + lost_s) * 8000)
    found = jump(stream, at) + push(stream, NOISE[: 4 * 8000])
    for window in found:
        assert bool(window.second) == (window.end % 50 == 0)
    after = next(window for window in found if window.second and window.end * 160 > at)
    second = decode(after.second, after.coding)
    begins = after.end * 160 - 8000
    lost = max(0, at - begins)
    assert not second[:lost].any() or begins < 1.3 * 8000
    heard = NOISE[max(0, begins - at) :][: 8000 - lost]
    np.testing.assert_array_equal(second[lost:], decode(encode_mulaw(heard), "mulaw"))
