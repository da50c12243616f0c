"""headprune plugins: what is installed, and what is broken."""

from __future__ import annotations

import typer

from headprune.cli import options as o
from headprune.cli.output import reporting, table

app = typer.Typer(help="What is installed.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _root() -> None:
    pass


@app.command("list")
def list_(as_json: o.Json = False, quiet: o.Quiet = False, debug: o.Debug = False) -> None:
    """Every scorer, edit, adapter and dataset, the plugin that brings it, and what is wrong where it is."""
    with reporting(as_json, quiet, debug) as output:
        from headprune.hooks.catalogue import KINDS, catalogue, unmet_requirements

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
        ]
        broken = [
            {"plugin": plugin.name, "package": plugin.package, "reason": plugin.broken}
            for plugin in plugins
            if plugin.broken
        ]
        offers.sort(key=lambda offer: (list(KINDS).index(str(offer["kind"])), str(offer["name"])))
        rows = [
            (str(offer["kind"]), str(offer["name"]), str(offer["plugin"]), _summary(offer["summary"], offer["needs"]))
            for offer in offers
        ]
        rows += [("", "", str(bad["plugin"]), f"broken: {bad['reason']}") for bad in broken]
        output.result(
            {"offers": offers, "broken": broken},
            lambda console: console.print(table("", ("kind", "name", "plugin", "summary"), rows, left=4)),
        )


def _summary(summary: object, needs: object) -> str:
    lacking = needs if isinstance(needs, list) else []
    return f"needs {', '.join(lacking)} - {summary}" if lacking else str(summary)
