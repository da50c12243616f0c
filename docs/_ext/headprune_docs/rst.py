"""Pieces of reStructuredText, in which docstrings are read: a name between single backticks is code."""

from __future__ import annotations

import re
from collections.abc import Iterable


def page(title: str, *parts: str) -> str:
    """A whole page."""
    return "\n\n".join([f"{title}\n{'=' * len(title)}", *filter(None, parts)]) + "\n"


def section(title: str, *parts: str) -> str:
    """A section of a page."""
    return "\n\n".join([f"{title}\n{'-' * len(title)}", *filter(None, parts)])


def directive(name: str, argument: str = "", *body: str, **options: str) -> str:
    """`.. name:: argument` with its options and what stands below it."""
    lines = [f".. {name}:: {argument}".rstrip(), *(f"   :{key}: {value}".rstrip() for key, value in options.items())]
    return "\n\n".join(["\n".join(lines), *(_indented(part) for part in body if part)])


def prose(text: str) -> str:
    """Text as it is meant to be read: no mark-up but code, between single backticks or by itself (`--out`)."""
    spans = re.split(r"(`[^`]+`|(?<!\S)--[a-z][a-z-]*)", text)
    plain, codes = spans[::2], spans[1::2]
    told = [f"``{found.strip('`')}``\\ " for found in codes]
    escaped = [re.sub(r"([\\*|_`])", r"\\\1", part) for part in plain]
    return "".join(part for pair in zip(escaped, [*told, ""], strict=True) for part in pair)


def code(text: str) -> str:
    """Text as code, whatever it holds."""
    return f"``{text}``"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they mean."""
    return "\n\n".join(f"{term}\n{_indented(meaning)}" for term, meaning in pairs)


def toctree(*pages: str) -> str:
    """The pages below a page, in order, which its reader finds beside it and, unless it names them itself, on it."""
    return directive("toctree", "", "\n".join(pages), maxdepth="1")


def _indented(text: str) -> str:
    return "\n".join(f"   {line}".rstrip() for line in text.splitlines())
