"""The pages under `reference/`, made anew whenever the docs are built: nothing has to be kept in step by hand."""

from __future__ import annotations

from pathlib import Path

from headprune.cli.app import app
from headprune_docs.commands import command_line, command_pages
from headprune_docs.contracts import contract_pages
from headprune_docs.hooks import hook_pages
from headprune_docs.names import name_pages
from headprune_docs.recipe import recipe_pages
from headprune_docs.settings import setting_pages


def pages() -> dict[str, str]:
    """Every generated page, by its path below `reference/`."""
    return {
        **command_pages(command_line(app)),
        **recipe_pages(),
        **setting_pages(),
        **hook_pages(),
        **contract_pages(),
        **name_pages(),
    }


def write(made: dict[str, str], folder: Path) -> None:
    """Write pages that changed, and take away those that are no longer made: Sphinx reads a page anew by its date."""
    for path in folder.rglob("*.rst"):
        if path.relative_to(folder).as_posix() not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
