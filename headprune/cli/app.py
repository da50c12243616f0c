"""Assembles the commands; each lives in a file of its own."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from headprune import __version__
from headprune.cli import (
    apply,
    caption,
    concreteness,
    convergence,
    convert,
    dataflow,
    evaluate,
    heads,
    heatmap,
    layers,
    lesion,
    patch,
    plugins,
    recipe,
    report,
    runs,
    score,
)

app = typer.Typer(
    help=(
        "What every attention head of a vision tower contributes, in words, and a model pruned accordingly. "
        "Layers and heads are 0-based: layer 0 is the first block, -1 the last."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: it starts in a third of the time, and reads as well through a pipe.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"headprune {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Leave out every plugin that did not come with headprune.")
    ] = False,
) -> None:
    if no_plugins:
        # Into the environment, so that it holds for what this process starts, too.
        os.environ["HEADPRUNE_NO_PLUGINS"] = "1"


app.command("score", short_help="Weigh every head on a few samples.")(score.score)
app.command("apply", short_help="Export a pruned model.")(apply.apply)
app.command("evaluate", short_help="Compare before and after a patch.")(evaluate.evaluate)
app.command("caption", short_help="What a model, layer or head says.")(caption.caption)
app.command("dataflow", short_help="What every head adds to the stream.")(dataflow.dataflow)
app.command("heatmap", short_help="Where every layer and head looks.")(heatmap.heatmap)
app.command("heads", short_help="What every head of a layer says, and where it looks.")(heads.heads)
app.command("layers", short_help="What every layer says.")(layers.layers)
app.command("lesion", short_help="What is said without a layer's attention, or its stream.")(lesion.lesion)
app.command("convergence", short_help="From which layer on the answer stands.")(convergence.convergence)
app.command("report", short_help="Make a page of runs.")(report.report)
app.command("concreteness", short_help="How concrete what every layer says is.")(concreteness.concreteness)
app.command("convert", short_help="Write a LAVIS model as a transformers checkpoint.")(convert.convert)
app.add_typer(patch.app, name="patch")
app.add_typer(plugins.app, name="plugins")
app.add_typer(recipe.app, name="recipe")
app.add_typer(runs.app, name="runs")


def main() -> None:
    """The `headprune` command."""
    app()
