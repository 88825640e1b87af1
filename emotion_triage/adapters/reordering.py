"""Numbered packets put back in order, each at its place in the stream, across a sender that counts anew."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple, TypeAlias

from emotion_triage.adapters.protocol import Audio, Changed, Dropped

__all__ = ["PROBATION", "Reordering"]

PROBATION = 4
"""Packets in a row by which a sender that counts anew, or another one, is believed; Asterisk's own number."""

_RATE_HZ = 8000
# Packets are 20 ms: those of 100 ms wait for one that is missing, then it is lost.
_WAITING = 5
# A count further ahead than 60 s of packets of 20 ms is another count; so is a stamp more than 60 s ahead or 1 s back.
_MAX_AHEAD = 3000
_MAX_GAP = 60 * _RATE_HZ
_MAX_BACK = 1 * _RATE_HZ
# Copies of packets: recognised as far back as these, and no longer once as many come with nothing new between them.
_REMEMBERED = 128
_COPIES = 50

_Event: TypeAlias = Audio | Dropped | Changed
_LATE = Dropped(why="late")
_ANEW = Changed("clock")


class _Packet(NamedTuple):
    number: int
    stamp: int | None
    payload: bytes


class Reordering:
    """Put the packets of one sender in order.

    Up to five packets wait for one that is missing. A packet whose number lies behind is late or a copy, unless its
    successors follow it in a row with nothing of the old count between: then the sender counts anew, and what it sends
    goes on where the stream stands.

    Parameters
    ----------
    tolerance : int
        Samples by which a stamp may be off without making a gap.

    Examples
    --------
    >>> order = Reordering()
    >>> [[event.at for event in order.add(number, 160 * number, bytes(160))] for number in (0, 2, 1)]
    [[0], [], [160, 320]]
    """

    def __init__(self, *, tolerance: int = 0) -> None:
        self._tolerance = tolerance
        self._waiting: list[_Packet] = []
        self._trial: list[_Packet] = []
        self._last: int | None = None
        self._next: int | None = None
        # of the sender's time to the stream's; None, to be found by the next stamp
        self._offset: int | None = 0
        self._heard: dict[int, int] = {}
        self._copies = 0

    @property
    def last(self) -> int | None:
        """The number that came out last; None where a count begins."""
        return self._last

    def add(self, number: int, stamp: int | None, payload: bytes) -> list[_Event]:
        """Return what a packet completes, in order.

        Parameters
        ----------
        number : int
            Its count, which goes up by one a packet.
        stamp : int or None
            The sender's time of its first sample, in samples; None, that it follows the packet before it.
        payload : bytes
            One byte a sample; empty where the packet has no audio and only its number counts.
        """
        last = self._last = number - 1 if self._last is None else self._last
        if not last < number <= last + _MAX_AHEAD:
            return self._doubt(_Packet(number, stamp, payload))
        events = self._acquit() if self._trial else []
        self._copies = 0
        if number == last + 1 and not self._waiting:
            self._place(number, stamp, payload, events)
        elif any(number == other.number for other in self._waiting):
            events.append(_LATE)
        else:
            insort(self._waiting, _Packet(number, stamp, payload))
            self._release(_WAITING, events)
        return events

    def flush(self) -> list[_Event]:
        """Return what waits."""
        events = self._acquit()
        self._release(0, events)
        return events

    def begin_anew(self) -> list[_Event]:
        """Return what waits; the next packet begins another count, and goes on where the stream stands."""
        events = self.flush()
        self._last = None
        self._heard.clear()
        self._copies = 0
        if self._next is not None:
            self._offset = None
        return events

    def _doubt(self, packet: _Packet) -> list[_Event]:
        """Take a packet that the count does not explain: a copy, a late one, or the first of another count."""
        if self._heard.get(packet.number) == hash(packet.payload) and self._copies < _COPIES:
            self._copies += 1
            return [_LATE]
        follows = self._trial and packet.number == self._trial[-1].number + 1
        events = [] if follows else self._acquit()
        self._trial.append(packet)
        if len(self._trial) >= PROBATION:
            trial, self._trial = self._trial, []
            events += self.begin_anew()
            events.append(_ANEW)
            for each in trial:
                events += self.add(*each)
        return events

    def _acquit(self) -> list[_Event]:
        """Let go of packets that did not become another count: they came late."""
        late, self._trial = self._trial, []
        return [_LATE] * len(late)

    def _release(self, waiting: int, events: list[_Event]) -> None:
        """Place packets whose turn it is: the next, one that follows in time, or any once more than `waiting` wait."""
        while self._waiting:
            packet = self._waiting[0]
            if not self._follows(packet) and len(self._waiting) <= waiting:
                return
            del self._waiting[0]
            self._place(*packet, events)

    def _follows(self, packet: _Packet) -> bool:
        assert self._last is not None
        if packet.number == self._last + 1:
            return True
        if packet.stamp is None or self._offset is None or self._next is None:
            return False
        return packet.stamp + self._offset <= self._next + self._tolerance

    def _place(self, number: int, stamp: int | None, payload: bytes, events: list[_Event]) -> None:
        self._last = number
        if not payload:
            return
        self._heard[number] = hash(payload)
        self._heard.pop(number - _REMEMBERED, None)
        at = self._next
        if at is None:
            # a stream that was joined late, or whose time counts from elsewhere, begins where it is heard first
            at = stamp if stamp is not None and 0 <= stamp <= _MAX_GAP else 0
            self._offset = None if stamp is None else at - stamp
        elif stamp is not None:
            if self._offset is None:
                self._offset = at - stamp
            ahead = stamp + self._offset - at
            if ahead > _MAX_GAP or ahead < -_MAX_BACK:
                self._offset -= ahead
                events.append(_ANEW)
            elif ahead > self._tolerance:
                at += ahead
        self._next = at + len(payload)
        events.append(Audio(payload=payload, at=at))
