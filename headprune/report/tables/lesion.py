"""How much of what the model says a lesion leaves."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.perspectives.lesion import Lesioned, Lesions
from headprune.perspectives.run import Run
from headprune.report.tables import LIMITS, Cell, Row, Table, both_sides, limits_of


def tables(run: Run) -> Iterator[Table]:
    """`lesion`, by lesion and the layers that have it; `captions`, the same of each picture."""
    gold = run.before.unchanged_interval is not None
    against = "captions against gold" if gold else "caption with the lesion against the one without"
    title = f"{run.info.scorer}: {against}, mean of {len(run.info.samples)} pictures with 95 % limits"
    yield both_sides(run, "lesion", title, ("lesion", "layers", *LIMITS), _by_place, 2)
    columns = ("sample", "lesion", "layers", "score", "caption")
    yield both_sides(run, "captions", "what the model says with a lesion", columns, _by_picture, 3, True)


def _by_place(found: Lesions) -> Iterator[Row]:
    if found.unchanged_interval:
        yield "none", None, *limits_of(found.unchanged_interval)
    for part in (found.alone, found.together):
        for name, intervals in zip(found.lesions, part.intervals, strict=True):
            for place, interval in zip(part.places, intervals, strict=True):
                yield name, _layers(place), *limits_of(interval)


def _by_picture(found: Lesions) -> Iterator[Row]:
    for number, sample in enumerate(found.samples):
        score = None if found.unchanged_scores is None else float(found.unchanged_scores[number])
        yield sample, "none", None, score, found.unchanged[number]
        for part in (found.alone, found.together):
            yield from _of_picture(found, part, number)


def _of_picture(found: Lesions, part: Lesioned, number: int) -> Iterator[Row]:
    for row, name in enumerate(found.lesions):
        for column, place in enumerate(part.places):
            score = float(part.scores[row, column, number])
            yield found.samples[number], name, _layers(place), score, part.captions[row][column][number]


def _layers(place: tuple[int, ...]) -> Cell:
    """3 of one layer, `2 to 4` of a range, `2 4 7` of others: nothing that a spreadsheet takes for a date."""
    if len(place) == 1:
        return place[0]
    whole = place == tuple(range(place[0], place[-1] + 1))
    return f"{place[0]} to {place[-1]}" if whole else " ".join(map(str, place))
