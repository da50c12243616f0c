"""What pages tell a reader to save and to type, saved and typed in the order it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.support.snippets import blocks, not_said

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    path.relative_to(DOCS).as_posix()
    for path in (DOCS / "tutorial.md", DOCS / "store.md", *sorted(DOCS.glob("howto/*.md")))
]
# Typed by nobody here: `shell` is what needs the network or a server, the others show what something looks like.
SHOWN = {"shell", "text", "yaml"}
LANGUAGES = {"python", "console", "toml", *SHOWN}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_is_so(page: str, tmp_path: Path):
    desk = Desk(tmp_path)
    for number, block in enumerate(blocks(DOCS / page)):
        assert block.language in LANGUAGES, block
        if block.file:
            saved = desk.folder / block.file
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            (desk.folder / f"block{number}.py").write_text(block.text, encoding="utf-8")
            done = desk.type(f"python block{number}.py")
            assert done.returncode == 0, (block.text, done.stderr)
        elif block.language == "console":
            for command, output in block.commands():
                done = desk.type(command)
                said = done.stdout + done.stderr
                assert not not_said(output, said), (command, not_said(output, said), said)
                # Only what is shown to fail does.
                fails = bool(re.search(r"^error: | breaks \d+ of |^\d+ failed", output, flags=re.M))
                assert (done.returncode != 0) == fails, (command, said)


def test_every_page_is_looked_at():
    """Each tells something to type, but for the page that leads to the others."""
    for page in PAGES:
        typed = [block for block in blocks(DOCS / page) if block.language == "console"]
        assert typed or page == "howto/index.md", page


def test_the_front_page_types_what_readme_types():
    """Which is tried by README's own test."""
    front, readme = (
        [command for block in blocks(page) for command, _ in block.commands()]
        for page in (DOCS / "index.md", DOCS.parent / "README.md")
    )
    assert front and set(front) <= set(readme)
