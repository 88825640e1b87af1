"""The model card: every figure in it comes from the training run that writes it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_triage.classifier import LABELS, Classifier
from emotion_triage.training.corpora import CALM, Corpora
from emotion_triage.training.dataset import NOISE, WindowSet
from emotion_triage.training.figures import Figure, auc, bootstrap, calibration_error
from emotion_triage.training.fit import targets

__all__ = ["card", "training_facts"]

ALARM = 0.5
"""Probability at which the card counts a window as angry, to compare groups; a policy has its own thresholds."""
Array = NDArray[np.float64]


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
    spoken = windows.emotion != NOISE
    heard, scores = windows.take(spoken), log_odds[spoken]
    return "\n".join(
        (
            *_head(path, classifier, corpora, parity),
            *_by_corpus(heard, scores),
            *_other_labels(heard, scores),
            *_by_group(heard, scores),
            *_speech(windows, log_odds),
            *_limits(corpora),
        )
    )


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
        "This page is written by the training command; no figure in it was typed.",
        "",
        "## Use",
        "",
        "Intended: to recommend a queue for the *caller* of a telephone call, explained, with a person deciding.",
        "Not intended: agents' voices, ending or lengthening a call, lie detection, health, hiring, identification.",
        "",
        "## Model",
        "",
        f"- {len(classifier.contract.features)} functionals of 3 s of speech, standardised, to logistic regressions of "
        f"{', '.join(LABELS)}; calibrated on corpora held out",
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
    return [
        f"| {name} | {' '.join(sorted({c.language for c in clips}))} | {len({c.speaker for c in clips})} | {len(clips)} "
        f"| {sum(c.duration_s for c in clips) / 3600:.2f} | {'; '.join(sorted({c.licence for c in clips}))} |"
        for name, clips in sorted(by_corpus.items())
    ]


def _by_corpus(windows: WindowSet, scores: Array) -> list[str]:
    anger, truth = scores[:, LABELS.index("anger")], targets(windows)[:, LABELS.index("anger")]
    calm = np.isin(windows.emotion, sorted(CALM))
    lines = [
        "## Anger on corpora it never heard",
        "",
        "AUC of windows; each corpus scored by a model that heard none of its speakers, over drawn lines (300 to 3400 Hz",
        "or wider, noise at 12 to 45 dB, G.711, some clipping). 95 % intervals by bootstrap over speakers.",
        "",
        "| corpus | speakers | windows | against all else | against calm speech |",
        "|---|---|---|---|---|",
    ]
    means = []
    for group in np.unique(windows.group):
        inside = windows.group == group
        if not truth[inside].any() or truth[inside].all():
            continue
        row: list[Figure] = []
        for among in (inside, inside & (truth | calm)):
            t, s = truth[among], anger[among]
            row.append(bootstrap(lambda rows, t=t, s=s: auc(t[rows], s[rows]), windows.speaker[among]))  # type: ignore[misc]
        means.append([figure.value for figure in row])
        lines.append(f"| {group} | {len(np.unique(windows.speaker[inside]))} | {inside.sum()} | {row[0]} | {row[1]} |")
    if means:
        overall = np.nanmean(means, axis=0)
        lines.append(f"| **mean of corpora** | | | **{overall[0]:.3f}** | **{overall[1]:.3f}** |")
    return [*lines, ""]


def _other_labels(windows: WindowSet, scores: Array) -> list[str]:
    truth = targets(windows)
    lines = [
        "## All labels, all corpora held out together",
        "",
        "Every corpus counts alike.",
        "",
        "| label | AUC | expected calibration error |",
        "|---|---|---|",
    ]
    weights = _corpus_weights(windows)
    for k, label in enumerate(LABELS[:3]):
        t, s = truth[:, k], scores[:, k]
        figure = bootstrap(
            lambda rows, t=t, s=s: auc(t[rows], s[rows], weights[rows]),  # type: ignore[misc]
            windows.speaker,
            draws=50,
        )
        error = calibration_error(t, 1.0 / (1.0 + np.exp(-s)), weights)
        lines.append(f"| {label} | {figure} | {error:.3f} |")
    return [*lines, ""]


def _corpus_weights(windows: WindowSet) -> Array:
    groups, inverse, counts = np.unique(windows.group, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (counts[inverse] * len(groups)))


def _by_group(windows: WindowSet, scores: Array) -> list[str]:
    at = LABELS.index("anger")
    angry = targets(windows)[:, at]
    alarm = scores[:, at] > np.log(ALARM / (1 - ALARM))
    lines = [
        f"## Groups: windows above {ALARM:.0%} anger",
        "",
        "| group | windows | hit rate | false-alarm rate |",
        "|---|---|---|---|",
    ]
    for column in ("gender", "language"):
        values = getattr(windows, column)
        for value in np.unique(values[values != ""]):
            inside = values == value
            rates = []
            for among in (inside & angry, inside & ~angry):
                hits = alarm[among]
                rates.append(
                    str(bootstrap(lambda rows, hits=hits: float(hits[rows].mean()), windows.speaker[among]))  # type: ignore[misc]
                    if among.any()
                    else "none"
                )
            lines.append(f"| {value} | {inside.sum()} | {rates[0]} | {rates[1]} |")
    return [*lines, ""]


def _speech(windows: WindowSet, scores: Array) -> list[str]:
    passed = scores[:, LABELS.index("speech")] > 0
    spoken = windows.emotion == NOISE
    lines = [
        "## What is not speech",
        "",
        "Of the windows in which the frame-wise speech detector found enough speech, how many the classifier lets pass;",
        "noise held out kind by kind.",
        "",
        "| what | windows | taken as speech |",
        "|---|---|---|",
        f"| speech | {(~spoken).sum()} | {passed[~spoken].mean():.1%} |",
    ]
    for kind in np.unique(windows.speaker[spoken]):
        inside = spoken & (windows.speaker == kind)
        lines.append(f"| {kind.removeprefix('noise_')} | {inside.sum()} | {passed[inside].mean():.1%} |")
    return [*lines, ""]


def _limits(corpora: Corpora) -> list[str]:
    return [
        "## Where it fails",
        "",
        "- On acted anger of a corpus it never heard it is far from certain: read the intervals above, and the lowest rows.",
        "- Joy raises the voice as anger does; it is the most frequent false alarm.",
        "- Cold anger, sarcasm and threats in a low voice have no prosody of hot anger and pass unnoticed.",
        "- Languages not in the table are unproven"
        + (
            "."
            if any(clip.language.startswith("fr") and clip.emotion == "angry" for clip in corpora.clips)
            else ", French among them."
        ),
        "- The caller's own baseline, which a single window does not have, does most of the work in a call.",
        "",
    ]
