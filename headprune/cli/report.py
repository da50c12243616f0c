"""headprune report: a page of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting
from headprune.cli.progress import stage_progress


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The page, a file; with another --format a new folder of files.", show_default=False
        ),
    ] = None,
    form: Annotated[
        Literal["html", "png", "svg", "csv"],
        typer.Option("--format", help="html is one page; png and svg are single figures, csv is tables."),
    ] = "html",
    prune: Annotated[
        str | None,
        typer.Option(
            "--prune",
            help="Heads to mark in a score run: count=K a layer, fraction=F, threshold=T; by default as evaluated.",
            show_default=False,
        ),
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """One self-contained page of what runs found, for any browser, no network needed. Layers and heads are 0-based."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.errors import UsageError

        if out is None:
            raise UsageError("report needs a place for the page", "--out report.html")
        from headprune.cli.output import table
        from headprune.jobs.report import perform_report

        with stage_progress(output) as progress:
            done = perform_report(runs or [], out, form, prune, progress)
        size = sum(file.stat().st_size for file in done.files)
        document = {
            "out": str(done.out),
            "format": done.form,
            "runs": [str(run) for run in done.runs],
            "files": [str(file) for file in done.files],
            "bytes": size,
            "shown": done.shown,
            "pictures": done.pictures,
        }
        rows = [("runs", str(len(done.runs))), ("files", str(len(done.files))), ("size", f"{size / 1e6:.2f} MB")]
        if done.pictures is not None:
            rows.append(("pictures", f"{done.shown} of {done.pictures}"))
        output.result(document, lambda console: console.print(table("", ("", ""), rows)))
        output.wrote("page" if done.form == "html" else f"{done.form} files", done.out)
