"""headprune dataflow: what each head, the bias and the MLP add to the residual stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli.output import interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.dataflow import DataFlow
    from headprune.perspectives.run import Run


@perspective
def dataflow(
    asked: Asked,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="Where: cls, mean (over all tokens), or a token's number, 0-based. (default: cls where there is one)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """What each head, the bias and the MLP add to the residual stream (Eq. 3-6). Layers, heads, tokens are 0-based."""
    asked.run(
        "dataflow",
        lambda: {"dataflow": {"token": token}},
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
    )


def _table(found: DataFlow, run: Run, title: str) -> RenderableType:
    import numpy as np

    from headprune.scoring.statistics import mean_intervals

    share, means = found.chosen.share, found.chosen.share.heads.mean(axis=0)
    # A layer that lost all its heads has no share of heads: its sum is 0.
    heads = mean_intervals(np.nansum(share.heads, axis=-1), run.info.seed)
    rows = []
    for row, layer in enumerate(found.layers):
        there = not np.isnan(means[row]).all()
        most = f"{np.nanargmax(means[row])}: {np.nanmax(means[row]):.3f}" if there else "-"
        others = (f"{part[:, row].mean():.3f}" for part in (share.mlp, share.bias))
        update = f"{found.chosen.update[:, row].mean():.2f}"
        rows.append((str(layer), update, interval(heads[row], ".3f"), most, *others))
    where = found.reading(run.info.model.cls)
    what = f"shares of each layer's update u ({where}), {len(found.samples)} pictures{title}"
    return table(what, ("layer", "|u|", "all heads [95 %]", "largest head", "MLP", "bias"), rows)
