"""headprune concreteness: from abstract to concrete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.concreteness import Concreteness
    from headprune.perspectives.run import Run


@perspective
def concreteness(
    asked: Asked,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer",
            help="concreteness (by WordNet), judge (asks a server), or any scorer of captions. (default: concreteness)",
            show_default=False,
        ),
    ] = None,
    scorer_option: o.ScorerOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be rated and what it would cost; ask and write nothing.")
    ] = False,
) -> None:
    """How concrete what every layer says is, by several criteria (section 4.4). Layers are 0-based."""
    asked.run(
        "concreteness",
        lambda: {"scorer": scorer, "scorer_options": o.pairs(scorer_option, "--scorer-option")},
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
        dry_run,
    )


def _table(found: Concreteness, run: Run, title: str) -> RenderableType:
    means = [[f"{one.mean:.2f}" for one in intervals] for intervals in found.by_criterion]
    scores = [interval(one, ".2f") for one in found.score]
    title = f"how concrete layers are on {len(found.captions)} pictures, {run.info.scorer}{title}"
    layers = map(str, found.layers)
    if len(found.criteria) > 1:
        columns = ("layer", *found.criteria, "mean [95 %]")
        return table(title, columns, list(zip(layers, *means, scores, strict=True)))
    columns = ("layer", "score [95 %]", f"what it says of {run.info.samples[0].id}")
    return table(title, columns, list(zip(layers, scores, found.captions[0], strict=True)), left=3)
