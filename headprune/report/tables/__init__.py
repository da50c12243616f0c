"""The numbers of a run as tables, one file a perspective, each with a function `tables`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from headprune.perspectives.run import Run
from headprune.report.canvas import plain
from headprune.types import Interval

Cell = str | int | float | None
Row = tuple[Cell, ...]
LIMITS = ("mean", "low", "high")
"""Columns of an interval."""
# What a spreadsheet takes for the start of a formula, the wide forms of East Asian keyboards among them.
_FORMULA = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers of a run.

    Attributes:
        name: as of a file.
        title: what they are.
        columns: their heads. The first `keys` name a row; the last of these is the layer, or what else runs along the
            x axis, those before it say which curve. The column after them is the one that is told first.
        rows: None or NaN where there is no number.
        long: whether it has a row for every picture: a file for it, not a page.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    keys: int
    long: bool = False


def tables(run: Run) -> list[Table]:
    """The tables of a run."""
    found: Iterable[Table] = import_module(f"{__name__}.{run.info.kind}").tables(run)
    return list(found)


def both_sides(
    run: Run,
    name: str,
    title: str,
    columns: Sequence[str],
    rows_of: Callable[[Any], Iterable[Row]],
    keys: int = 1,
    long: bool = False,
) -> Table:
    """A table of what was found before and, where there is one, after the patch; then it says which in front."""
    if run.after is None:
        return Table(name, title, tuple(columns), tuple(rows_of(run.before)), keys, long)
    sides = (("as it is", run.before), ("with the patch", run.after))
    rows = tuple((side, *row) for side, found in sides for row in rows_of(found))
    return Table(name, title, ("model", *columns), rows, keys + 1, long)


def limits_of(interval: Interval | None) -> Row:
    """Mean, low and high."""
    return (interval.mean, interval.low, interval.high) if interval else (None, None, None)


def told(table: Table) -> str:
    """The table's curves in a sentence each: where they begin, end, and are lowest and highest. For those who do not
    see the figure."""
    curves: dict[Row, list[tuple[Cell, float]]] = {}
    for row in table.rows:
        value = row[table.keys]
        if isinstance(value, int | float) and not math.isnan(value):
            curves.setdefault(row[: table.keys - 1], []).append((row[table.keys - 1], float(value)))
    along = table.columns[table.keys - 1]
    sentences = []
    for curve, points in curves.items():
        low, high = min(points, key=lambda point: point[1]), max(points, key=lambda point: point[1])
        ends = [points[0], *points[-1:]] if len(points) > 1 else points
        said = ", ".join(f"{value:.3g} at {along} {place}" for place, value in ends)
        extremes = f"; lowest {low[1]:.3g} at {low[0]}, highest {high[1]:.3g} at {high[0]}" if len(points) > 2 else ""
        named = zip(table.columns, curve, strict=False)
        of = f"{', '.join(f'{column} {value}' for column, value in named)}: " if curve else ""
        sentences.append(f"{of}{said}{extremes}.")
    return " ".join(sentences)


def csv_text(table: Table) -> str:
    """The table as CSV (RFC 4180). Text that a spreadsheet would run is led by an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(map(_for_csv, table.columns))
    writer.writerows(map(_for_csv, row) for row in table.rows)
    return stream.getvalue()


def _for_csv(cell: Cell) -> Cell:
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return ""
    if not isinstance(cell, str):
        return cell
    return guarded(plain(cell))


def guarded(text: str) -> str:
    """Text for a CSV file: what a spreadsheet would run is led by an apostrophe."""
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and text.strip() else text
