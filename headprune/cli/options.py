"""Options that several commands share, worded once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from headprune.errors import UsageError

Model = Annotated[
    str | None,
    typer.Argument(help="demo, a local folder, a hub id, or backend:ref. May come from --recipe.", show_default=False),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="demo, a folder with metadata.jsonl or .csv, coco:captions.json:images/, whoops, or hub:owner/name.",
        show_default=False,
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option("--adapter", help="The back end that loads MODEL: a name, or ./file.py:Class.", show_default=False),
]
DatasetReader = Annotated[
    str | None,
    typer.Option("--dataset", help="The reader that opens DATA: a name, or ./file.py:Class.", show_default=False),
]
AllowLocalPlugins = Annotated[
    bool,
    typer.Option(
        "--allow-local-plugins",
        help="Trust the recipe: files with plugins that it names are run, and it may choose servers, keys and files.",
    ),
]
Recipe = Annotated[
    Path | None, typer.Option("--recipe", help="A TOML recipe; options given here win.", show_default=False)
]
Scorer = Annotated[
    str | None, typer.Option("--scorer", help="A scorer's name, or ./file.py:Class.", show_default=False)
]
ScorerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer-option", help="key=value, may be repeated; names as in the library behind it.", show_default=False
    ),
]
Edit = Annotated[
    str | None,
    typer.Option(
        "--edit",
        help="isolate, isolate-direct, ablate, mean-ablate, scale, resample, noise, attention-temperature, "
        "or ./file.py:Class. (default: isolate)",
        show_default=False,
    ),
]
EditOption = Annotated[
    list[str] | None, typer.Option("--edit-option", help="key=value for the edit.", show_default=False)
]
Listener = Annotated[
    str | None,
    typer.Option(
        "--listener", help="Hears how the run goes: jsonl, mlflow, wandb, or ./file.py:Class.", show_default=False
    ),
]
ListenerOption = Annotated[
    list[str] | None, typer.Option("--listener-option", help="key=value for the listener.", show_default=False)
]
DatasetOption = Annotated[
    list[str] | None, typer.Option("--dataset-option", help="key=value for the dataset's reader.", show_default=False)
]
Samples = Annotated[int | None, typer.Option("--samples", help="How many pictures. (default: 100)", show_default=False)]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Draws samples and bootstraps intervals. (default: 0)", show_default=False)
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1. (default: auto)", show_default=False)
]
DeviceMap = Annotated[
    str | None, typer.Option("--device-map", help="auto spreads a large model over all GPUs.", show_default=False)
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", help="auto, float32, bfloat16, float16. (default: auto)", show_default=False)
]
Revision = Annotated[str | None, typer.Option("--revision", help="Commit or tag of a hub model.", show_default=False)]
BatchSize = Annotated[
    str | None,
    typer.Option(
        "--batch-size", help="Captions generated at once: a number, or auto. (default: auto)", show_default=False
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="local, or ray: workers on this machine's GPUs, or on a cluster's. (default: local)",
        show_default=False,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="Ray's cluster: HOST:PORT, or auto. (default: one is started here)", show_default=False
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Of Ray. (default: as many as have room)", show_default=False)
]
NumBeams = Annotated[int | None, typer.Option("--num-beams", help="1 is greedy. (default: 1)", show_default=False)]
MaxNewTokens = Annotated[
    int | None, typer.Option("--max-new-tokens", help="Longest caption. (default: 30)", show_default=False)
]
Prompt = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        help="What the model is asked; its family's own by default. Of labels: 'a photo of a {}.'",
        show_default=False,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        "--scale",
        help="What kept heads are multiplied by: mean-one (H*alpha), paper (alpha), none (1). (default: mean-one)",
        show_default=False,
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        "--prune",
        help="Heads to silence: count=K a layer, fraction=F, threshold=T on H*alpha; apply also takes auto.",
        show_default=False,
    ),
]
AllowOther = Annotated[
    bool, typer.Option("--allow-other-weights", help="Apply a patch that was made on other weights of this geometry.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Agree to what a scorer costs that asks a paid service.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def pairs(options: list[str] | None, flag: str) -> dict[str, Any] | None:
    """`key=value` words as a dict; None when there are none, so that a recipe's own table stands.

    Raises:
        UsageError: a word without `=`.
    """
    if not options:
        return None
    wrong = next((option for option in options if "=" not in option), None)
    if wrong is not None:
        raise UsageError(f"{flag} {wrong!r} is not key=value", f"{flag} model_type=DIR_OR_ID")
    return dict(option.split("=", 1) for option in options)
