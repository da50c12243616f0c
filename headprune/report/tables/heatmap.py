"""How much attention each layer gives the patches, and how its map differs from the layer before's."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.heatmap import Heatmap
from headprune.perspectives.run import Run
from headprune.report.tables import LIMITS, Row, Table, both_sides, limits_of


def tables(run: Run) -> Iterator[Table]:
    """`attention`, A and dA by layer; `pictures`, the same of each picture; `outliers`, the patches left out."""
    reader = "the CLS token's" if run.before.reader == "cls" else "all patches' mean"
    title = f"A, share of {reader} attention on the patches, by layer, mean of {len(run.info.samples)} pictures"
    change = [f"dA {column}" for column in LIMITS]
    columns = ("layer", *LIMITS, *change, "L1 of the maps' change", "cosine distance of the maps")
    yield both_sides(run, "attention", title, columns, _by_layer)
    of_each = ("sample", "layer", "A", "dA", "L1", "cosine distance")
    yield both_sides(run, "pictures", "A of each picture", of_each, _by_picture, 2, True)
    if any(picture.outliers for found in (run.before, run.after) if found for picture in found.pictures):
        title = f"outlier patches, left out of the maps (norm above median + {run.before.k:g} MAD)"
        columns = ("sample", "layer", "row", "column", "norm")
        yield both_sides(run, "outliers", title, columns, _outliers, 4, True)


def _by_layer(found: Heatmap) -> Iterator[Row]:
    for column, layer in enumerate(found.layers):
        l1, cosine = found.mean_l1[column], found.mean_cosine[column]
        yield (
            layer,
            *limits_of(found.mean_attention[column]),
            *limits_of(found.mean_change[column]),
            l1.mean if l1 else None,
            cosine.mean if cosine else None,
        )


def _by_picture(found: Heatmap) -> Iterator[Row]:
    for number, picture in enumerate(found.pictures):
        for column, layer in enumerate(found.layers):
            numbers = (found.attention, found.change, found.l1, found.cosine)
            yield picture.sample, layer, *(float(values[number, column]) for values in numbers)


def _outliers(found: Heatmap) -> Iterator[Row]:
    for picture in found.pictures:
        for outlier in picture.outliers:
            yield picture.sample, outlier.layer, outlier.row, outlier.column, outlier.norm
