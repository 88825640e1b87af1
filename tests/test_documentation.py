"""What the documents show runs as shown."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emotion_triage
from emotion_triage.synthesis import synthetic_speech

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
SNIPPET = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SNIPPETS = [
    pytest.param(
        document,
        match,
        id=f"{document.relative_to(ROOT)}:{document.read_text()[: match.start()].count(chr(10)) + 2}",
    )
    for document in DOCUMENTS
    for match in SNIPPET.finditer(document.read_text())
]


@pytest.fixture
def a_readers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has: a policy, a stereo recording with the caller on the left, a mono one."""
    balanced = ROOT / "emotion_triage" / "policies" / "balanced.toml"
    (tmp_path / "policy.toml").write_text(balanced.read_text())
    caller = np.concatenate([synthetic_speech(15.0, mood=mood, seed=1) for mood in ("calm", "angry")])
    agent = synthetic_speech(30.0, voice="male", seed=2)
    soundfile.write(tmp_path / "call.wav", np.stack([caller, agent], axis=1), 8000)
    soundfile.write(tmp_path / "caller.wav", caller, 8000)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("document", "match"), SNIPPETS)
def test_a_snippet_runs(document: Path, match: re.Match[str], a_readers_folder: Path) -> None:
    """Every fenced python block of the documents runs, given a policy, recordings and mu-law packets."""
    recorded, _ = soundfile.read(a_readers_folder / "caller.wav", dtype="float32")
    soundfile.write(a_readers_folder / "caller.ul", recorded, 8000, format="RAW", subtype="ULAW")
    payload = (a_readers_folder / "caller.ul").read_bytes()
    packets = [payload[start : start + 160] for start in range(0, len(payload), 160)]
    line = document.read_text()[: match.start()].count("\n") + 1
    code = compile("\n" * line + match[1], str(document), "exec")
    exec(code, {"__name__": "snippet", "packets": packets})


def test_there_are_snippets() -> None:
    """The README shows how to use the library in a python block."""
    assert any(snippet.values[0].name == "README.md" for snippet in SNIPPETS)


@pytest.mark.parametrize("document", sorted({*DOCUMENTS, *ROOT.glob("*.md")}), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document names a file or folder that exists."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


def test_the_change_log_knows_the_version() -> None:
    """The change log has a heading for the version that the package says it is, or for what is unreleased."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text or f"## [{emotion_triage.__version__}]" in text
    assert "### Scores" in text
