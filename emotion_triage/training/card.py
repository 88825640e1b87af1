"""The model card: every figure in it comes from the training run that writes it, or from the benchmark after it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_triage.affect.classifier import LABELS, Classifier
from emotion_triage.training.corpora import CALM, Corpora
from emotion_triage.training.dataset import NOISE, WindowSet
from emotion_triage.training.figures import Figure, auc, bootstrap, calibration_error
from emotion_triage.training.fit import UNTAUGHT, balanced, known, targets

__all__ = ["MEASURED", "before_measured", "card", "measured", "training_facts"]

MEASURED = "<!-- measured by python -m benchmarks.detection, model {digest} -->"
"""What the benchmark adds to a card begins with this line and goes on to the card's end."""
FALSE_ALARMS = 0.05
"""Share of false alarms at which the card compares groups; a policy has its own thresholds."""
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def training_facts(corpora: Corpora, *, seed: int, passes: int) -> dict[str, str | float | int | list[str]]:
    """Return what the model's contract says of its data."""
    return {
        "manifest_sha256": corpora.digest,
        "corpora": sorted({clip.corpus for clip in corpora.clips}),
        "languages": sorted({clip.language for clip in corpora.clips}),
        "speakers": len({clip.speaker for clip in corpora.clips}),
        "hours": round(sum(clip.duration_s for clip in corpora.clips) / 3600.0, 2),
        "licences": sorted({clip.licence for clip in corpora.clips}),
        "seed": seed,
        "passes": passes,
    }


def card(path: Path, corpora: Corpora, windows: WindowSet, log_odds: Array, parity: float) -> str:
    """Return the card in Markdown.

    Parameters
    ----------
    path : Path
        The model that was written.
    corpora : Corpora
    windows : WindowSet
    log_odds : ndarray of float64, shape (n, n_labels)
        Calibrated, from models that heard neither the corpus nor the speaker.
    parity : float
        Largest difference of the file's probabilities to the trainer's.
    """
    classifier = Classifier.load(path)
    windows = windows.without_embeddings()
    spoken = windows.emotion != NOISE
    heard, scores = windows.take(spoken), log_odds[spoken]
    return "\n".join(
        (
            *_head(path, classifier, corpora, parity),
            *_by_corpus(heard, scores),
            *_all_labels(heard, scores),
            *_by_group(heard, scores),
            *_speech(windows, log_odds),
            *_limits(),
        )
    )


def measured(text: str, digest: str) -> str:
    """Return what the benchmark added to a card of this very model; nothing of what it added to another's."""
    _, mark, rest = text.partition(MEASURED.format(digest=digest))
    return mark + rest


def before_measured(text: str) -> str:
    """Return a card without what the benchmark added to it."""
    return text.partition(MEASURED.partition("{")[0])[0]


def _head(path: Path, classifier: Classifier, corpora: Corpora, parity: float) -> list[str]:
    training = classifier.contract.training
    return [
        f"# Model card: {classifier.contract.name}",
        "",
        "**A research model.** Its weights were fitted to corpora most of which are licensed for research or",
        "non-commercial use only (table below). A contact centre trains its own with",
        "`python -m emotion_triage.training CORPORA` on its own labelled calls.",
        "",
        "**All of its data is acted, prompted or elicited; no natural call and no French emotional speech is in it.**",
        "A French figure is unproven. It measures how a voice sounds, never what a person feels or means.",
        "",
        "This page is written by the training command, and its last part by the benchmark; no figure was typed.",
        "",
        "## Use",
        "",
        "Intended: to recommend a queue for the *caller* of a telephone call, explained, with a person deciding.",
        "Not intended: agents' voices, ending or lengthening a call, lie detection, health, hiring, identification.",
        "",
        "## Model",
        "",
        f"- {len(classifier.contract.features)} features of 3 s of speech (functionals, their changes against the",
        "  caller's baseline, and the tone of voice), to logistic regressions of",
        f"  {', '.join(LABELS)}; calibrated on corpora held out",
        "- the tone of voice: each second of speech is encoded once by the convolutions and the first two blocks of",
        "  Whisper tiny (OpenAI, MIT) as tuned on the speech of 23 languages by Smart Turn v3.2 (Daily, BSD-2-Clause),",
        "  int8, unchanged; linear discriminants make anger, distress and arousal of it, averaged over 3 s",
        "- the encoder's terms are in `NOTICE`; what discriminants and regressions learned from the corpora below is",
        "  under the corpora's terms",
        *(f"- scored but not learned from: {name}" for name in sorted(UNTAUGHT & {c.group for c in corpora.clips})),
        f"- {path.stat().st_size / 1024:.0f} KiB; SHA-256 `{classifier.digest}`",
        f"- parity of the ONNX file with the trainer: {parity:.1e}",
        f"- seed {training['seed']}, {training['passes']} drawn lines a speaker; manifest SHA-256 `{corpora.digest}`",
        "",
        "## Data",
        "",
        "| corpus | languages | speakers | clips | hours | licence |",
        "|---|---|---|---|---|---|",
        *_data(corpora),
        "",
    ]


def _data(corpora: Corpora) -> list[str]:
    by_corpus = defaultdict(list)
    for clip in corpora.clips:
        by_corpus[clip.corpus].append(clip)
    rows = []
    for name, clips in sorted(by_corpus.items()):
        languages = " ".join(sorted({clip.language for clip in clips}))
        hours = sum(clip.duration_s for clip in clips) / 3600.0
        licences = "; ".join(sorted({clip.licence for clip in clips}))
        speakers = len({clip.speaker for clip in clips})
        rows.append(f"| {name} | {languages} | {speakers} | {len(clips)} | {hours:.2f} | {licences} |")
    return rows


