"""The share that each head, and heads, MLP and bias as a whole, have of each layer's update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headprune.perspectives.dataflow import DataFlow
from headprune.perspectives.run import Run
from headprune.report.canvas import MAP, QUIET, curve, empty
from headprune.report.figures import Figures
from headprune.report.sources import draw_sources
from headprune.scoring.statistics import Floats, mean_intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS = (("all heads", "#1f4e79", "-"), ("MLP", "#c4510a", "--"), ("bias", QUIET, ":"))


def draw(run: Run) -> Figures:
    """`dataflow`: heads by layers over the parts by layer, a column each before and with the patch; `sources`: where
    the first picture's contributions come from, and `sources-after` with the patch."""
    sides = [("", run.before)] if run.after is None else [("as it is: ", run.before), ("with the patch: ", run.after)]
    means = [found.chosen.share.heads.mean(axis=0) for _, found in sides]
    there = np.concatenate([mean[~np.isnan(mean)] for mean in means])
    low, high = (there.min(), there.max()) if len(there) else (0, 1)
    figure = empty(8 * len(sides), 8)
    axes = figure.subplots(2, len(sides), squeeze=False, sharey="row", height_ratios=(3, 2))
    for (title, found), mean, (above, below) in zip(sides, means, axes.T, strict=True):
        image = above.imshow(mean.T, cmap=MAP, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
        # A head that a sliced layer does not have.
        above.set_facecolor("#dddddd")
        above.set_title(f"{title}what heads add, {len(found.samples)} pictures ({found.reading(run.info.model.cls)})")
        above.set_ylabel("head (0-based)")
        _heads(above, mean)
        _parts(below, found, run.info.seed)
        for each in (above, below):
            _layers(each, found)
    figure.colorbar(image, ax=axes[0], label="head's share of the layer's update, mean")
    yield "dataflow", figure
    for name, (_, found) in zip(("sources", "sources-after"), sides, strict=False):
        if found.sources[0].grids:
            yield name, draw_sources(run, found, 0)


def _parts(axes: Axes, found: DataFlow, seed: int) -> None:
    """What all heads, the MLP and the bias have of the update, with bands of 95 %; together 1."""
    share = found.chosen.share
    places = range(len(found.layers))
    for (name, colour, style), values in zip(
        _PARTS, (np.nansum(share.heads, axis=-1), share.mlp, share.bias), strict=True
    ):
        curve(axes, places, mean_intervals(values, seed), colour, name, style)
    axes.set_ylabel("share of the update")
    axes.grid(alpha=0.25)
    axes.legend(framealpha=0.85, edgecolor="none")


def _layers(axes: Axes, found: DataFlow) -> None:
    every = 1 + len(found.layers) // 16
    places = range(0, len(found.layers), every)
    axes.set_xlim(-0.5, len(found.layers) - 0.5)
    axes.set_xticks([*places], [str(found.layers[place]) for place in places])
    axes.set_xlabel("layer (0-based)")


def _heads(axes: Axes, mean: Floats) -> None:
    heads = mean.shape[1]
    axes.set_yticks([*range(0, heads, 1 + heads // 16)])
