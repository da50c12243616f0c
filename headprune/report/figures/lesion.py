"""Figure 2: how far each lesion takes the words from what they were, by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headprune.perspectives.lesion import Lesions
from headprune.perspectives.run import Run
from headprune.report.canvas import QUIET, by_layer, curve, empty
from headprune.report.figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# By line as well as by colour: before and after stand in panels of their own.
_LINES = {"mean-input": ("#1f4e79", "-"), "confuse": ("#c4510a", "--")}


def draw(run: Run) -> Figures:
    """`lesion`: a panel a side, 800 x 500 pixels each."""
    found = [run.before, *([run.after] if run.after else [])]
    figure = empty(width=8 * len(found))
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for axes, one, title in zip(panels, found, ("the model as it is", "with the patch"), strict=False):
        _panel(axes, one, run)
        axes.set_title(f"{title}: {len(one.samples)} pictures, bands of 95 %")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2 * len(found), frameon=False
    )
    yield "lesion", figure


def _panel(axes: Axes, found: Lesions, run: Run) -> None:
    layers = [layer for (layer,) in found.alone.places]
    for number, name in enumerate(found.lesions):
        colour, style = _LINES[name]
        curve(axes, layers, found.alone.intervals[number], colour, f"{name}, one layer", style)
        label = f"{name}, layers at once"
        for place, one in zip(found.together.places, found.together.intervals[number], strict=True):
            axes.hlines(one.mean, place[0], place[-1], color=colour, linestyle=style, linewidth=3, label=label)
            axes.vlines((place[0] + place[-1]) / 2, one.low, one.high, color=colour, linewidth=1)
            label = ""
    against = "caption against the one without a lesion"
    if found.unchanged_interval:
        against = "captions against gold"
        axes.axhline(found.unchanged_interval.mean, color=QUIET, linestyle=":", label="without a lesion")
    seen = sorted({*layers, *(layer for place in found.together.places for layer in place)})
    by_layer(axes, seen, f"{run.info.scorer}, {against}")
