"""Every figure of detection in one command.

    python -m benchmarks.detection CORPORA [--quick] [--only corpora,calls] [--json F] [--plots DIR]

Protocols: corpora, calibration, calls, presets, lines, not_speech, groups, peers; their tables have 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.detection import calibration, calls, corpora, groups, lines, not_speech, peers, presets
from benchmarks.detection.clips import chosen
from benchmarks.detection.study import Size, Study
from emotion_triage.errors import TriageError
from emotion_triage.policy import Policy
from emotion_triage.training.corpora import Corpora

PROTOCOLS = {
    module.__name__.rpartition(".")[2]: module.run
    for module in (corpora, calibration, calls, presets, lines, not_speech, groups, peers)
}
QUICK = Size(passes=1, calls=1, clips=20, line_clips=10, steps=10, music_s=60.0)
QUICK_SPEAKERS, QUICK_CLIPS = 2, 70
"""Of each corpus with anger."""


def few(folder: Corpora) -> Corpora:
    """Return a little of everything."""
    speakers: dict[str, dict[str, None]] = {clip.group: {} for clip in folder.clips}
    for clip in folder.clips:
        speakers[clip.group][clip.speaker] = None
    first = {speaker for each in speakers.values() for speaker in list(each)[:QUICK_SPEAKERS]}
    clips = chosen([clip for clip in folder.clips if clip.speaker in first], QUICK_CLIPS, seed=0)
    return folder._replace(clips=clips, noises=folder.noises[::10])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="?", default=os.environ.get("EMOTION_TRIAGE_CORPORA") or None, type=Path)
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="protocols, with commas between")
    parser.add_argument("--policy", help="a TOML policy, or the name of one that ships")
    parser.add_argument("--passes", type=int, default=Size().passes, help="lines that each speaker is trained over")
    parser.add_argument("--calls", type=int, default=Size().calls, help="calls of each kind a speaker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--cache", type=Path, help="keep windows here between runs of the same code")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder for plots (matplotlib)")
    parser.add_argument("--quick", action="store_true", help="a little of everything: shows that it runs, no more")
    options = parser.parse_args()
    if options.corpora is None:
        print("skipped: give a corpora folder, or set EMOTION_TRIAGE_CORPORA")
        return 0
    if unknown := set(options.only.split(",")) - set(PROTOCOLS):
        parser.error(f"--only: got {', '.join(sorted(unknown))}, expected some of {', '.join(PROTOCOLS)}")
    try:
        folder, policy = Corpora.read(options.corpora), Policy.load(options.policy)
    except TriageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.quick:
        folder = few(folder)
    study = Study(
        folder,
        policy,
        QUICK if options.quick else Size(passes=options.passes, calls=options.calls),
        seed=options.seed,
        workers=options.workers,
        cache=options.cache,
    )
    results = {}
    for name in options.only.split(","):
        started = time.monotonic()
        results[name] = PROTOCOLS[name](study)
        print(f"\n== {name} ({time.monotonic() - started:.0f} s)")
        for table in results[name]:
            print(f"\n{table}", flush=True)
    if options.json:
        figures = {name: [table.as_json() for table in tables] for name, tables in results.items()}
        options.json.write_text(json.dumps(figures, indent=2))
    if options.plots:
        from benchmarks.detection.plots import draw

        draw(results, options.plots)
    return 0


if __name__ == "__main__":
    sys.exit(main())
