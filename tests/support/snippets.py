"""What pages of Markdown tell a reader to type: blocks of code, commands, and what they are seen to answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.S | re.M)
_NAMED = re.compile(r"# ([\w./-]+\.\w+)\n")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code of a page: its language and its text."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """What it is to be saved as: the name in its first line, a comment; empty where there is none."""
        named = _NAMED.match(self.text)
        return named[1] if named else ""

    def commands(self) -> Iterator[tuple[str, str]]:
        """(command, what is shown of its output) of a console; a line that ends with a backslash goes on."""
        for part in re.split(r"^\$ ", self.text.replace("\\\n", ""), flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def skeleton(text: str) -> list[str]:
    """The lines of an output with numbers made equal and white space collapsed: timings differ between machines. The
    number of a line of code stays."""
    lines = (re.sub(r"(?<!\bline )[+-]?\b\d[\d,.]*", "#", " ".join(line.split())) for line in text.splitlines())
    return [line for line in lines if line]


def not_said(shown: str, said: str) -> list[str]:
    """The lines that a page shows of an output and that are not in it. One that ends with `...` goes on."""
    found = skeleton(said)
    return [line for line in skeleton(shown) if not any(_shows(line, one) for one in found)]


def _shows(shown: str, said: str) -> bool:
    return said.startswith(shown.removesuffix("...")) if shown.endswith("...") else shown == said
