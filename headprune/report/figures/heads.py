"""Figure 6: the heads of a layer, each with its map on the picture and what it says alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from headprune.errors import notice
from headprune.perspectives.heads import Heads
from headprune.perspectives.run import Run
from headprune.report.canvas import empty
from headprune.report.figures import Figures
from headprune.report.figures.heatmap import shown_pictures
from headprune.report.overlay import add_bar, lay_over, read_grey, top_of, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LAYERS = 3
_LETTERS = 30


def draw(run: Run) -> Figures:
    """`heads-0000-layer5` and so on: the first pictures by the last layers that were looked at; with a patch
    `heads-0000-layer5-after` too."""
    layers = run.info.layers[-_MOST_LAYERS:]
    if len(layers) < len(run.info.layers):
        notice(f"figures show the last {_MOST_LAYERS} of {len(run.info.layers)} layers; the run folder has all heads")
    sides = [("", run.before), *([("-after", run.after)] if run.after else [])]
    for number in range(shown_pictures(run)):
        for layer in layers:
            for suffix, found in sides:
                yield f"heads-{number:04d}-layer{layer}{suffix}", _heads(run, found, number, layer, suffix)


def _heads(run: Run, found: Heads, number: int, layer: int, suffix: str) -> Figure:
    place = found.layers.index(layer)
    maps, grey = found.looks.pictures[number], read_grey(run.picture(number))
    said = found.captions[number][place]
    captions = [wrapped(caption, _LETTERS) for caption in said]
    lines = max([caption.count("\n") + 1 for caption in captions], default=1)
    columns = max(1, min(math.ceil(len(said) ** 0.5), 6))
    rows = max(1, math.ceil(len(said) / columns))
    height, width = grey.shape
    # Room for the map, for the head's name above it and the caption below.
    wide = max(5, 2.5 * columns)
    figure = empty(wide, (2.5 * height / width + 0.35 + 0.16 * lines) * rows + 1.4)
    panels: list[Axes] = [*figure.subplots(rows, columns, squeeze=False).flat]
    top = top_of([*maps.heads[place]])
    outliers = [one for one in maps.outliers if one.layer == layer]
    drawn = None
    for head, axes in enumerate(panels):
        if head >= len(said):
            axes.set_axis_off()
            continue
        drawn = lay_over(axes, grey, maps, maps.heads[place, head], outliers, top)
        axes.set_title(f"head {head}", fontsize=9)
        axes.set_xlabel(captions[head], fontsize=8, parse_math=False)
    if drawn is not None:
        add_bar(figure, drawn, panels, found.looks.reader)
    patched = ", with the patch" if suffix else ""
    title = f"{maps.sample}, layer {layer}{patched}: {found.unchanged[number][place]}"
    heads = f"each head, edit {found.edit}" if said else "it has no heads"
    figure.suptitle(f"{wrapped(title, int(11 * wide))}\n{heads}", fontsize=10, parse_math=False)
    return figure
