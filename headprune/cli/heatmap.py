"""headprune heatmap: where layers and heads look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli.output import interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.heatmap import Heatmap
    from headprune.types import Interval

Outliers = Annotated[
    float | None,
    typer.Option(
        "--outliers",
        help="Leave patches out whose output norm is above median + K * MAD; 0: none. (default: 5)",
        metavar="K",
        show_default=False,
    ),
]


@perspective
def heatmap(asked: Asked, outliers: Outliers = None) -> None:
    """Where each layer and each head looks in a picture (Eq. 7-8). Layers and heads are 0-based."""
    asked.run("heatmap", lambda: {"heatmap": {"outliers": outliers}}, lambda run: sides(run, _table))


def _table(found: Heatmap, title: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    counts = [sum(one.layer == layer for maps in found.pictures for one in maps.outliers) for layer in found.layers]
    rows = [
        (str(layer), _limits(share), _limits(change), _mean(l1), _mean(cosine), str(count))
        for layer, share, change, l1, cosine, count in zip(
            found.layers,
            found.mean_attention,
            found.mean_change,
            found.mean_l1,
            found.mean_cosine,
            counts,
            strict=True,
        )
    ]
    reader = "CLS gives" if found.reader == "cls" else "patches give"
    whole = f"A[l]: attention that {reader} patches, {len(found.pictures)} pictures{title}"
    legend = "A[l] and dA[l] count all patches; L1 and cosine compare maps without the outliers of either layer"
    made = table(whole, ("layer", "A[l] [95 %]", "dA[l] [95 %]", "L1", "cosine", "outliers"), rows)
    return Group(made, Text(legend, style="dim")) if sum(counts) else made


def _limits(mean: Interval | None) -> str:
    return interval(mean, ".3f") if mean else "-"


def _mean(mean: Interval | None) -> str:
    return f"{mean.mean:.3f}" if mean else "-"
