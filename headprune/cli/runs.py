"""headprune runs: which runs there are, what they hold, going on with one, and their results for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    help="List runs, look into them, go on with one, export results.", no_args_is_help=True, rich_markup_mode=None
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Argument(help="Where to look, and below it.")] = Path(),
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Every run in FOLDER and below it: how it stands, what it is of, how far it is."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.cli.run_tables import list_table
        from headprune.jobs.runs import as_document, list_runs

        found = list(list_runs(folder))
        if not found:
            output.note(f"no run in {folder} or below it")
        document = {"folder": str(folder), "runs": [as_document(run) for run in found]}

        def show(console: Console) -> None:
            if found:
                console.print(list_table(found, console.width))

        output.result(document, show)


@app.command()
def show(run: RunFolder, as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False) -> None:
    """What a run is of, who worked on it and when, how fast it went, what went wrong, and what it holds."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.cli.run_tables import perspective_table, run_document, run_table
        from headprune.jobs.runs import show_run
        from headprune.perspectives.run import RunInfo

        found = show_run(run)
        if isinstance(found, RunInfo):
            document = {"run": str(run), "state": "finished", **found.model_dump(mode="json")}
            output.result(document, lambda console: console.print(perspective_table(run, found)))
        else:
            output.result(run_document(found), lambda console: console.print(run_table(found)))


@app.command()
def resume(
    run: RunFolder,
    allow_local_plugins: o.AllowLocalPlugins = False,
    device: o.Device = None,
    device_map: o.DeviceMap = None,
    batch_size: o.BatchSize = None,
    engine: o.Engine = None,
    address: o.Address = None,
    workers: o.Workers = None,
    yes: o.Yes = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Go on with a run of headprune score where it stopped. What is given here does not change its results."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.cli.scoring import run_score
        from headprune.jobs.resume import recipe_of_run, where_it_began
        from headprune.runs.overview import State, overview_or_why

        here = run.absolute()
        given = {
            "device": device, "device_map": device_map, "batch_size": batch_size, "engine": engine,
            "ray": {"address": address, "workers": workers},
        }  # fmt: skip
        resolved = recipe_of_run(here, given, allow_local_plugins)
        for message in resolved.notes:
            output.note(message)
        if overview_or_why(here).state is State.FINISHED:
            output.note("the run is finished: what it made is taken as it is")
        with where_it_began(here):
            run_score(output, resolved.recipe, here, yes, dry_run=False)


@app.command()
def export(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", help="The file to write: .parquet or .csv.", show_default=False)],
    table: Annotated[
        Literal["results", "importances"],
        typer.Option("--table", help="results: a row a caption or score; importances: a row a head and sample."),
    ] = "results",
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write a run's results as one flat table for pandas, R or a spreadsheet. Layers and heads are 0-based."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.jobs.runs import export_run

        rows = export_run(run, out, table)
        document = {"run": str(run), "out": str(out), "table": table, "rows": rows}
        output.result(document, lambda console: console.print(f"{rows:,} {'row' if rows == 1 else 'rows'}"))
        output.wrote(table, out)
