"""A run of Algorithm 1 as the command line tells of it: `score` begins one, `runs resume` goes on with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from headprune.cli.expense import agree
from headprune.cli.output import Output, numbers
from headprune.cli.progress import scoring_progress

if TYPE_CHECKING:
    from headprune.jobs.score import Scored
    from headprune.recipes.schema import Recipe


def run_score(output: Output, recipe: Recipe, out: Path, yes: bool, dry_run: bool) -> None:
    """Score into the run folder `out`, and tell what came of it; `dry_run` says whether the command has a --dry-run."""
    from headprune.cli.tables import head_table
    from headprune.jobs.score import expense_of_score, perform_score

    agree(output, expense_of_score(recipe), yes, dry_run)
    with scoring_progress(output) as progress:
        scored = perform_score(recipe, out, progress)
    result = scored.result
    if result.reused:
        output.note(f"{result.reused} results were in the run folder already and are not made again")
    output.result(_document(scored), lambda console: console.print(head_table(result)))
    output.wrote("patch", scored.patch)
    output.wrote("run", scored.run)


def _document(scored: Scored) -> dict[str, Any]:
    result = scored.result
    means = {"importance": result.patch.importance, "alpha": result.patch.alpha}
    limits = {"importance": result.importance_limits, "alpha": result.alpha_limits}
    return {
        "patch": str(scored.patch),
        "run": str(scored.run),
        "samples": len(scored.result.drawn.samples),
        "left_out": [{"id": sample.id, "reason": sample.reason} for sample in scored.result.drawn.left_out],
        "layers": [
            {
                "layer": layer,
                **{
                    name: {
                        "mean": numbers(means[name][layer]),
                        "low": numbers(limits[name][0][row]),
                        "high": numbers(limits[name][1][row]),
                    }
                    for name in means
                },
            }
            for row, layer in enumerate(result.layers)
        ],
        "seconds": scored.seconds,
        "decoded": result.decoded,
        "reused": result.reused,
    }
