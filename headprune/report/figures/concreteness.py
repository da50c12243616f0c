"""Figure 5: from abstract to concrete, over layers."""

from __future__ import annotations

from headprune.perspectives.concreteness import Concreteness
from headprune.perspectives.run import Run
from headprune.report.canvas import AFTER, BEFORE, by_layer, curve, empty, plain
from headprune.report.figures import Figures


def draw(run: Run) -> Figures:
    """`concreteness`: the mean score of each layer, 800 x 500 pixels, and beside it each criterion, 800 more."""
    before: Concreteness = run.before
    several = len(before.criteria) > 1
    columns = (len(before.criteria) + 1) // 2 if several else 0
    figure = empty(8 + 4 * columns)
    grid = figure.add_gridspec(2, 2 + columns)
    axes = figure.add_subplot(grid[:, :2])
    curve(axes, before.layers, before.score, BEFORE, "the model as it is")
    if run.after:
        curve(axes, run.after.layers, run.after.score, AFTER, "with the patch", "--")
        axes.legend(framealpha=0.85, edgecolor="none")
    by_layer(
        axes,
        before.layers,
        f"{run.info.scorer}, mean of {len(before.criteria)} criteria" if several else f"{run.info.scorer}",
    )
    for number, criterion in enumerate(before.criteria if several else ()):
        small = figure.add_subplot(grid[number % 2, 2 + number // 2])
        curve(small, before.layers, before.by_criterion[number], BEFORE, "")
        if run.after:
            curve(small, run.after.layers, run.after.by_criterion[number], AFTER, "", "--")
        by_layer(small, before.layers, "1 to 5")
        # One scale for all of them, and the whole of it: what is flat shall look flat.
        small.set(ylim=(0.8, 5.2), yticks=(1, 3, 5))
        small.set_title(plain(criterion), parse_math=False)
    figure.suptitle(f"how concrete layers are: {len(before.captions)} pictures, bands of 95 %")
    yield "concreteness", figure
