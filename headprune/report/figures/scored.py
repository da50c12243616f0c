"""Importances of the heads, layers by heads, pruned ones crossed out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from headprune.report.canvas import MAP, empty
from headprune.report.figures import Form, rendering
from headprune.report.scored import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rendered(scored: Scored, form: Form) -> Iterator[tuple[str, bytes]]:
    """The figures as the bytes of files, by name."""
    return rendering(_draw(scored), form)


def _draw(scored: Scored) -> Iterator[tuple[str, Figure]]:
    """`importance`, for each rule by which heads are pruned one; without a rule one without marks."""
    rules = scored.rules()
    for number, rule in enumerate(rules or [None]):
        yield "importance" if len(rules) < 2 else f"importance-{number}", _table(scored, rule)


def _table(scored: Scored, rule: str | None) -> Figure:
    patch = scored.patch
    layers = patch.scored
    across = patch.info.comparable == "across-layers"
    shown = (patch.importance if across else patch.scale)[layers]
    figure = empty(2 + 0.45 * shown.shape[1], 1.8 + 0.32 * len(layers))
    axes = figure.add_subplot()
    drawn = axes.imshow(shown, cmap=MAP, aspect="auto")
    pruned = scored.pruned(rule)[layers] if rule else np.zeros(shown.shape, bool)
    rows, columns = np.nonzero(pruned)
    axes.scatter(columns, rows, marker="x", s=46, color="white", linewidth=3.2)
    axes.scatter(columns, rows, marker="x", s=40, color="#c4510a", linewidth=1.6)
    axes.set_xticks(range(shown.shape[1]))
    axes.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set_xlabel("head (0-based)")
    axes.set_ylabel("layer (0-based)")
    marked = f", crossed out: pruned by {rule}" if rule else ""
    axes.set_title(f"heads, {len(patch.info.sample_ids)} pictures{marked}", fontsize=10)
    figure.colorbar(drawn, ax=axes).set_label("importance" if across else "H*alpha")
    return figure
