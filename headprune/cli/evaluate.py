"""headprune evaluate: table 1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.expense import agree
from headprune.cli.output import reporting
from headprune.cli.progress import stage_progress


def evaluate(
    model: o.Model = None,
    data: o.Data = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", help="Evaluate before and after this patch.", show_default=False)
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude", help="A run folder; the samples it was scored on are left out.", show_default=False),
    ] = None,
    scorer: o.Scorer = None,
    scorer_option: o.ScorerOption = None,
    convergence: Annotated[
        bool | None,
        typer.Option("--convergence", help="Also the convergence layer (0-based; section 4.3).", show_default=False),
    ] = None,
    tau: Annotated[
        float | None,
        typer.Option("--tau", help="Score at which two captions say the same. (default: 0.95)", show_default=False),
    ] = None,
    random: Annotated[
        int | None,
        typer.Option("--random", help="Random head sets in the control; 0: none. (default: 10)", show_default=False),
    ] = None,
    scale: o.Scale = None,
    prune: o.Prune = None,
    allow_other_weights: o.AllowOther = False,
    seed: o.Seed = None,
    num_beams: o.NumBeams = None,
    max_new_tokens: o.MaxNewTokens = None,
    prompt: o.Prompt = None,
    recipe: o.Recipe = None,
    allow_local_plugins: o.AllowLocalPlugins = False,
    adapter: o.Adapter = None,
    dataset: o.DatasetReader = None,
    dataset_option: o.DatasetOption = None,
    revision: o.Revision = None,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    yes: o.Yes = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Compare a model before and after a patch, on samples that were not used for scoring (table 1)."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.recipes import resolve

        resolved = resolve(
            recipe,
            {
                "model": model, "data": data, "seed": seed, "revision": revision, "device": device,
                "device_map": device_map, "dtype": dtype, "batch_size": batch_size,
                "adapter": adapter, "dataset": dataset,
                "dataset_options": o.pairs(dataset_option, "--dataset-option"),
                "generation": {"num_beams": num_beams, "max_new_tokens": max_new_tokens, "prompt": prompt},
                "apply": {"scale": scale, "prune": prune},
                "evaluate": {
                    "scorer": scorer, "scorer_options": o.pairs(scorer_option, "--scorer-option"),
                    "convergence": convergence, "tau": tau, "random": random,
                },
            },
            allow_local_plugins,
        )  # fmt: skip
        for message in resolved.notes:
            output.note(message)
        from headprune.cli.tables import evaluation_table
        from headprune.jobs.evaluate import expense_of_evaluate, perform_evaluate

        agree(output, expense_of_evaluate(resolved.recipe, patch is not None), yes)
        with stage_progress(output) as progress:
            done = perform_evaluate(resolved.recipe, patch, exclude, allow_other_weights, progress)
        table = evaluation_table(done.evaluation, done.excluded, done.scorer)
        output.result(done.document(), lambda console: console.print(table))
        if done.kept:
            output.wrote("evaluation", done.kept)
