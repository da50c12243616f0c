"""Figure 3: the score of every layer, and where it and the captions stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headprune.perspectives.convergence import Converged
from headprune.perspectives.run import Run
from headprune.report.canvas import AFTER, BEFORE, by_layer, curve, empty
from headprune.report.figures import Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(run: Run) -> Figures:
    """`convergence`: scores over layers above, at which layer how many pictures converge below; 800 x 700 pixels."""
    from matplotlib.ticker import MaxNLocator

    figure = empty(height=7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    before: Converged = run.before
    _side(above, below, before, BEFORE, "-", "the model as it is", -1 if run.after else 0)
    if run.after:
        _side(above, below, run.after, AFTER, "--", "with the patch", 1)
    by_layer(above, before.layers, f"{run.info.scorer}, mean over pictures")
    by_layer(below, before.layers, "pictures that converge")
    above.set_xlabel("")
    above.set_title(f"where the answer stands: {len(before.captions)} pictures, bands of 95 %")
    above.legend(framealpha=0.85, edgecolor="none")
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
    below.yaxis.set_major_locator(MaxNLocator(integer=True))
    yield "convergence", figure


def _side(above: Axes, below: Axes, found: Converged, colour: str, style: str, name: str, place: int) -> None:
    """One side's curve and bars; `place` says on which side of a layer its bars stand, 0 for both."""
    curve(above, found.layers, found.curve, colour, name, style)
    level = found.curve[-1].mean
    # Dashes of the one side stand in the other's gaps, should both have the same plateau.
    dashes = (2 if place > 0 else 0, (2, 2))
    if found.plateau is not None:
        above.axvline(found.plateau, color=colour, linestyle=dashes, label=f"plateau: layer {found.plateau}")
    above.plot(
        [found.layers[-1]],
        [level],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=colour,
        markeredgewidth=2,
        label=f"last layer: {level:.3f}",
    )
    counts = [int((found.convergence_layers == layer).sum()) for layer in found.layers]
    width = 0.4 if place else 0.8
    below.bar([layer + place * width / 2 for layer in found.layers], counts, width, color=colour, alpha=0.7)
    one = found.convergence_layer
    below.axvline(one.mean, color=colour, linestyle=style, label=f"mean {one.mean:.2f} [{one.low:.2f}, {one.high:.2f}]")
