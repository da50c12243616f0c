"""headprune layers: what every layer says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headprune.cli import options as o
from headprune.cli.output import NOTHING, interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.layers import Layers
    from headprune.perspectives.run import Run


@perspective
def layers(asked: Asked, scorer: o.Scorer = None, scorer_option: o.ScorerOption = None) -> None:
    """What every layer says, and how much it changes what the one before it said (Eq. 9). Layers are 0-based."""
    asked.run(
        "layers",
        lambda: {"scorer": scorer, "scorer_options": o.pairs(scorer_option, "--scorer-option")},
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
    )


def _table(found: Layers, run: Run, title: str) -> RenderableType:
    rows = [
        (str(layer), interval(found.change[column], ".3f"), found.captions[0][column] or NOTHING)
        for column, layer in enumerate(found.layers)
    ]
    first = run.info.samples[0].id
    columns = ("layer", f"dS, {run.info.scorer} [95 %]", f"what it says of {first}")
    sense = "gained over the one before" if found.gained else "against the one before's"
    what = f"what layers say of {len(found.captions)} pictures{title}; dS: caption {sense}"
    return table(what, columns, rows, left=3)
