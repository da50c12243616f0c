"""One file a perspective, each with a function `draw`: its figures, by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headprune.files import writing
from headprune.perspectives.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Figures = Iterator[tuple[str, "Figure"]]
"""Names, as of files, and figures."""


def save_figures(run: Run, folder: Path, form: Literal["png", "svg"] = "png") -> list[Path]:
    """Draw a run's figures into `folder`, which exists: one file each."""
    # Loaded when something is drawn: it takes a second. Whatever a user's matplotlibrc says, ours look the same.
    from matplotlib import rc_context, style

    written = []
    # Equal figures are equal files: an SVG's names are salted, and would be by chance.
    with style.context("default"), rc_context({"svg.hashsalt": "headprune"}):
        for name, figure in draw(run):
            path = folder / f"{name}.{form}"
            with writing(path) as part:
                figure.savefig(part, format=form, metadata={"Date": None} if form == "svg" else None)
            written.append(path)
    return written


def draw(run: Run) -> Figures:
    """The figures of a run, drawn with the settings of matplotlib that are in force."""
    figures: Figures = import_module(f"{__name__}.{run.info.kind}").draw(run)
    return figures
