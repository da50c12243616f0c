"""The options that all perspectives share, and how such a command runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headprune.cli import options as o
from headprune.cli.expense import agree, expense_table
from headprune.cli.output import Output, reporting, table
from headprune.cli.progress import stage_progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.jobs.perspectives.frame import Perspective, Plan
    from headprune.perspectives.run import Run


# The signature is what typer makes options of; it is never called.
def _shared(
    model: o.Model = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The run folder: result.json, figures, recipe.toml.", show_default=False),
    ] = None,
    data: o.Data = None,
    samples: o.Samples = None,
    seed: o.Seed = None,
    layers: Annotated[
        str | None, typer.Option("--layers", help="0-based: all, last:4, 24-28, or 3,7.", show_default=False)
    ] = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", help="Look again with this patch applied.", show_default=False)
    ] = None,
    scale: o.Scale = None,
    prune: o.Prune = None,
    allow_other_weights: o.AllowOther = False,
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
) -> None: ...


@dataclass(frozen=True)
class Asked:
    """What was typed for the shared options, by name."""

    given: Mapping[str, Any]

    def overrides(self) -> dict[str, Any]:
        """The same as a recipe's settings."""
        given = self.given
        named = (
            "model",
            "data",
            "samples",
            "seed",
            "layers",
            "adapter",
            "dataset",
            "revision",
            "device",
            "device_map",
            "dtype",
            "batch_size",
        )
        return {
            **{name: given[name] for name in named},
            "dataset_options": o.pairs(given["dataset_option"], "--dataset-option"),
            "generation": {name: given[name] for name in ("num_beams", "max_new_tokens", "prompt")},
            "apply": {name: given[name] for name in ("scale", "prune")},
        }

    def run(
        self,
        kind: str,
        own: Callable[[], Mapping[str, Any]],
        show: Callable[[Run], RenderableType],
        dry_run: bool | None = None,
    ) -> None:
        """Run the perspective `kind`.

        Args:
            own: the recipe's settings that the command's own options give.
            show: makes a table of the run.
            dry_run: only say what would be done, and what it would cost; None where the command has no such option.
        """
        given = self.given
        with reporting(given["as_json"], given["quiet"], given["debug"]) as output:
            from headprune.errors import UsageError
            from headprune.recipes import resolve

            resolved = resolve(given["recipe"], {**self.overrides(), **own()}, given["allow_local_plugins"])
            for message in resolved.notes:
                output.note(message)
            if given["patch"] is None and (given["scale"] or given["prune"]):
                raise UsageError("--scale and --prune say how a patch is applied, and there is none", "--patch PATCH")
            if given["out"] is None and not dry_run:
                raise UsageError(f"{kind} needs a run folder", "--out RUN")
            from headprune.jobs.perspectives.frame import expense_of, perform, plan, settled

            made = _perspective(kind)
            perspective = made(settled(made, resolved))
            both = 2 if given["patch"] else 1
            if dry_run:
                _say_what_would_be_done(output, plan(perspective, both))
                return
            agree(output, expense_of(perspective, both), given["yes"], dry_run is not None)
            with stage_progress(output) as progress:
                run = perform(perspective, given["out"], given["patch"], given["allow_other_weights"], progress)
            document = {
                "kind": kind,
                "run": str(run.folder),
                "samples": [sample.id for sample in run.info.samples],
                "scorer": run.info.scorer,
                "seconds": run.info.seconds,
                "before": perspective.document(run.before),
                "after": perspective.document(run.after) if run.after else None,
            }
            output.result(document, lambda console: console.print(show(run)))
            output.wrote("run", run.folder)


def _say_what_would_be_done(output: Output, planned: Plan) -> None:
    from dataclasses import asdict

    from rich.console import Group

    rows = [
        ("pictures", f"{planned.pictures:,} of {planned.available:,}"),
        ("layers", ", ".join(map(str, planned.layers))),
    ]
    parts = [table("what would be looked at", ("", ""), rows, left=2)]
    if planned.expense:
        parts.append(expense_table(planned.expense))
    output.result(asdict(planned), lambda console: console.print(Group(*parts)))


def sides(run: Run, show: Callable[[Any, str], RenderableType]) -> RenderableType:
    """A table of each side of a run; what `show` is given ends its title."""
    from rich.console import Group

    if run.after is None:
        return show(run.before, "")
    return Group(show(run.before, ", before the patch"), show(run.after, ", with the patch"))


def _perspective(kind: str) -> type[Perspective]:
    from importlib import import_module

    found: type[Perspective] = getattr(
        import_module(f"headprune.jobs.perspectives.{kind}"), f"{kind.capitalize()}Perspective"
    )
    return found


def perspective(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command whose first argument is `Asked` one that has the shared options, and its own before them."""
    shared = inspect.signature(_shared, eval_str=True).parameters
    own = [*inspect.signature(command, eval_str=True).parameters.values()][1:]

    @wraps(command)
    def made(**given: Any) -> None:
        command(Asked({name: given[name] for name in shared}), **{one.name: given[one.name] for one in own})

    model, out, data, *others = shared.values()
    ordered = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (model, out, data, *own, *others)]
    made.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    made.__annotations__ = {one.name: one.annotation for one in ordered}
    return made
