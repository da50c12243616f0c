"""dS over layers: how much each layer changes what the one before it said."""

from __future__ import annotations

from headprune.perspectives.layers import Layers
from headprune.perspectives.run import Run
from headprune.report.canvas import AFTER, BEFORE, by_layer, curve, empty
from headprune.report.figures import Figures


def draw(run: Run) -> Figures:
    """`layers`: the curve, 800 x 500 pixels."""
    figure = empty()
    axes = figure.add_subplot()
    before: Layers = run.before
    curve(axes, before.layers, before.change, BEFORE, "the model as it is")
    if run.after:
        curve(axes, run.after.layers, run.after.change, AFTER, "with the patch", "--")
        axes.legend(framealpha=0.85, edgecolor="none")
    sense = "gained over the layer before" if before.gained else "caption against the layer before's"
    by_layer(axes, before.layers, f"dS: {run.info.scorer}, {sense}")
    axes.set_title(f"what each layer changes: {len(run.info.samples)} pictures, bands of 95 %")
    yield "layers", figure
