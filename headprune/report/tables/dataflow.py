"""What each head, the bias and the MLP add to the residual stream."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headprune.perspectives.dataflow import DataFlow, Parts
from headprune.perspectives.run import Run
from headprune.report.tables import Cell, Row, Table, both_sides
from headprune.scoring.statistics import Floats


def tables(run: Run) -> Iterator[Table]:
    """`dataflow` by layer and part, the mean over pictures; `pictures`, the same of each."""
    token = run.before.token
    where = "averaged over tokens" if token is None else f"at token {token}"
    columns = ("layer", "part", "share", "norm", "projection")
    title = f"share of each layer's update, {where}, mean of {len(run.info.samples)} pictures"
    yield both_sides(run, "dataflow", title, columns, _means, 2)
    yield both_sides(run, "pictures", f"data flow of each picture, {where}", ("sample", *columns), _by_picture, 3, True)


def _means(found: DataFlow) -> Iterator[Row]:
    for row, layer in enumerate(found.layers):
        of_part = zip(*(_parts(parts, row) for parts in _quantities(found)), strict=True)
        for (name, share), (_, norm), (_, projection) in of_part:
            yield layer, name, _mean(share), _mean(norm), _mean(projection)


def _by_picture(found: DataFlow) -> Iterator[Row]:
    for number, sample in enumerate(found.samples):
        for row, layer in enumerate(found.layers):
            of_part = zip(*(_parts(parts, row) for parts in _quantities(found)), strict=True)
            for (name, share), (_, norm), (_, projection) in of_part:
                yield sample, layer, name, float(share[number]), float(norm[number]), float(projection[number])


def _quantities(found: DataFlow) -> tuple[Parts, Parts, Parts]:
    chosen = found.chosen
    return chosen.share, chosen.norm, chosen.projection


def _parts(parts: Parts, row: int) -> Iterator[tuple[str, Floats]]:
    """Each part of a layer with its numbers of all pictures, [n]; NaN of a head that is not there."""
    for head in range(parts.heads.shape[2]):
        yield f"head {head}", parts.heads[:, row, head]
    yield "bias", parts.bias[:, row]
    yield "MLP", parts.mlp[:, row]


def _mean(values: Floats) -> Cell:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
