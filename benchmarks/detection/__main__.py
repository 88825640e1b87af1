"""Every figure of detection in one command.

    python -m benchmarks.detection CORPORA [--quick] [--only corpora,calls] [--json F] [--card F] [--readme F]

Protocols: corpora, ears, calibration, calls, presets, lines, line_changes, not_speech, groups, operating_points, peers,
rivals, learning; their tables have 95 % intervals. A run with `--only` puts its protocols in place of their like in the
file of `--json` and leaves the others, as long as model, corpora and sizes are the same; `--card` fills a model card
from all that the file then keeps:

    python -m benchmarks.detection CORPORA --only presets,calls,groups --json models/triage.json --card models/triage.md

With `--only ""` nothing is measured: the card and the plots are made again from the file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from benchmarks.detection import (
    calibration,
    calls,
    corpora,
    ears,
    groups,
    learning,
    line_changes,
    lines,
    not_speech,
    operating_points,
    peers,
    presets,
    rivals,
)
from benchmarks.detection.asked import asked
from benchmarks.detection.card import fill, fronted, trained
from benchmarks.detection.clips import chosen
from benchmarks.detection.results import Found, circumstances, comparable, read, write
from benchmarks.detection.study import Size, Study
from emotion_triage.errors import TriageError
from emotion_triage.routing.policy import Policy
from emotion_triage.training.corpora import ANGER, Corpora

PROTOCOLS = {
    module.__name__.rpartition(".")[2]: module.run
    for module in (
        corpora,
        ears,
        calibration,
        calls,
        presets,
        lines,
        line_changes,
        not_speech,
        groups,
        operating_points,
        peers,
        rivals,
        learning,
    )
}
QUICK = Size(passes=1, calls=1, clips=15, line_clips=4, music_s=30.0, draws=1)
QUICK_GROUPS, QUICK_SPEAKERS, QUICK_CLIPS = 3, 2, 50
"""One in so many groups of corpora; of each, so many speakers and clips."""


def few(folder: Corpora) -> Corpora:
    """Return a little of everything."""
    angry = {clip.group for clip in folder.clips if clip.emotion in ANGER}
    others = {clip.group for clip in folder.clips} - angry
    kept = {*sorted(angry)[1::QUICK_GROUPS], *sorted(others)[::QUICK_GROUPS]}
    speakers: dict[str, dict[str, None]] = {group: {} for group in sorted(kept)}
    for clip in folder.clips:
        if clip.group in kept:
            speakers[clip.group][clip.speaker] = None
    first = {speaker for each in speakers.values() for speaker in list(each)[:QUICK_SPEAKERS]}
    clips = chosen([clip for clip in folder.clips if clip.speaker in first], QUICK_CLIPS, seed=0)
    return folder._replace(clips=clips, noises=folder.noises[::10])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="?", default=os.environ.get("EMOTION_TRIAGE_CORPORA") or None, type=Path)
    parser.add_argument("--only", default=",".join(PROTOCOLS), help="protocols, with commas between")
    parser.add_argument("--model", type=Path, help="trained on CORPORA; the one that ships by default")
    parser.add_argument("--policy", help="a TOML policy, or the name of one that ships")
    parser.add_argument("--passes", type=int, default=Size().passes, help="lines that each speaker is trained over")
    parser.add_argument("--calls", type=int, default=Size().calls, help="calls of each kind a speaker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--cache", type=Path, help="keep windows here between runs of the same code")
    parser.add_argument("--json", type=Path, help="results, added to those of the same model in it")
    parser.add_argument("--plots", type=Path, help="folder for plots (matplotlib)")
    parser.add_argument("--card", type=Path, help="model card to fill from the results")
    parser.add_argument("--readme", type=Path, help="README whose figures to write from the results")
    parser.add_argument("--quick", action="store_true", help="a little of everything: shows that it runs, no more")
    options = parser.parse_args()
    if options.corpora is None:
        print("skipped: give a corpora folder, or set EMOTION_TRIAGE_CORPORA")
        return 0
    names = [name for name in options.only.split(",") if name]
    if unknown := set(names) - set(PROTOCOLS):
        parser.error(f"--only: got {', '.join(sorted(unknown))}, expected some of {', '.join(PROTOCOLS)}")
    if options.quick and options.card:
        parser.error("--card: got --quick too, whose figures are of too little; expected one of them")
    try:
        folder, policy = Corpora.read(options.corpora), Policy.load(options.policy)
        study = Study(
            few(folder) if options.quick else folder,
            policy,
            QUICK if options.quick else Size(passes=options.passes, calls=options.calls),
            seed=options.seed,
            workers=options.workers,
            model=options.model,
            cache=options.cache,
        )
        of, kept = circumstances(study), read(options.json) if options.json else {}
        if options.card:
            trained(options.card, str(of["model"]))
    except TriageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results = {name: found for name, found in kept.items() if comparable(found.of, of)}
    if dropped := sorted(set(kept) - set(results)):
        print(f"{options.json}: {', '.join(dropped)} of another model, other corpora or sizes; left out")
    for name in names:
        started = time.monotonic()
        results[name] = Found(of, PROTOCOLS[name](study))
        print(f"\n== {name} ({time.monotonic() - started:.0f} s)")
        for table in results[name].tables:
            print(f"\n{table}", flush=True)
        if options.json:
            write(options.json, results)
    tables = {name: found.tables for name, found in results.items()}
    print(f"\n{asked([table for each in tables.values() for table in each])}")
    if options.plots:
        from benchmarks.detection.plots import draw

        draw(tables, options.plots)
    if options.card:
        fill(options.card, str(of["model"]), results)
    if options.readme:
        text = fronted(options.readme.read_text(encoding="utf-8"), results)
        options.readme.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
