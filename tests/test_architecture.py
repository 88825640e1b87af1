"""The house keeps its own rules: imports point one way, rooms stay small, importing stays light."""

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
ROOMS = [file for file in FILES if file.stem not in {"__init__", "__main__"} or file.parent != PACKAGE]
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "core", "manager", "common", "misc"}
HEAVY = (
    *("distributed", "fsspec", "jinja2", "librosa", "onnxruntime", "pyarrow", "rich", "scipy", "sklearn"),
    *("soundfile", "sqlalchemy", "typer", "vl_convert"),
)


def rank_of_room() -> dict[str, int]:
    """The order line of ARCHITECTURE.md: rooms between two `<` share a rank."""
    line = next(line for line in (ROOT / "ARCHITECTURE.md").read_text().splitlines() if " < " in line)
    return {room.strip(): rank for rank, rooms in enumerate(line.split("<")) for room in rooms.split(",")}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(file: Path) -> set[str]:
    """Rooms of this package that a file imports, anywhere in it, `if TYPE_CHECKING` included."""
    package = ["emotion_triage", *file.relative_to(PACKAGE).parts[:-1]]
    dotted: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            dotted.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, node.module] if node.module else above)
            dotted.update(f"{origin}.{alias.name}" for alias in node.names)
    return {name.split(".")[1] for name in dotted if name.startswith("emotion_triage.")}


def loaded_by(code: str) -> list[str]:
    """The heavy modules that are loaded once a fresh interpreter has run the code."""
    probe = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    return run.stdout.split()


def test_the_order_line_names_every_room() -> None:
    """Every file of the package has its place in the order line of ARCHITECTURE.md."""
    assert {room_of(file) for file in FILES} - {"__init__", "__main__"} <= set(rank_of_room())


@pytest.mark.parametrize("file", ROOMS, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_one_way(file: Path) -> None:
    """A room imports only rooms to its left, and never the front door, which names them all."""
    rank, room = rank_of_room(), room_of(file)
    assert room in rank, f"{room} has no place in the order line of ARCHITECTURE.md"
    left = {other for other in rank if rank[other] < rank[room]} | {room, "__version__"}
    wrong = imported_rooms(file) - left
    assert not wrong, f"{file.name} imports {sorted(wrong)}, which are not to the left of {room}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_room_is_small(file: Path) -> None:
    """No file of the package is longer than 400 lines."""
    assert len(file.read_text().splitlines()) <= MAX_LINES


def test_no_room_is_named_for_what_it_is_not() -> None:
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
