"""How concrete the captions of each layer are."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.concreteness import Concreteness
from headprune.perspectives.run import Run
from headprune.report.tables import LIMITS, Row, Table, both_sides, limits_of


def tables(run: Run) -> Iterator[Table]:
    """`concreteness` by criterion and layer; `ratings` of each picture."""
    title = f"concreteness by layer ({run.info.scorer}), mean of {len(run.info.samples)} pictures with 95 % limits"
    yield both_sides(run, "concreteness", title, ("criterion", "layer", *LIMITS), _by_layer, 2)
    columns = ("sample", "layer", "score", *run.before.criteria, "caption")
    yield both_sides(run, "ratings", "ratings of each picture", columns, _by_picture, 2, True)


def _by_layer(found: Concreteness) -> Iterator[Row]:
    curves = [("score", found.score)]
    if len(found.criteria) > 1:
        curves += zip(found.criteria, found.by_criterion, strict=True)
    for name, intervals in curves:
        for layer, interval in zip(found.layers, intervals, strict=True):
            yield name, layer, *limits_of(interval)


def _by_picture(found: Concreteness) -> Iterator[Row]:
    for number, sample in enumerate(found.samples):
        for column, layer in enumerate(found.layers):
            ratings = map(float, found.ratings[number, column])
            yield sample, layer, float(found.scores[number, column]), *ratings, found.captions[number][column]
