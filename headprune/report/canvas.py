"""What the figures share: colours, an empty figure, a curve with its interval, text that is no formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headprune.types import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE, AFTER, QUIET = "#1f4e79", "#c4510a", "#666666"
"""The model as it is, the model with a patch, and what stands in the background: told apart in grey as well."""
MAP = "viridis"
"""The colour map of all pictures of numbers: perceptually uniform, and read by the colour-blind."""


def empty(width: float = 8, height: float = 5) -> Figure:
    """A figure of width x height inches at 100 dots an inch. It draws by Agg and leaves pyplot alone."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def curve(
    axes: Axes, x: Sequence[float], intervals: Sequence[Interval], colour: str, label: str, style: str = "-"
) -> None:
    """Means over pictures with the band of their 95 % interval."""
    axes.fill_between(
        x, [one.low for one in intervals], [one.high for one in intervals], color=colour, alpha=0.18, linewidth=0
    )
    means = [one.mean for one in intervals]
    axes.plot(x, means, color=colour, linestyle=style, marker="o", markersize=4, label=label)


def by_layer(axes: Axes, layers: Sequence[int], what: str) -> None:
    """Label axes whose x is the layer; `what` may hold a scorer's name, in which a dollar sign is no formula."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("layer (0-based)")
    axes.set_ylabel(what, parse_math=False)
    if len(layers) <= 16:
        axes.set_xticks(list(layers))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)


def plain(text: str) -> str:
    """Text that someone else wrote, fit to be drawn: no control characters. Draw it with parse_math=False."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
