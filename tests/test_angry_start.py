"""A caller who is angry from the first word is flagged, since their baseline is angry speech."""

from __future__ import annotations

from typing import Any

import pytest

from emotion_triage.affect.affect import Affect
from emotion_triage.batch.record import Record, Summary
from emotion_triage.call.triage import Triage


def affect(time_s: float, anger: float, alone: float | None) -> Affect:
    return Affect(time_s=time_s, anger=anger, distress=0.1, arousal=0.1, speech_s=2.0, lost_s=0.0, anger_alone=alone)


def told(triage: Triage, first: list[float], later: list[float]) -> dict[str, Any]:
    """What a record tells of anger by the voice itself, then against the baseline."""
    summary = Summary(triage.call("c").route, angry_start=0.25)
    for i, anger in enumerate(first):
        summary.add(affect(0.5 * i, anger, None))
    for i, anger in enumerate(later):
        summary.add(affect(10.0 + i, anger, 0.9))
    return summary.as_fields("en")


@pytest.mark.parametrize(
    ("first", "later", "mean", "flagged"),
    [
        ([0.3, 0.5], [0.1], 0.4, True),
        ([0.1, 0.2], [0.9], 0.15, False),
        ([0.1, 0.4], [], 0.25, True),
        ([0.1, 0.39], [0.9, 0.9], 0.245, False),
    ],
)
def test_the_speech_of_the_baseline_decides(
    triage: Triage, first: list[float], later: list[float], mean: float, flagged: bool
) -> None:
    """A record is flagged by its mean anger before the caller had a baseline, whatever came after."""
    fields = told(triage, first, later)
    assert (fields["baseline_anger"], fields["angry_start"]) == (pytest.approx(mean), flagged)


def test_the_flag_is_shown_beside_a_calm_level() -> None:
    """A terminal says that a calm call may have begun angrily, in both languages, and nothing of an escalated one."""
    pytest.importorskip("rich")
    from emotion_triage.cli.terminal import record_line

    fields = {
        "source": "a.wav",
        "status": "scored",
        "caller_channel": "mono",
        "model_digest": "m",
        "policy_digest": "p",
    }
    fields |= {"anger_max": 0.4, "route": "general", "angry_start": True, "drivers": "F0 +9 %"}
    calm = record_line(Record(**fields, peak_level="calm"), "en").plain
    assert calm.endswith("anger 0.40 (F0 +9 %)  → general  angry from the first word?")
    assert "en colère dès le premier mot ?" in record_line(Record(**fields, peak_level="tense"), "fr").plain
    assert "first word" not in record_line(Record(**fields, peak_level="escalated"), "en").plain
