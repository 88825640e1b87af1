"""Random and damaged messages: no parser raises anything but WireError, and what it yields keeps its promises."""

from __future__ import annotations

import fuzz_wire as fuzz
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

ODD = [b"-1", b"1e400", b"null", b'"', b"9" * 30, b"\xed\xa0\x80"]


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """A good connection's messages, some repeated, swapped, left out, cut, joined or overwritten."""
    parts = draw(st.sampled_from(fuzz.SEEDS[name]))
    kept = draw(st.lists(st.sampled_from(range(len(parts))), max_size=12)) if draw(st.booleans()) else range(len(parts))
    data = bytearray(fuzz.END.join(parts[i] for i in kept))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(len(data), start + 8)))
        data[start:stop] = draw(
            st.one_of(st.binary(max_size=8), st.sampled_from([b"-1", b"1e400", b"null", b'"', b"9" * 30]))
        )
    return bytes(data)


@pytest.mark.parametrize("name", sorted(fuzz.WIRES))
def test_seeds_are_good_calls(name: str) -> None:
    """What is damaged here is, undamaged, a whole call with audio."""
    wire = fuzz.WIRES[name]()
    parts = fuzz.SEEDS[name][0]
    messages = parts if name == "audiosocket" else map(fuzz.message_of, parts)
    kinds = [type(event).__name__ for message in messages for event in wire.receive(message)]
    kinds += [type(event).__name__ for event in wire.end()]
    assert kinds.count("Started") == 1
    assert "Audio" in kinds
    assert kinds[-1] == "Ended"


@pytest.mark.parametrize("name", sorted(fuzz.WIRES))
def test_random_bytes(name: str) -> None:
    """Random bytes, as text or binary, make events or one WireError."""

    @given(st.binary(max_size=200))
    @example(b"")
    def reads(data: bytes) -> None:
        fuzz.read(name, data)

    reads()


@pytest.mark.parametrize("name", sorted(fuzz.WIRES))
def test_damaged_calls(name: str) -> None:
    """Messages of a good call, damaged anywhere, make events that keep their promises or one WireError."""

    @given(damaged(name))
    def reads(data: bytes) -> None:
        fuzz.read(name, data)

    reads()


@given(st.binary(max_size=40), st.integers(0, len(fuzz.SIGNED)))
def test_damaged_signatures(noise: bytes, at: int) -> None:
    """No damage to a signed request lets it in or raises anything but WireError."""
    fuzz.read_signature(fuzz.SIGNED[:at] + noise + fuzz.SIGNED[at + len(noise) :])
