"""headprune convergence: from which layer on the answer stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.convergence import Converged
    from headprune.perspectives.run import Run


@perspective
def convergence(
    asked: Asked,
    scorer: o.Scorer = None,
    scorer_option: o.ScorerOption = None,
    convergence_scorer: Annotated[
        str | None,
        typer.Option(
            "--convergence-scorer",
            help="Compares a caption with the last layer's; exact: equal ones. (default: bertscore)",
            show_default=False,
        ),
    ] = None,
    convergence_option: Annotated[
        list[str] | None,
        typer.Option("--convergence-option", help="key=value for it, may be repeated.", show_default=False),
    ] = None,
    tau: Annotated[
        float | None,
        typer.Option("--tau", help="Score at which two captions say the same. (default: 0.95)", show_default=False),
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(
            "--tol",
            help="How far from the last layer's score a plateau may be, as a share of it. (default: 0.02)",
            show_default=False,
        ),
    ] = None,
) -> None:
    """From which layer on a model's score and its captions stand still (section 4.3). Layers are 0-based."""
    asked.run(
        "convergence",
        lambda: {
            "evaluate": {
                "scorer": scorer,
                "scorer_options": o.pairs(scorer_option, "--scorer-option"),
                "convergence_scorer": convergence_scorer,
                "convergence_options": o.pairs(convergence_option, "--convergence-option"),
                "tau": tau,
                "tol": tol,
            }
        },
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
    )


def _table(found: Converged, run: Run, title: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    converged = [f"{(found.convergence_layers == layer).sum():d}" for layer in found.layers]
    rows = [
        (str(layer), interval(one, ".3f"), count)
        for layer, one, count in zip(found.layers, found.curve, converged, strict=True)
    ]
    columns = ("layer", f"{run.info.scorer} [95 %]", "pictures that converge here")
    stands = "none, the last score is 0"
    if found.plateau_limits:
        low, high = found.plateau_limits
        stands = f"layer {found.plateau} [{low:g}, {high:g}]"
    return Group(
        table(f"what layers say of {len(found.captions)} pictures{title}", columns, rows),
        Text(f"plateau, within {100 * found.tol:g} % of the last score: {stands}"),
        Text(f"convergence layer: {interval(found.convergence_layer, '.2f')}, mean over pictures"),
    )
