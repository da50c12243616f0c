"""Assembles the commands; each lives in a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from headprune import __version__
from headprune.cli import apply, caption, evaluate, patch, plugins, recipe, score

app = typer.Typer(
    help=(
        "What every attention head of a vision tower contributes, in words, and a model pruned accordingly. "
        "Layers and heads are 0-based: layer 0 is the first block, -1 the last."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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
) -> None:
    pass


app.command("score")(score.score)
app.command("apply")(apply.apply)
app.command("evaluate")(evaluate.evaluate)
app.command("caption")(caption.caption)
app.add_typer(patch.app, name="patch")
app.add_typer(plugins.app, name="plugins")
app.add_typer(recipe.app, name="recipe")


def main() -> None:
    """The `headprune` command."""
    app()