def _by_corpus(windows: WindowSet, scores: Array) -> list[str]:
    truth = targets(windows)[:, LABELS.index("anger")]
    calm = np.isin(windows.emotion, sorted(CALM))
    lines = [
        "## Anger on corpora it never heard",
        "",
        "AUC of anger windows against all else and against calm speech; each corpus scored by a model that heard none",
        "of its speakers, over drawn lines (300 to 3400 Hz or wider, noise at 12 to 45 dB, G.711, some clipping). 95 %",
        "intervals by bootstrap over speakers. Alone: the voice by itself. Known: with calm speech of the same caller.",
        "",
        "| corpus | speakers | windows | alone, all else | alone, calm | known, all else | known, calm |",
        "|---|---|---|---|---|---|---|",
    ]
    means = []
    for group in np.unique(windows.group):
        inside = windows.group == group
        if not truth[inside].any() or truth[inside].all():
            continue
        figures = [
            _auc(truth, scores[:, LABELS.index(label)], windows.speaker, inside & usable & among)
            for label, usable in (("anger", inside), ("anger_against_baseline", known(windows)))
            for among in (inside, truth | calm)
        ]
        means.append([figure.value for figure in figures])
        row = " | ".join(map(str, figures))
        lines.append(f"| {group} | {len(np.unique(windows.speaker[inside]))} | {inside.sum()} | {row} |")
    overall = " | ".join(f"**{mean:.3f}**" for mean in np.nanmean(means, axis=0)) if means else "none"
    return [*lines, f"| **mean of corpora** | | | {overall} |", ""]


def _auc(truth: Mask, scores: Array, speakers: NDArray[np.str_], rows: Mask) -> Figure:
    t, s = truth[rows], scores[rows]
    return bootstrap(lambda drawn: auc(t[drawn], s[drawn]), speakers[rows])


def _all_labels(windows: WindowSet, scores: Array) -> list[str]:
    truth, weights = targets(windows), balanced(windows)
    lines = [
        "## Calibration, all corpora held out together",
        "",
        "Every corpus and every emotion in it counts alike, which makes anger about one in five.",
        "The scores are held out; the calibration was fitted to all of them.",
        "",
        "| label | AUC | expected calibration error |",
        "|---|---|---|",
    ]
    for k, label in enumerate(LABELS):
        if label == "speech":
            continue
        rows = known(windows) if label == "anger_against_baseline" else np.ones(len(truth), np.bool_)
        t, s, w = truth[rows, k], scores[rows, k], weights[rows]
        error = calibration_error(t, 1.0 / (1.0 + np.exp(-s)), w)
        lines.append(f"| {label} | {auc(t, s, w):.3f} | {error:.3f} |")
    return [*lines, ""]


def _by_group(windows: WindowSet, scores: Array) -> list[str]:
    rows = known(windows)
    windows, score = windows.take(rows), scores[rows, LABELS.index("anger_against_baseline")]
    angry = targets(windows)[:, LABELS.index("anger")]
    order = np.argsort(score[~angry])
    share = np.cumsum(balanced(windows)[~angry][order])
    threshold = score[~angry][order][np.searchsorted(share, (1.0 - FALSE_ALARMS) * share[-1])]
    alarm = (score > threshold).astype(np.float64)
    lines = [
        f"## Groups, at the threshold that lets {FALSE_ALARMS:.0%} of all other windows pass as anger",
        "",
        "| group | windows | hit rate | false-alarm rate |",
        "|---|---|---|---|",
    ]
    for column in ("gender", "language"):
        values = getattr(windows, column)
        for value in np.unique(values[values != ""]):
            inside = values == value
            rates = [_rate(alarm, windows.speaker, inside & among) for among in (angry, ~angry)]
            lines.append(f"| {value} | {inside.sum()} | {rates[0]} | {rates[1]} |")
    return [*lines, ""]


def _rate(alarm: Array, speakers: NDArray[np.str_], rows: Mask) -> str:
    hits = alarm[rows]
    return str(bootstrap(lambda drawn: float(hits[drawn].mean()), speakers[rows])) if len(hits) else "none"


def _speech(windows: WindowSet, scores: Array) -> list[str]:
    passed = scores[:, LABELS.index("speech")] > 0
    spoken = windows.emotion == NOISE
    lines = [
        "## What is not speech",
        "",
        "Of the windows in which the frame-wise speech detector found enough speech, how many the classifier lets",
        "pass; noise held out kind by kind.",
        "",
        "| what | windows | taken as speech |",
        "|---|---|---|",
        f"| speech | {(~spoken).sum()} | {passed[~spoken].mean():.1%} |",
    ]
    for kind in np.unique(windows.speaker[spoken]):
        inside = spoken & (windows.speaker == kind)
        lines.append(f"| {kind.removeprefix('noise_')} | {inside.sum()} | {passed[inside].mean():.1%} |")
    return [*lines, ""]


def _limits() -> list[str]:
    return [
        "## Where it fails",
        "",
        "- On acted anger of a corpus it never heard it is far from certain: read the intervals, and the lowest rows.",
        "- Joy raises the voice as anger does; it is the most frequent false alarm.",
        "- Cold anger, sarcasm and threats in a low voice have no prosody of hot anger and pass unnoticed.",
        "- Languages without angry speech in the table above are unproven.",
        "- A call is compared with its own first seconds; who is angry from the first word is hardly ever found.",
        "",
    ]
