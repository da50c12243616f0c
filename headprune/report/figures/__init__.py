"""One file a perspective, each with a function `draw`: its figures, by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headprune.files import writing
from headprune.perspectives.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["png", "svg"]
Figures = Iterator[tuple[str, "Figure"]]
"""Names, as of files, and figures."""


def save_figures(run: Run, folder: Path, form: Form = "png") -> list[Path]:
    """Draw a run's figures into `folder`, which exists: one file each."""
    written = []
    for name, data in rendered(run, form):
        path = folder / f"{name}.{form}"
        with writing(path) as part:
            part.write_bytes(data)
        written.append(path)
    return written


def rendered(run: Run, form: Form) -> Iterator[tuple[str, bytes]]:
    """A run's figures as the bytes of files, by name; one is drawn when it is asked for."""
    return rendering(draw(run), form)


def rendering(figures: Figures, form: Form) -> Iterator[tuple[str, bytes]]:
    """Figures as the bytes of files, by name."""
    # Loaded when something is drawn: it takes a second. Whatever a user's matplotlibrc says, ours look the same.
    from matplotlib import rc_context, style

    while True:
        # Equal figures are equal files: an SVG's names are salted, and would be by chance.
        with style.context("default"), rc_context({"svg.hashsalt": "headprune"}):
            name, figure = next(figures, (None, None))
            if name is None or figure is None:
                return
            stream = BytesIO()
            figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else None)
        yield name, stream.getvalue()


def draw(run: Run) -> Figures:
    """The figures of a run, drawn with the settings of matplotlib that are in force."""
    figures: Figures = import_module(f"{__name__}.{run.info.kind}").draw(run)
    return figures
