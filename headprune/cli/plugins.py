"""headprune plugins: what is installed, what is broken, a new one, and whether one keeps its promises."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headprune.cli import options as o
from headprune.cli.expense import agree
from headprune.cli.output import reporting, shown, table
from headprune.cli.progress import stage_progress

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="What is installed; a new one; whether one works.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    pass


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="scorer, edit, adapter, dataset or listener; left out, all of them.")
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Every scorer, edit, adapter, dataset and listener, what brings it, and what is wrong where it is."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.errors import UsageError
        from headprune.hooks.catalogue import KINDS, catalogue, unmet_requirements

        if kind is not None and kind not in KINDS:
            raise UsageError(f"there is no kind {kind!r}", f"kinds: {', '.join(KINDS)}")
        plugins = catalogue().plugins
        kind_of = {cls: kind for kind, cls in KINDS.items()}
        offers = [
            {
                "kind": kind_of[type(spec)],
                "name": spec.name,
                "plugin": plugin.name,
                "package": f"{plugin.package} {plugin.version}",
                "summary": spec.summary,
                "needs": unmet_requirements(spec),
            }
            for plugin in plugins
            for spec in plugin.specs
            if kind in (None, kind_of[type(spec)])
        ]
        broken = [
            {"plugin": plugin.name, "package": plugin.package, "reason": plugin.broken}
            for plugin in plugins
            if plugin.broken
        ]
        offers.sort(key=lambda offer: (list(KINDS).index(str(offer["kind"])), str(offer["name"])))
        times = Counter((offer["kind"], offer["name"]) for offer in offers)
        rows = [
            (str(offer["kind"]), str(offer["name"]), _home(offer), _summary(offer, times[offer["kind"], offer["name"]]))
            for offer in offers
        ]
        rows += [("", "", str(bad["plugin"]), f"broken: {bad['reason']}") for bad in broken]
        output.result(
            {"offers": offers, "broken": broken},
            lambda console: console.print(table("", ("kind", "name", "plugin", "summary"), rows, left=4)),
        )


def _home(offer: Mapping[str, Any]) -> str:
    """The plugin that came with headprune, or another package, or a file."""
    from headprune.hooks.specs import PROJECT

    package, _, version = str(offer["package"]).rpartition(" ")
    return (
        str(offer["plugin"]) if package == PROJECT else Path(package).name if version == "-" else str(offer["package"])
    )


def _summary(offer: Mapping[str, Any], times: int) -> str:
    twice = f"offered {times} times, so usable by none: remove all but one - " if times > 1 else ""
    lacking = f"needs {', '.join(offer['needs'])} - " if offer["needs"] else ""
    return f"{twice}{lacking}{offer['summary']}"


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="scorer, edit, adapter, dataset or listener.")],
    name: Annotated[str, typer.Argument(help="What users will type: lower-case words with hyphens between them.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The package's folder. (default: headprune-NAME, here)", show_default=False),
    ] = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Write a package with a small plugin that works, its tests, a README and a recipe: begin there."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.scaffold.write import write_package

        folder = write_package(kind, name, out)
        files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        steps = [
            f"cd {shlex.quote(str(folder))} && pip install -e '.[test]'",
            "pytest",
            "headprune score --recipe recipe.toml --out run",
        ]

        def show(console: Console) -> None:
            for line in (*files, "", "next:", *(f"  {step}" for step in steps)):
                console.print(shown(line), soft_wrap=True)

        output.result({"folder": str(folder), "files": files, "next": steps}, show)
        output.wrote(f"{kind} {name}", folder)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="As headprune plugins list has it, or ./file.py:Class.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="scorer, edit, adapter, dataset or listener, where two share a name.", show_default=False
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="key=value for the plugin, may be repeated.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="What an adapter is checked on: best a tiny model.", show_default=False),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="What a dataset is checked on: best a few samples.", show_default=False),
    ] = None,
    yes: o.Yes = False,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Try every promise that plugins of its kind make. The exit code is 0 where all are kept, 3 where one is broken."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.cli.tables import verdict_table
        from headprune.errors import ExitCode
        from headprune.jobs.check import a, perform_check, prepare_check

        checkup = prepare_check(name, kind, o.pairs(option, "--option"), model, data)
        agree(output, checkup.expense, yes)
        with stage_progress(output) as stage:
            stage(f"trying what {a(checkup.kind)} promises")
            checked = perform_check(checkup)
        output.result(
            {"name": name, "kind": checked.kind, "promises": [asdict(verdict) for verdict in checked.verdicts]},
            lambda console: console.print(verdict_table(checked)),
        )
        if checked.count("broken"):
            raise typer.Exit(int(ExitCode.PLUGIN))
