"""The package keeps its own rules: imports point one way, files stay small, importing stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "emotion_triage"
FILES = sorted(PACKAGE.rglob("*.py"))
FRONT_DOOR = {PACKAGE / name for name in ("__init__.py", "__main__.py")}
ROOMS = [file for file in FILES if file not in FRONT_DOOR]
WINGS = sorted(folder.parent for folder in PACKAGE.glob("*/__init__.py") if folder not in FRONT_DOOR)
INSIDE = [file for wing in WINGS for file in sorted(wing.glob("*.py")) if file.stem not in {"__init__", "__main__"}]
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "core", "manager", "common", "misc"}
HEAVY = (
    *("distributed", "fsspec", "jinja2", "librosa", "onnxruntime", "pyarrow", "rich", "scipy", "sklearn"),
    *("soundfile", "sqlalchemy", "typer", "vl_convert"),
)


def ranks(order: str) -> dict[str, int]:
    """Each name's rank in an order line: names between two `<` share one."""
    return {name.strip(): rank for rank, names in enumerate(order.split("<")) for name in names.split(",")}


def rank_of_wing() -> dict[str, int]:
    """The order line of ARCHITECTURE.md."""
    return ranks(next(line for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines() if " < " in line))


def rank_inside(wing: Path) -> dict[str, int]:
    """The reading order that a wing states in its docstring."""
    stated = ast.get_docstring(ast.parse((wing / "__init__.py").read_text())) or ""
    order = re.search(r"Reading order: ([^.]+)\.", stated)
    assert order, f"{wing.name}/__init__.py states no reading order"
    return ranks(order[1])


def imported(file: Path) -> set[str]:
    """Dotted names of this package that a file imports, anywhere in it, `if TYPE_CHECKING` included."""
    package = ["emotion_triage", *file.relative_to(PACKAGE).parts[:-1]]
    dotted: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            dotted.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, node.module] if node.module else above)
            dotted.update(f"{origin}.{alias.name}" for alias in node.names)
    return {name for name in dotted if name.startswith("emotion_triage.")}


def wing_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def loaded_by(code: str) -> list[str]:
    """The heavy modules that are loaded once a fresh interpreter has run the code."""
    probe = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


def test_the_order_line_names_every_wing_and_nothing_else() -> None:
    """Every wing has its place in the order line of ARCHITECTURE.md, and the line names no other."""
    assert set(rank_of_wing()) == {wing_of(file) for file in ROOMS}


@pytest.mark.parametrize("file", ROOMS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_between_wings_point_one_way(file: Path) -> None:
    """A wing imports only wings to its left, and never the front door, which names them all."""
    rank, wing = rank_of_wing(), wing_of(file)
    left = {other for other in rank if rank[other] < rank[wing]} | {wing, "__version__"}
    wrong = {name.split(".")[1] for name in imported(file)} - left
    assert not wrong, f"{file.name} imports {sorted(wrong)}, which are not to the left of {wing}"


@pytest.mark.parametrize("wing", WINGS, ids=lambda wing: wing.name)
def test_a_wing_states_the_order_of_its_files(wing: Path) -> None:
    """A wing's docstring names each of its files once, in reading order, and no other."""
    assert set(rank_inside(wing)) == {file.stem for file in wing.glob("*.py")} - {"__init__", "__main__"}


@pytest.mark.parametrize("file", INSIDE, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_inside_a_wing_follow_its_reading_order(file: Path) -> None:
    """A file imports only files of its wing that stand before it in the reading order."""
    rank, prefix = rank_inside(file.parent), f"emotion_triage.{file.parent.name}."
    names = {name.removeprefix(prefix).split(".")[0] for name in imported(file) if name.startswith(prefix)}
    wrong = {name for name in names & set(rank) if rank[name] >= rank[file.stem]}
    assert not wrong, f"{file.name} imports {sorted(wrong)}, which do not stand before it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_is_small(file: Path) -> None:
    """No file of the package is longer than 400 lines."""
    assert len(file.read_text().splitlines()) <= MAX_LINES


def test_no_file_is_named_for_what_it_is_not() -> None:
    """No file or folder of the package has a name that says nothing."""
    names = {part for file in FILES for part in file.relative_to(PACKAGE).with_suffix("").parts}
    words = {word for name in names for word in re.split(r"_+", name)}
    assert not words & FORBIDDEN_NAMES


def test_importing_loads_nothing_heavy() -> None:
    """`import emotion_triage` loads no ONNX runtime, file reader, training or terminal library."""
    assert loaded_by("import emotion_triage") == []


def test_naming_every_public_name_loads_nothing_heavy() -> None:
    """Even touching every public name, as an editor does, loads nothing heavy."""
    touch = "import emotion_triage as et\nfor name in getattr(et, '__all__', []): getattr(et, name)"
    assert loaded_by(touch) == []


@pytest.mark.parametrize(
    "file", [*FILES, *PACKAGE.rglob("*.html"), *PACKAGE.rglob("*.toml")], ids=lambda file: file.name
)
def test_a_person_is_they(file: Path) -> None:
    """Code, comments, messages and pages call a caller, an agent and a supervisor they."""
    assert not re.findall(r"\b(?:he|his|him|himself)\b", file.read_text(encoding="utf-8"), re.IGNORECASE)
