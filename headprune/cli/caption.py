"""headprune caption: what the model says of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting, table


def caption(
    model: Annotated[str, typer.Argument(help="demo, a local folder, a hub id, or backend:ref.")],
    images: Annotated[list[Path], typer.Argument(help="Picture files.")],
    layer: Annotated[
        int | None, typer.Option("--layer", help="Stop after this layer (0-based, -1 is the last).", show_default=False)
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            "--head", help="L.H, 0-based: what head H of layer L says alone, after layer L.", show_default=False
        ),
    ] = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", help="Caption with this patch applied.", show_default=False)
    ] = None,
    scale: o.Scale = None,
    prune: o.Prune = None,
    allow_other_weights: o.AllowOther = False,
    num_beams: o.NumBeams = None,
    max_new_tokens: o.MaxNewTokens = None,
    prompt: o.Prompt = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="What a model without words may answer; may be repeated.", show_default=False),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="The same from a text file, one a line.", show_default=False)
    ] = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Caption pictures with the whole model, one layer's output, or one head alone. Layers and heads are 0-based."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.recipes import resolve

        overrides = {
            "model": model, "adapter": adapter, "revision": revision, "device": device, "dtype": dtype,
            "batch_size": batch_size,
            "generation": {"num_beams": num_beams, "max_new_tokens": max_new_tokens, "prompt": prompt},
            "apply": {"scale": scale, "prune": prune},
        }  # fmt: skip
        recipe = resolve(None, overrides).recipe
        from headprune.jobs.caption import perform_captions
        from headprune.labels import read_labels

        choices = [*(label or ()), *(read_labels(labels) if labels else ())]
        said = perform_captions(recipe, images, layer, head, patch, allow_other_weights, choices)
        rows: list[tuple[str, ...]] = []
        told = []
        for path, words in zip(images, said, strict=True):
            probable = {} if words.probability is None else {"probability": words.probability}
            told.append({"image": str(path), "caption": words.caption, **probable})
            rows.append((path.name, words.caption, *(f"{value:.2f}" for value in probable.values())))
        columns = ("picture", "caption", "probability")[: len(rows[0])]
        output.result({"captions": told}, lambda console: console.print(table("", columns, rows, left=2)))
