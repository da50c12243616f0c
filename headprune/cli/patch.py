"""headprune patch: look into patches and combine them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import numbers, reporting, table

app = typer.Typer(help="Look into patches and combine them.", no_args_is_help=True, rich_markup_mode=None)

PatchFile = Annotated[Path, typer.Argument(help="A patch.safetensors.")]
Out = Annotated[Path, typer.Option("--out", help="The patch to write.")]


@app.command()
def show(patch: PatchFile, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False) -> None:
    """What a patch does to each head, and where it comes from. Layers and heads are 0-based."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.cli.tables import patch_table
        from headprune.patch.file import load_patch

        loaded = load_patch(patch)
        document = {
            "digest": loaded.digest(),
            "info": loaded.info.model_dump(mode="json"),
            **{name: numbers(getattr(loaded, name)) for name in ("importance", "alpha", "scale", "samples")},
        }
        output.result(document, lambda console: console.print(patch_table(loaded)))


@app.command()
def diff(
    first: PatchFile, second: PatchFile, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False
) -> None:
    """Two patches side by side: rank correlation within layers, and the heads whose scale differs most."""
    with reporting(as_json, quiet, debug) as output:
        import numpy as np

        from headprune.patch.combine import difference
        from headprune.patch.file import load_patch

        a, b = load_patch(first), load_patch(second)
        found = difference(a, b)
        size = np.abs(np.nan_to_num(found.scale))
        order = np.argsort(-size, axis=None, kind="stable")[:10]
        heads = [(int(layer), int(head)) for layer, head in zip(*np.unravel_index(order, size.shape), strict=True)]
        largest = [
            {"layer": layer, "head": head, "first": float(a.scale[layer, head]), "second": float(b.scale[layer, head])}
            for layer, head in heads
            if size[layer, head] > 0
        ]
        rank, rank_all = (None if math.isnan(value) else value for value in (found.rank, found.rank_all))
        document = {
            "layers": found.layers,
            "rank_correlation": rank,
            "rank_correlation_all": rank_all,
            "same_weights": found.same_weights,
            "largest": largest,
            "scale_difference": numbers(found.scale),
        }
        rows = [(f"{d['layer']}.{d['head']}", f"{d['first']:.3f}", f"{d['second']:.3f}") for d in largest]
        correlation = "undefined" if rank is None else f"{rank:.3f}"
        weights = "same" if found.same_weights else "other"
        title = f"rank correlation {correlation} over {len(found.layers)} layers; {weights} weights"
        if rank_all is not None:
            title += f"\nrank correlation {rank_all:.3f} over all heads of them, by importance"
        output.result(
            document, lambda console: console.print(table(title, ("layer.head", str(first), str(second)), rows))
        )


@app.command()
def stack(
    patches: Annotated[list[Path], typer.Argument(help="Two patches or more.")],
    out: Out,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """One patch that does what all of them do one after another: scales multiply."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.patch.combine import stack as stacked
        from headprune.patch.file import load_patch, save_patch

        save_patch(stacked([load_patch(path) for path in patches]), out)
        output.result({"patch": str(out)}, lambda console: None)
        output.wrote("patch", out)


@app.command()
def blend(
    patch: PatchFile,
    out: Out,
    weight: Annotated[float, typer.Option("--weight", help="0 does nothing, 1 is the patch: 1 + w(s - 1).")] = 0.5,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """A patch between doing nothing and PATCH."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.patch.combine import blend as blended
        from headprune.patch.file import load_patch, save_patch

        save_patch(blended(load_patch(patch), weight), out)
        output.result({"patch": str(out)}, lambda console: None)
        output.wrote("patch", out)
