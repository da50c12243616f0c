"""headprune convert: a LAVIS model as a transformers checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting


def convert(
    model: Annotated[str, typer.Argument(help="lavis:ARCH/TYPE, or a folder that apply wrote of one.")],
    to: Annotated[Path, typer.Option("--to", help="A new folder for the transformers checkpoint.")],
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write MODEL as the transformers checkpoint of the same weights, in float32. Patches of one fit the other."""
    with reporting(as_json, quiet, debug) as output:
        from dataclasses import asdict

        from headprune.jobs.convert import perform_convert

        converted = perform_convert(model, to)
        document = {
            "out": str(converted.out),
            "geometry": asdict(converted.geometry),
            "parameters": converted.parameters,
        }
        text = f"tower: {converted.geometry}\nparameters: {converted.parameters:,}"
        output.result(document, lambda console: console.print(text))
        output.wrote("model", converted.out)
