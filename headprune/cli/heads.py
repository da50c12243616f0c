"""headprune heads: what each head of a layer says alone, and where it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headprune.cli import options as o
from headprune.cli.heatmap import Outliers
from headprune.cli.output import NOTHING, table
from headprune.cli.perspective import Asked, perspective, sides

if TYPE_CHECKING:
    from rich.console import RenderableType

    from headprune.perspectives.heads import Heads
    from headprune.perspectives.run import Run


@perspective
def heads(asked: Asked, edit: o.Edit = None, edit_option: o.EditOption = None, outliers: Outliers = None) -> None:
    """What each head of a layer says alone, and where it looks: the last layer, or --layers. All are 0-based."""
    asked.run(
        "heads",
        lambda: {
            "edit": edit,
            "edit_options": o.pairs(edit_option, "--edit-option"),
            "heatmap": {"outliers": outliers},
        },
        lambda run: sides(run, lambda found, title: _table(found, run, title)),
    )


def _table(found: Heads, run: Run, title: str) -> RenderableType:
    rows = []
    for place, layer in enumerate(found.layers):
        rows.append((str(layer), "all", found.unchanged[0][place] or NOTHING))
        rows += [(str(layer), str(head), said or NOTHING) for head, said in enumerate(found.captions[0][place])]
    first = run.info.samples[0].id
    return table(f"what heads say of {first}, edit {found.edit}{title}", ("layer", "head", "caption"), rows, left=3)
