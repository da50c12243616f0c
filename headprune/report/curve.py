"""The curve of `--prune auto`: the metric against the share of heads that are pruned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headprune.evaluation.auto import AutoPruning
from headprune.files import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _CHOSEN, _BOUND = "#1f4e79", "#c4510a", "#666666"


def draw_curve(pruning: AutoPruning, path: Path) -> None:
    """Draw a search into a PNG, 800 x 500 pixels.

    The band is the 95 % interval of the difference to fraction 0, paired by picture, around the means: what the
    choice rests on.
    """
    # Loaded when something is drawn: it takes a second. A Figure of its own draws by Agg and leaves pyplot alone.
    from matplotlib import style
    from matplotlib.figure import Figure

    # Whatever a user's matplotlibrc says, a figure of ours looks the same.
    with style.context("default"):
        figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
        _draw(figure.add_subplot(), pruning)
        with writing(path) as part:
            figure.savefig(part, format="png")


def _draw(axes: Axes, pruning: AutoPruning) -> None:
    curve, chosen = pruning.curve, pruning.chosen
    before = curve[0].score.mean
    x = [100 * point.fraction for point in curve]
    low, high = ([before + getattr(point.difference, end) for point in curve] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=_INK, alpha=0.18, linewidth=0, label="95 % interval of the difference to 0 %")
    axes.plot(x, [point.score.mean for point in curve], color=_INK, marker="o", markersize=4, label="mean")
    bound = f"allowed: {pruning.bound:.3f}, {100 * pruning.max_drop:g} % below {before:.3f}"
    axes.axhline(pruning.bound, color=_BOUND, linestyle="--", linewidth=1.2, label=bound)
    heads = f"{chosen.heads} head{'' if chosen.heads == 1 else 's'}"
    axes.plot(
        [100 * chosen.fraction],
        [chosen.score.mean],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=_CHOSEN,
        markeredgewidth=2.2,
        label=f"chosen: {100 * chosen.fraction:g} % ({heads})",
    )
    if pruning.unchanged != curve[0].score:
        level = pruning.unchanged.mean
        axes.axhline(level, color=_BOUND, linestyle=":", linewidth=1.2, label=f"model as it is: {level:.3f}")
    # A scorer's name is the user's: a dollar sign in it is no formula.
    axes.set_ylabel(f"{pruning.scorer}, mean of {pruning.validation} validation pictures", parse_math=False)
    axes.set_xlabel(f"heads pruned, % of the {curve[-1].heads} that were scored")
    axes.set_title(f"--prune auto --scale {pruning.scale}: heads ranked on {pruning.ranking} other pictures")
    axes.set_xlim(-2, 102)
    axes.grid(alpha=0.25)
    axes.legend(framealpha=0.85, edgecolor="none")
