"""Which places of a picture each layer's heads bring its update from, laid over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headprune.perspectives.dataflow import DataFlow
from headprune.perspectives.run import Run
from headprune.report.canvas import empty, plain
from headprune.report.overlay import lay_within, read_grey
from headprune.scoring.statistics import Floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ACROSS = 6
_OPACITY = 0.7


def source_shares(found: DataFlow, number: int) -> Floats:
    """[L, T], the share of each layer's update that its heads together bring from each token of picture `number`.

    Where projections are averaged over reading tokens it is their part of the average |u|.
    """
    update = found.chosen.update[number]
    shares: Floats = np.nansum(found.sources[number].projection, axis=1) / update[:, None]
    return shares


def draw_sources(run: Run, found: DataFlow, number: int) -> Figure:
    """A panel a layer: the share of its update from each patch of picture `number` of the run, and from all of them.

    Of a picture in tiles it is the one that shows the whole; other tiles, CLS and the like are in no panel.
    """
    grid = found.sources[number].grids[0]
    shares = 100 * source_shares(found, number)[:, list(grid.tokens)]
    grey = read_grey(run.picture(number))
    down = -(-len(found.layers) // _ACROSS)
    across = min(_ACROSS, len(found.layers))
    figure = empty(max(6, 1.7 * across), 1.9 * down + 1.2)
    panels = figure.subplots(down, across, squeeze=False)
    for axes in panels.flat[len(found.layers) :]:
        axes.set_visible(False)
    for axes, layer, values in zip(panels.flat, found.layers, shares, strict=False):
        placed = values.reshape(grid.rows, grid.columns)
        drawn = lay_within(axes, grey, grid, placed, (float(shares.min()), float(shares.max())), _OPACITY)
        axes.set_title(f"layer {layer}: {values.sum():.0f} %", fontsize=9)
    name = plain(found.samples[number])
    reading = found.reading(run.info.model.cls)
    title = f"{name}: where heads bring each layer's update from, and how much from patches ({reading})"
    figure.suptitle(title, fontsize=10, parse_math=False)
    label = "share of the layer's update, % a patch"
    figure.colorbar(drawn, ax=panels, location="bottom", shrink=0.6, aspect=45, label=label)
    return figure
