"""headprune recipe: check a recipe, or get the schema for an editor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting, table

app = typer.Typer(help="Check recipes.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A TOML recipe.")],
    allow_local_plugins: o.AllowLocalPlugins = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Read a recipe and show every setting with where it comes from. Plugins check their options when they run."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.hooks.catalogue import catalogue
        from headprune.hooks.local import is_local
        from headprune.recipes import resolve

        resolved = resolve(file, {}, allow_local_plugins)
        recipe = resolved.recipe
        named = [("scorer", recipe.scorer), ("edit", recipe.edit), ("scorer", recipe.evaluate.scorer)]
        named += [(kind, name) for kind in ("adapter", "dataset", "listener") if (name := getattr(recipe, kind))]
        for kind, name in named:
            # A file is looked into only when it is used: checking a recipe runs nothing.
            if not is_local(name):
                catalogue().find(kind, name)
        values = recipe.model_dump(mode="json")
        rows = [(name, _value(values, name), source) for name, source in resolved.sources.items()]
        document = {"recipe": values, "sources": resolved.sources}
        output.result(
            document, lambda console: console.print(table(str(file), ("setting", "value", "from"), rows, left=3))
        )


@app.command()
def schema() -> None:
    """Print the JSON schema of recipes, for editors."""
    from headprune.recipes import schema_json

    typer.echo(schema_json())


def _value(values: dict[str, object], dotted: str) -> str:
    value: object = values
    for name in dotted.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else json.dumps(value)
