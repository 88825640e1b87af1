"""Count the package's rooms, floors and arrows from its imports, and draw its wings.

``python docs/wings.py`` prints the counts, between wings and inside each; ``--mermaid`` prints the drawing that
ARCHITECTURE.md shows. A room is a wing or a module beside them, an arrow an import of one room by another, a floor a
step of the longest chain of arrows.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "emotion_triage"
Graph = dict[str, set[str]]


def imported(file: Path) -> set[str]:
    """Return the dotted names of the package that a file imports, relative to the package."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name.partition(".")[2] for name in names if name.startswith("emotion_triage.")}


def between_wings() -> Graph:
    """Return each room and the rooms that it imports."""
    graph: Graph = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).with_suffix("").parts[0]
        if room not in {"__init__", "__main__"}:
            graph.setdefault(room, set()).update(name.split(".")[0] for name in imported(file))
    return {room: (others & set(graph)) - {room} for room, others in graph.items()}


def inside(wing: str) -> Graph:
    """Return each file of a wing and the files of it that it imports."""
    files = {file.stem: file for file in (PACKAGE / wing).glob("*.py") if file.stem not in {"__init__", "__main__"}}
    return {
        stem: {name.split(".")[1] for name in imported(file) if name.startswith(f"{wing}.")} & set(files) - {stem}
        for stem, file in files.items()
    }


def floors(graph: Graph) -> int:
    """Return the rooms on the longest chain of arrows."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        height[room] = 1 + max((height[other] for other in graph[room]), default=0)
    return max(height.values(), default=0)


def drawn(graph: Graph) -> Iterable[str]:
    """Yield the lines of a mermaid drawing; an arrow that a longer way says already is left out."""

    def reached(room: str) -> set[str]:
        return graph[room].union(*(reached(other) for other in graph[room]))

    yield "flowchart LR"
    for room, others in sorted(graph.items()):
        longer = set().union(*(reached(other) for other in others))
        yield from (f"    {other} --> {room}" for other in sorted(others - longer))


def counted(name: str, graph: Graph) -> str:
    """Return the counts of a graph as a line."""
    arrows = sum(map(len, graph.values()))
    return f"{name}: {len(graph)} rooms, {floors(graph)} floors, {arrows} arrows"


if __name__ == "__main__":
    wings = between_wings()
    if "--mermaid" in sys.argv[1:]:
        print("\n".join(drawn(wings)))
    else:
        print(counted("emotion_triage", wings))
        for wing in sorted(wings):
            if (PACKAGE / wing).is_dir():
                print("  " + counted(wing, inside(wing)).replace("rooms", "files"))
        lines = max((len(file.read_text(encoding="utf-8").splitlines()), file) for file in PACKAGE.rglob("*.py"))
        print(f"longest file: {lines[1].relative_to(PACKAGE)}, {lines[0]} lines")
