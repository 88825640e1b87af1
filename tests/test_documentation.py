"""What the documents show runs as shown."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import emotion_triage
from emotion_triage.cli.app import app
from emotion_triage.routing.policy import Policy
from emotion_triage.synthesis.speech import synthetic_speech

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RUN = {"audit", "calibrate", "demo", "features", "ledger", "log", "model", "policy", "report", "score", "watch"}
"""Commands that need nothing but a reader's folder."""


FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def typed(block: str) -> list[str]:
    """The lines that a reader would type, but for those that need a network."""
    lines = [
        line.removeprefix("$ emotion-triage ") for line in block.splitlines() if line.startswith("$ emotion-triage ")
    ]
    return [line for line in lines if line.split()[0] in RUN and "://" not in line]


@pytest.fixture(scope="module")
def a_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: policy, recordings (one mono), their manifest and contacts, labelled windows."""
    folder = tmp_path_factory.mktemp("reader")
    balanced = ROOT / "emotion_triage" / "policies" / "balanced.toml"
    (folder / "policy.toml").write_text(balanced.read_text())
    caller = np.concatenate([synthetic_speech(15.0, mood=mood, seed=1) for mood in ("calm", "angry")])
    agent = synthetic_speech(30.0, voice="male", seed=2)
    soundfile.write(folder / "call.wav", np.stack([caller, agent], axis=1), 8000)
    soundfile.write(folder / "caller.wav", caller, 8000)
    soundfile.write(folder / "caller.ul", caller, 8000, format="RAW", subtype="ULAW")
    (folder / "recordings").mkdir()
    shutil.copy(folder / "call.wav", folder / "recordings" / "1.wav")
    (folder / "november.csv").write_text("source,call,started_at\nrecordings/1.wav,C1,2026-11-02T09:00:00\n")
    contact = {"caller": None, "agent_id": "a-7", "started_at": "2026-11-02T09:00:00+01:00", "duration_s": 30.0}
    contacts = [json.dumps({"contact_id": name, **contact}) for name in ("C1", "C2")]
    (folder / "contacts.jsonl").write_text("\n".join(contacts))
    shutil.copytree(ROOT / "models", folder / "models")
    shutil.copy(folder / "models" / "triage.onnx", folder / "models" / "mine.onnx")
    rng = np.random.default_rng(0)
    with (folder / "many-labelled.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["caller", "angry", "anger", "anger_alone"])
        for k in range(2400):
            score = float(rng.random())
            table.writerow([f"caller {k % 30}", "yes" if rng.random() < score**2 else "no", score, score])
    return folder


@pytest.fixture
def a_readers_folder(a_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in."""
    shutil.copytree(a_folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER", "sqlite:///ledger.db")
    monkeypatch.setenv("EMOTION_TRIAGE_LEDGER_KEY", "5a" * 32)
    return tmp_path


@pytest.mark.parametrize(
    "document",
    [
        path
        for path in DOCUMENTS
        if any(language in {"python", "console"} for language, _ in FENCE.findall(path.read_text()))
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_document_runs(document: Path, a_readers_folder: Path) -> None:
    """Every python block and every command of a document runs, in its order, given a policy, recordings and packets."""
    payload = (a_readers_folder / "caller.ul").read_bytes()
    packets = [payload[start : start + 160] for start in range(0, len(payload), 160)]
    text = document.read_text()
    done = set()
    for match in FENCE.finditer(text):
        if match[1] == "python":
            lines_before = text[: match.start()].count("\n") + 1
            code = compile("\n" * lines_before + match[2], str(document), "exec")
            exec(code, {"__name__": "snippet", "packets": packets})
        for line in typed(match[2]) if match[1] == "console" else ():
            if line not in done:
                result = CliRunner().invoke(app, shlex.split(line, comments=True))
                assert result.exit_code == 0, (line, result.output, result.exception)
            done.add(line)


@pytest.mark.parametrize("name", ["policy.md", "how-to/write-a-policy.md"])
def test_policies_shown_are_sound(name: str) -> None:
    """Every policy that a document shows can be used as it stands."""
    shown = [block for language, block in FENCE.findall((ROOT / "docs" / name).read_text()) if language == "toml"]
    assert shown
    for block in shown:
        Policy.parse(block)


def test_there_are_snippets() -> None:
    """The README and the tour show how to use the library in python blocks, and how to type it."""
    for name in ("README.md", "docs/tour.md"):
        assert {"python", "console"} <= {language for language, _ in FENCE.findall((ROOT / name).read_text())}


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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_clean(path: Path) -> None:
    """A notebook is stored without outputs and counts, and uses the package that it explains."""
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert "emotion_triage" in "".join(line for cell in code for line in cell["source"])


def test_the_site_shows_a_notebook_with_its_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that was run becomes a page with its pictures beside it."""
    nbconvert = pytest.importorskip("nbconvert")
    pytest.importorskip("mkdocs")
    # its templates lie in the environment that it is installed in, which another may only look into
    monkeypatch.setenv("JUPYTER_PATH", str(Path(nbconvert.__file__).parents[4] / "share" / "jupyter"))
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo="}, "metadata": {}}
    text = {"output_type": "stream", "name": "stdout", "text": "escalated\n"}
    cell = {"cell_type": "code", "id": "a", "source": "run()", "outputs": [picture, text], "metadata": {}}
    path = tmp_path / "05_small.ipynb"
    path.write_text(
        json.dumps({"cells": [cell | {"execution_count": 1}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    pages = site.notebook(path)
    page = pages["notebooks/05_small.md"]
    assert "escalated" in page
    (shown,) = (name for name in pages if name.endswith(".png"))
    assert f"]({shown.removeprefix('notebooks/')})" in page
    assert pages[shown].startswith(b"\x89PNG")
