"""dS of each layer, and what each layer says."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.layers import Layers
from headprune.perspectives.run import Run
from headprune.report.tables import LIMITS, Row, Table, both_sides, limits_of


def tables(run: Run) -> Iterator[Table]:
    """`change` by layer; `captions` by picture and layer."""
    sense = "gained over" if run.before.gained else "against"
    what = f"dS by layer ({run.info.scorer} {sense} the layer before)"
    title = f"{what}, mean of {len(run.info.samples)} pictures with 95 % limits"
    yield both_sides(run, "change", title, ("layer", *LIMITS), _change)

    def said(found: Layers) -> Iterator[Row]:
        for number, sample in enumerate(run.info.samples):
            for column, layer in enumerate(found.layers):
                yield sample.id, layer, found.captions[number][column], float(found.scores[number, column])

    yield both_sides(run, "captions", "what each layer says", ("sample", "layer", "caption", "dS"), said, 2, True)


def _change(found: Layers) -> Iterator[Row]:
    for layer, interval in zip(found.layers, found.change, strict=True):
        yield layer, *limits_of(interval)
