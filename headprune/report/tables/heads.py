"""What each head says."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.heads import Heads
from headprune.perspectives.run import Run
from headprune.report.tables import Row, Table, both_sides


def tables(run: Run) -> Iterator[Table]:
    """`captions` by picture, layer and head; the unchanged layer's has no head."""
    columns = ("sample", "layer", "head", "caption")

    def said(found: Heads) -> Iterator[Row]:
        for number, sample in enumerate(run.info.samples):
            for column, layer in enumerate(found.layers):
                yield sample.id, layer, None, found.unchanged[number][column]
                for head, caption in enumerate(found.captions[number][column]):
                    yield sample.id, layer, head, caption

    yield both_sides(run, "captions", f"what each head says (edit {run.before.edit})", columns, said, 3, True)
