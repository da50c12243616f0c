"""headprune score: Algorithm 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import Output, reporting
from headprune.cli.scoring import run_score

if TYPE_CHECKING:
    from headprune.recipes.schema import Recipe


def score(
    model: o.Model = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder: patch.safetensors, run.sqlite, recipe.toml.", show_default=False),
    ] = None,
    data: o.Data = None,
    samples: o.Samples = None,
    seed: o.Seed = None,
    layers: Annotated[
        str | None,
        typer.Option("--layers", help="0-based: all, last:4, 24-28, or 3,7. (default: all)", show_default=False),
    ] = None,
    scorer: o.Scorer = None,
    scorer_option: o.ScorerOption = None,
    edit: o.Edit = None,
    edit_option: o.EditOption = None,
    decode_at: Annotated[
        str | None,
        typer.Option(
            "--decode-at",
            help="Put variants into words after their layer, or the last. (default: layer)",
            show_default=False,
        ),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="oneshot or sequential. (default: oneshot)", show_default=False)
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", help="Of the softmax. (default: 1.0)", show_default=False)
    ] = None,
    num_beams: o.NumBeams = None,
    max_new_tokens: o.MaxNewTokens = None,
    prompt: o.Prompt = None,
    recipe: o.Recipe = None,
    allow_local_plugins: o.AllowLocalPlugins = False,
    adapter: o.Adapter = None,
    dataset: o.DatasetReader = None,
    dataset_option: o.DatasetOption = None,
    listener: o.Listener = None,
    listener_option: o.ListenerOption = None,
    revision: o.Revision = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    engine: o.Engine = None,
    address: o.Address = None,
    workers: o.Workers = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be computed; load and write nothing.")
    ] = False,
    yes: o.Yes = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Score every head on a few samples and write the coefficients as a patch (Algorithm 1). Layers are 0-based."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.errors import UsageError
        from headprune.recipes import resolve

        resolved = resolve(
            recipe,
            {
                "model": model, "data": data, "samples": samples, "seed": seed, "layers": layers, "scorer": scorer,
                "scorer_options": o.pairs(scorer_option, "--scorer-option"), "edit": edit,
                "edit_options": o.pairs(edit_option, "--edit-option"), "decode_at": decode_at, "schedule": schedule,
                "temperature": temperature, "adapter": adapter, "dataset": dataset,
                "listener": listener, "listener_options": o.pairs(listener_option, "--listener-option"),
                "revision": revision, "device": device, "device_map": device_map,
                "dtype": dtype, "batch_size": batch_size, "engine": engine,
                "ray": {"address": address, "workers": workers},
                "dataset_options": o.pairs(dataset_option, "--dataset-option"),
                "generation": {"num_beams": num_beams, "max_new_tokens": max_new_tokens, "prompt": prompt},
            },
            allow_local_plugins,
        )  # fmt: skip
        for message in resolved.notes:
            output.note(message)
        if dry_run:
            _say_what_would_be_done(output, resolved.recipe)
            return
        if out is None:
            raise UsageError("score needs a run folder", "--out RUN")
        run_score(output, resolved.recipe, out, yes, dry_run=True)


def _say_what_would_be_done(output: Output, recipe: Recipe) -> None:
    from dataclasses import asdict

    from headprune.cli.tables import estimate_table
    from headprune.jobs.score import dry_run_score

    geometry, estimate, available = dry_run_score(recipe)
    document = {"geometry": asdict(geometry), "samples": recipe.samples, "available": available, **asdict(estimate)}
    output.result(
        document, lambda console: console.print(estimate_table(geometry, estimate, recipe.samples, available))
    )
