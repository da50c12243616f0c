"""headprune apply: export a pruned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.expense import agree
from headprune.cli.output import reporting
from headprune.cli.progress import scoring_progress


def apply(
    model: Annotated[str, typer.Argument(help="demo, a local folder, a hub id, or backend:ref.")],
    patch: Annotated[Path, typer.Argument(help="RUN/patch.safetensors.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder: a MODEL again, with a model card.")],
    scale: o.Scale = None,
    prune: o.Prune = None,
    how: Annotated[
        str | None,
        typer.Option(
            "--how",
            help="fold: coefficients go into the weights, sizes stay; slice: pruned heads also leave. (default: fold)",
            show_default=False,
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            help="With --prune auto: how far the metric may fall, as a share of it. (default: 0.02)",
            show_default=False,
        ),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            "--scorer", help="With --prune auto: the metric, or ./file.py:Class. (default: cider)", show_default=False
        ),
    ] = None,
    scorer_option: o.ScorerOption = None,
    allow_other_weights: o.AllowOther = False,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    yes: o.Yes = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Export MODEL with PATCH folded into its weights, or with its pruned heads sliced out."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.errors import UsageError
        from headprune.recipes import resolve

        if prune != "auto" and (max_drop is not None or scorer or scorer_option):
            raise UsageError("--max-drop and --scorer are for --prune auto", "add --prune auto, or leave them out")
        overrides = {
            "model": model, "adapter": adapter, "revision": revision, "device": device, "dtype": dtype,
            "apply": {"scale": scale, "prune": prune, "how": how, "max_drop": max_drop},
            "evaluate": {"scorer": scorer, "scorer_options": o.pairs(scorer_option, "--scorer-option")},
        }  # fmt: skip
        resolved = resolve(None, overrides)
        recipe = resolved.recipe
        for message in resolved.notes if prune == "auto" else ():
            output.note(message)
        from rich.console import Group

        from headprune.cli.tables import curve_table
        from headprune.jobs.apply import expense_of_apply, perform_apply

        agree(output, expense_of_apply(recipe, patch), yes)
        with scoring_progress(output) as progress:
            exported = perform_apply(recipe, patch, out, allow_other_weights, progress)
        document = {
            "out": str(exported.out),
            "how": recipe.apply.how,
            "scale": recipe.apply.scale,
            "pruned": [list(head) for head in exported.pruned],
            "parameters_before": exported.parameters_before,
            "parameters_after": exported.parameters_after,
            **({"auto": exported.auto.document()} if exported.auto else {}),
        }
        heads = " ".join(f"{layer}.{head}" for layer, head in exported.pruned) or "none"
        before, after = exported.parameters_before, exported.parameters_after
        sizes = f"{before:,}, unchanged by folding"
        if recipe.apply.how == "slice":
            sizes = f"{before:,} before, {after:,} after ({100 * (1 - after / before):.1f} % fewer)"
        text = f"pruned heads (layer.head, 0-based): {heads}\nparameters: {sizes}"
        shown = Group(curve_table(exported.auto.pruning), text) if exported.auto else text
        output.result(document, lambda console: console.print(shown))
        if exported.auto:
            output.wrote("figure", exported.auto.figure)
        output.wrote("model", exported.out)
