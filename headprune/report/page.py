"""The page: one HTML file that asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from headprune.errors import notice
from headprune.report.canvas import plain
from headprune.report.scored import table1
from headprune.report.sections.coefficients import head_tables
from headprune.report.sections.figures import findings
from headprune.report.sections.made import made
from headprune.report.sections.pictures import pictures
from headprune.report.subjects import Source, Subject, subjects

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_PICTURES = 20


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and how many of how many pictures it shows."""

    html: str
    shown: int
    pictures: int


def render(sources: Sequence[Source], version: str) -> Page:
    """The page of some runs; the same runs give the same page.

    Args:
        sources: the runs. Of each model and dataset the first 20 pictures are shown.
        version: of this headprune.

    Raises:
        HeadpruneError: a picture or recipe of a run cannot be read.
    """
    parts = [_subject(subject, f"s{number}") for number, subject in enumerate(subjects(sources))]
    shown, total = (sum(part[name] for part in parts) for name in ("shown", "total"))
    if any(part["shown"] == MOST_PICTURES < part["total"] for part in parts):
        notice(f"the page shows the first {MOST_PICTURES} pictures of a model and dataset: {shown} of {total}")
    environment = _environment()
    script = _text("page.js")
    html = environment.get_template("page.html").render(
        version=version,
        subjects=parts,
        shown=shown,
        total=total,
        runs=[made(source) for source in sources],
        style=_trusted(_text("page.css")),
        script=_trusted(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )
    return Page(html, shown, total)


def _subject(subject: Subject, key: str) -> dict[str, Any]:
    shown = list(pictures(subject, key, MOST_PICTURES))
    return {
        "key": key,
        "model": subject.model,
        "data": subject.data,
        "pictures": shown,
        "shown": len(shown),
        "total": len(subject.samples()),
        "reader": next((side.reader for picture in shown for side in picture.sides if side.reader), None),
        "scorer": next((side.scorer for picture in shown for side in picture.sides if side.scorer), None),
        "scored": [
            (one, list(head_tables(one)), table1(one.measured) if one.measured else None) for one in subject.scored
        ],
        "findings": [findings(run) for run in subject.perspectives],
    }


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("headprune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    """What someone else wrote without characters that are not seen, or that turn the text around them."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "\n".join(plain(line) for line in value.replace("\r\n", "\n").split("\n"))


def _text(name: str) -> str:
    return (files("headprune.report") / "templates" / name).read_text(encoding="utf-8")


def _trusted(text: str) -> Any:
    """Our own style and script: no word of a run is in them."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704
