"""What protocols found, kept in a file that a later run of other protocols adds to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from benchmarks.detection.study import Study
from benchmarks.detection.table import Table
from emotion_triage.affect.classifier import Classifier
from emotion_triage.errors import TriageError

__all__ = ["Found", "circumstances", "comparable", "read", "write"]

FREE = {"policy", "calls"}
"""What may differ between protocols of one file; what a protocol was run with stands beside its tables."""


class Found(NamedTuple):
    """A protocol's tables, and of what model, corpora, policy and size they are."""

    of: dict[str, str | int | float]
    tables: list[Table]


def circumstances(study: Study) -> dict[str, str | int | float]:
    """Return what figures of a study depend on."""
    return {
        "model": Classifier.load(study.model).digest,
        "corpora": study.corpora.digest,
        "clips heard": len(study.corpora.clips),
        "policy": f"{study.policy.name} {study.policy.digest}",
        "seed": study.seed,
        **study.size._asdict(),
    }


def comparable(of: dict[str, str | int | float], now: dict[str, str | int | float]) -> bool:
    """Whether figures belong beside others."""
    return {k: v for k, v in of.items() if k not in FREE} == {k: v for k, v in now.items() if k not in FREE}


def read(path: Path) -> dict[str, Found]:
    """Return what a file keeps, protocol by protocol; nothing where there is no file.

    Raises
    ------
    TriageError
        If the file is not one that `write` wrote.
    """
    if not path.exists():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return {name: Found(each["of"], list(map(Table.from_json, each["tables"]))) for name, each in kept.items()}
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError):
        raise TriageError(
            f"{path}: got no results of this benchmark, expected a file that --json wrote; name another"
        ) from None


def write(path: Path, results: dict[str, Found]) -> None:
    """Keep results, protocol by protocol."""
    figures = {
        name: {"of": found.of, "tables": [table.as_json() for table in found.tables]} for name, found in results.items()
    }
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
