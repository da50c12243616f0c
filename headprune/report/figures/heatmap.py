"""Where layers look: A[l] and dA over layers, and for the first pictures a strip of maps, layer by layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headprune.errors import notice
from headprune.perspectives.heatmap import Heatmap, Means
from headprune.perspectives.run import Run
from headprune.report.canvas import AFTER, BEFORE, by_layer, curve, empty
from headprune.report.figures import Figures
from headprune.report.overlay import add_bar, lay_over, read_grey, top_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PICTURES = 4
_COLUMNS = 8


def draw(run: Run) -> Figures:
    """`heatmap`: curves over layers; `heatmap-0000` and so on: strips of the first pictures, and with a patch
    `heatmap-0000-after`."""
    yield "heatmap", _curves(run)
    sides = [("", run.before), *([("-after", run.after)] if run.after else [])]
    for number in range(shown_pictures(run)):
        for suffix, found in sides:
            yield f"heatmap-{number:04d}{suffix}", _strip(run, found, number, suffix)


def shown_pictures(run: Run) -> int:
    """Of how many pictures figures are drawn, the first ones; of all, others are left to a report."""
    pictures = len(run.info.samples)
    if pictures > MOST_PICTURES:
        notice(f"figures show the first {MOST_PICTURES} of {pictures} pictures; the run folder has the maps of all")
    return min(pictures, MOST_PICTURES)


def _curves(run: Run) -> Figure:
    from matplotlib.ticker import PercentFormatter

    figure = empty(8, 9)
    rows: list[Axes] = list(figure.subplots(3, 1, sharex=True))
    given = "that CLS gives" if run.before.reader == "cls" else "given to"
    named = {
        "mean_attention": f"A[l]: attention {given} the patches",
        "mean_change": "dA[l] = A[l] - A[l-1]",
        "mean_cosine": "cosine distance to the map before",
    }
    for axes, (name, what) in zip(rows, named.items(), strict=True):
        _curve(axes, run.before, name, BEFORE, "the model as it is", "-")
        if run.after:
            _curve(axes, run.after, name, AFTER, "with the patch", "--")
        by_layer(axes, run.before.layers, what)
    for axes in rows[:2]:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_xlabel("")
    rows[1].axhline(0, color="black", linewidth=0.8)
    if run.after:
        rows[0].legend(framealpha=0.85, edgecolor="none")
    rows[0].set_title(f"where layers look: {len(run.info.samples)} pictures, bands of 95 %")
    return figure


def _curve(axes: Axes, found: Heatmap, name: str, colour: str, label: str, style: str) -> None:
    """The means of one side of a run; layers that have no such number are left out."""
    means: Means = getattr(found, name)
    known = [(layer, mean) for layer, mean in zip(found.layers, means, strict=True) if mean]
    curve(axes, [layer for layer, _ in known], [mean for _, mean in known], colour, label, style)


def _strip(run: Run, found: Heatmap, number: int, suffix: str) -> Figure:
    """One picture's maps, layer by layer, all in one scale."""
    maps, grey = found.pictures[number], read_grey(run.picture(number))
    columns = min(_COLUMNS, len(found.layers))
    rows = math.ceil(len(found.layers) / columns)
    height, width = grey.shape
    # A colour bar and a title need some width, however few the layers.
    wide = max(5, 1.6 * columns)
    figure = empty(wide, (wide / columns * height / width + 0.3) * rows + 1.0)
    panels: list[Axes] = [*figure.subplots(rows, columns, squeeze=False).flat]
    top = top_of([*maps.maps])
    for place, axes in enumerate(panels):
        if place >= len(found.layers):
            axes.set_axis_off()
            continue
        layer = found.layers[place]
        outliers = [one for one in maps.outliers if one.layer == layer]
        drawn = lay_over(axes, grey, maps, maps.maps[place], outliers, top)
        share = found.attention[number, place]
        axes.set_title(f"layer {layer}: {'no heads' if math.isnan(share) else f'{100 * share:.0f} %'}", fontsize=8)
    add_bar(figure, drawn, panels, found.reader)
    marked = "; x: outliers, filled from their neighbours" if maps.outliers else ""
    patched = ", with the patch" if suffix else ""
    title = f"{maps.sample}{patched}: where layers look, and how much of it lands on patches{marked}"
    figure.suptitle(wrapped(title, int(13 * wide)), fontsize=9, parse_math=False)
    return figure
