"""headprune lesion: what is said when a layer's attention, or its residual stream, is a mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from headprune.cli import options as o
from headprune.cli.output import interval, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.lesion import Lesions
    from headprune.perspectives.run import Run


@perspective
def lesion(
    asked: Asked,
    scorer: o.Scorer = None,
    scorer_option: o.ScorerOption = None,
    lesions: Annotated[
        list[str] | None,
        typer.Option(
            "--lesion",
            help="mean-input: the attention reads the mean; confuse: the residual stream is the mean. May be repeated. "
            "(default: both)",
            show_default=False,
        ),
    ] = None,
    together: Annotated[
        list[str] | None,
        typer.Option(
            "--together", help="Layers lesioned at once, 0-based: 3-5. May be repeated.", show_default=False
        ),
    ] = None,
    means: Annotated[
        str | None,
        typer.Option(
            "--means", help="token: a mean for each token position; all: one for all. (default: token)",
            show_default=False,
        ),
    ] = None,
    means_data: Annotated[
        str | None,
        typer.Option("--means-data", help="Where means are taken. (default: the samples)", show_default=False),
    ] = None,
    means_option: Annotated[
        list[str] | None, typer.Option("--means-option", help="key=value for its reader.", show_default=False)
    ] = None,
    means_samples: Annotated[
        int | None,
        typer.Option("--means-samples", help="Over how many pictures. (default: as --samples)", show_default=False),
    ] = None,
) -> None:  # fmt: skip
    """What a model says when a layer's attention reads a mean, or its residual stream is one: each of --layers alone,
    decoded at the last layer (section 4.2). Layers are 0-based."""
    asked.run(
        "lesion",
        lambda: {
            "scorer": scorer,
            "scorer_options": o.pairs(scorer_option, "--scorer-option"),
            "lesion": {
                "lesions": lesions or None,
                "together": together or None,
                "means": means,
                "means_data": means_data,
                "means_options": o.pairs(means_option, "--means-option"),
                "means_samples": means_samples,
            },
        },
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
    )


def _table(found: Lesions, run: Run, title: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rows = [
        (_named(place), *(interval(of_lesion[number], ".3f") for of_lesion in part.intervals))
        for part in (found.alone, found.together)
        for number, place in enumerate(part.places)
    ]
    columns = ("layer", *(f"{name}, {run.info.scorer} [95 %]" for name in found.lesions))
    parts: list[RenderableType] = [
        table(
            f"lesions by the mean of {found.mean_samples} pictures, {len(found.samples)} captioned{title}",
            columns,
            rows,
        )
    ]
    if found.unchanged_interval:
        parts.append(Text(f"without a lesion: {interval(found.unchanged_interval, '.3f')}"))
    return Group(*parts)


def _named(place: tuple[int, ...]) -> str:
    """Layers lesioned at once: 3, 3-5, or 3,5."""
    if place == tuple(range(place[0], place[-1] + 1)):
        return str(place[0]) if len(place) == 1 else f"{place[0]}-{place[-1]}"
    return ",".join(map(str, place))
