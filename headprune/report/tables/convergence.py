"""How good each layer's captions are, and from which layer on they stand."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.convergence import Converged
from headprune.perspectives.run import Run
from headprune.report.tables import LIMITS, Row, Table, both_sides, limits_of


def tables(run: Run) -> Iterator[Table]:
    """`curve` by layer; `convergence`, the two layers that sum it up; `pictures`, the layer of each."""
    title = f"{run.info.scorer} by layer, mean of {len(run.info.samples)} pictures with 95 % limits"
    yield both_sides(run, "curve", title, ("layer", *LIMITS), _curve)
    yield both_sides(run, "convergence", "from which layer on the answer stands", ("measure", *LIMITS), _summed_up)

    def of_each(found: Converged) -> Iterator[Row]:
        for number, sample in enumerate(run.info.samples):
            for column, layer in enumerate(found.layers):
                stands = float(found.convergence_layers[number])
                yield sample.id, layer, float(found.scores[number, column]), found.captions[number][column], stands

    columns = ("sample", "layer", "score", "caption", "convergence layer of the picture")
    yield both_sides(run, "captions", "scores of each picture", columns, of_each, 2, True)


def _curve(found: Converged) -> Iterator[Row]:
    for layer, interval in zip(found.layers, found.curve, strict=True):
        yield layer, *limits_of(interval)


def _summed_up(found: Converged) -> Iterator[Row]:
    same = "equal captions" if found.tau is None else f"tau {found.tau:g}"
    yield f"plateau layer of the data (tol {found.tol:g})", found.plateau, *(found.plateau_limits or (None, None))
    yield f"convergence layer, mean over pictures ({same})", *limits_of(found.convergence_layer)
