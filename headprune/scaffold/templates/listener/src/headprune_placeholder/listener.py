"""The listener `placeholder`: says on stderr which heads count most."""

from __future__ import annotations

import sys

import headprune
from pydantic import Field


class PlaceholderSettings(headprune.Settings):
    """What can be set, by `--listener-option most=1` or in a recipe.

    Attributes:
        most: how many heads of a layer are named.
    """

    most: int = Field(default=3, gt=0)


class Placeholder(headprune.Listener):
    """A line when a run begins, one for each layer, and one at its end.

    Methods return nothing, and one that is left out hears nothing: `started`,
    `progressed`, `layer_scored`, `finished`, `failed`. What `started` raises ends
    the run before any work is done; what the others raise is announced, and the run
    goes on without the listener. stdout belongs to results: never print there.
    """

    Settings = PlaceholderSettings
    settings: PlaceholderSettings

    def started(self, run: headprune.RunStarted) -> None:
        """The model is loaded, nothing is scored yet."""
        _say(f"{run.model}: {len(run.layers)} layers, {len(run.sample_ids)} pictures")

    def layer_scored(self, layer: headprune.LayerScored) -> None:
        """All heads of a layer have their importance. Layers and heads are 0-based."""
        means = [interval.mean for interval in layer.importance]
        best = sorted(range(len(means)), key=lambda head: -means[head])
        named = [f"{head} ({means[head]:.3f})" for head in best[: self.settings.most]]
        _say(f"layer {layer.layer}: heads {', '.join(named)}")

    def finished(self, run: headprune.RunFinished) -> None:
        """The patch is written."""
        _say(f"done in {run.seconds:.1f} s")

    def failed(self, run: headprune.RunFailed) -> None:
        """The run ended by an error, or was interrupted."""
        _say(f"failed after {run.seconds:.1f} s: {run.kind}: {run.reason}")


def _say(line: str) -> None:
    print(f"placeholder: {line}", file=sys.stderr)
