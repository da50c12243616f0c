"""headprune apply: export a pruned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting


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
    allow_other_weights: o.AllowOther = False,
    revision: o.Revision = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Export MODEL with PATCH folded into its weights, or with its pruned heads sliced out."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.recipes import resolve

        overrides = {
            "model": model, "revision": revision, "device": device, "dtype": dtype,
            "apply": {"scale": scale, "prune": prune, "how": how},
        }  # fmt: skip
        recipe = resolve(None, overrides).recipe
        from headprune.jobs.apply import perform_apply

        exported = perform_apply(recipe, patch, out, allow_other_weights)
        document = {
            "out": str(exported.out),
            "how": recipe.apply.how,
            "scale": recipe.apply.scale,
            "pruned": [list(head) for head in exported.pruned],
            "parameters_before": exported.parameters_before,
            "parameters_after": exported.parameters_after,
        }
        heads = " ".join(f"{layer}.{head}" for layer, head in exported.pruned) or "none"
        before, after = exported.parameters_before, exported.parameters_after
        sizes = f"{before:,}, unchanged by folding"
        if recipe.apply.how == "slice":
            sizes = f"{before:,} before, {after:,} after ({100 * (1 - after / before):.1f} % fewer)"
        text = f"pruned heads (layer.head, 0-based): {heads}\nparameters: {sizes}"
        output.result(document, lambda console: console.print(text))
        output.wrote("model", exported.out)
