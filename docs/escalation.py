"""Draw ``docs/escalation.svg``: the synthetic caller of the demo, as ``emotion-triage report`` draws any call.

Run ``python docs/escalation.py`` from the repository's root after a change of model, policy or picture.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import soundfile

from emotion_triage.audio.stream import SAMPLE_RATE_HZ
from emotion_triage.batch.scoring import ScoringOptions, run_one
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.call.triage import Triage
from emotion_triage.report.envelope import envelope_of
from emotion_triage.report.pictures import timeline_picture
from emotion_triage.synthesis.demo import synthetic_caller

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "emotion_triage" / "report" / "templates" / "page.html.j2"


def main() -> None:
    """Score the demo's caller and write the picture of the call, in the colours of a light page."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "caller.wav")
        samples = np.concatenate([block for _, block in synthetic_caller(1.0)])
        soundfile.write(recording, samples, SAMPLE_RATE_HZ)
        scored = run_one(Triage.load(), ScoringOptions(caller_channel="mono", timeline=".jsonl"), str(recording))
        timeline = msgspec.json.Decoder(TimelineRow).decode_lines(scored.timeline)
        picture = timeline_picture(timeline, envelope_of(scored.record, timeline), len(samples) / SAMPLE_RATE_HZ, "en")
    colours = dict(re.findall(r"--([\w-]+):\s*([^;}]+)[;}]", PAGE.read_text(encoding="utf-8").partition("@media")[0]))
    drawn = re.sub(r"var\(--([\w-]+)\)", lambda name: colours[name[1]].strip(), picture.wide)
    paper = '<rect width="100%" height="100%" fill="white"/>'
    drawn = re.sub(r"<svg([^>]*)>", rf'<svg xmlns="http://www.w3.org/2000/svg"\1>{paper}', drawn, count=1)
    (ROOT / "docs" / "escalation.svg").write_text(drawn + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
