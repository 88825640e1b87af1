"""The former home of `Triage` and `Call`, which now stand in `emotion_triage.call.triage`."""

from emotion_triage.call.triage import Call, Triage

__all__ = ["Call", "Triage"]
