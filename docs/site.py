"""What the site shows that is kept elsewhere: files of the repository's root, notebooks, and the commands' own help."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SHOWN = {
    ROOT / "README.md": "index.md",
    ROOT / "ARCHITECTURE.md": "architecture.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "models" / "triage.md": "model-card.md",
    ROOT / "emotion_triage" / "policies" / "balanced.toml": "balanced.md",
}
EXECUTED = ROOT / "out" / "notebooks"
"""Where `make notebooks` leaves them with their outputs; without it the site shows them without."""
SHOWN |= {plot: plot.name for plot in (ROOT / "models").glob("*.png")}
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are kept elsewhere, and the command line's."""
    for path, page in SHOWN.items():
        if path.suffix == ".png":
            files.append(File.generated(config, page, content=path.read_bytes()))
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            text = f"# The balanced policy\n\nWhat a policy leaves out is taken from here.\n\n```toml\n{text}```\n"
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference/commands.md", content=commands()))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        executed = EXECUTED / path.name
        for page, content in notebook(executed if executed.exists() else path).items():
            files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; what has no page keeps its words."""
    at = page.file.src_uri
    origin = next((path for path, shown in SHOWN.items() if shown == at), DOCS / at)

    def linked(match: re.Match[str]) -> str:
        words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, anchor = target.partition("#")[::2]
        aim = (origin.parent / path).resolve()
        if aim in SHOWN:
            to = SHOWN[aim]
        elif aim.is_relative_to(DOCS) and aim.is_file():
            to = aim.relative_to(DOCS).as_posix()
        elif aim.is_relative_to(DOCS) and files.get_file_from_path(aim.relative_to(DOCS).as_posix()):
            return match[0]
        elif aim.exists():
            return words
        else:
            return match[0]  # a fault, for the strict build to find
        relative = os.path.relpath(to, os.path.dirname(at) or ".")
        return f"[{words}]({Path(relative).as_posix()}{'#' if anchor else ''}{anchor})"

    return LINK.sub(linked, markdown)


def notebook(path: Path) -> dict[str, str | bytes]:
    """Return a notebook's page as Markdown, and the pictures of its outputs, by their places on the site."""
    from nbconvert.exporters import MarkdownExporter
    from traitlets.config import Config

    exporter = MarkdownExporter(
        config=Config(
            {
                "ExtractOutputPreprocessor": {
                    "output_filename_template": f"{path.stem}-{{cell_index}}-{{index}}{{extension}}"
                }
            }
        )
    )
    body, resources = exporter.from_filename(str(path))
    pages: dict[str, str | bytes] = {f"notebooks/{path.stem}.md": body}
    return pages | {f"notebooks/{name}": data for name, data in resources.get("outputs", {}).items()}


def commands() -> str:
    """Return the help of every command, as Markdown."""
    import typer
    from typer.cli import get_docs_for_click

    from emotion_triage.cli.app import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="emotion-triage")
    return get_docs_for_click(obj=command, ctx=context, name="emotion-triage", title="Commands")
