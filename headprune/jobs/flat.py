"""Flat rows as a file for other tools: Parquet or CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from headprune.errors import HeadpruneError, UsageError
from headprune.files import writing
from headprune.report.tables import guarded
from headprune.runs.rows import Flat, Row

# Rows of a Parquet file that are put together at once.
_GROUP = 50_000


def writer_for(out: Path) -> Callable[[Flat, Path], int]:
    """What writes rows into `out`, by its ending; it returns how many. It replaces an export, and nothing else.

    Raises:
        UsageError: neither `.parquet` nor `.csv`. HeadpruneError: Parquet needs pyarrow, which is not there.
    """
    if out.suffix == ".csv":
        return _write_csv
    if out.suffix != ".parquet":
        raise UsageError(f"{out} ends neither in .parquet nor in .csv", "--out results.csv")
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        hint = "pip install 'headprune[parquet]', or --out results.csv"
        raise HeadpruneError("Parquet needs pyarrow, which is not installed", hint) from error
    return _write_parquet


def _write_csv(flat: Flat, out: Path) -> int:
    """RFC 4180 in UTF-8: what is missing is an empty field, what a spreadsheet would run is led by an apostrophe."""
    _refuse_others(out, flat, _csv_columns)
    count = 0
    with writing(out) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(name for name, _ in flat.columns)
        for row in flat.rows:
            writer.writerow(guarded(cell) if isinstance(cell, str) else cell for cell in row)
            count += 1
    return count


def _write_parquet(flat: Flat, out: Path) -> int:
    import pyarrow
    from pyarrow import parquet

    _refuse_others(out, flat, _parquet_columns)
    kinds = {str: pyarrow.string(), int: pyarrow.int32(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in flat.columns])
    count = 0
    with writing(out) as part, parquet.ParquetWriter(part, schema) as writer:
        for rows in _groups(flat.rows):
            columns = [pyarrow.array(column, field.type) for column, field in zip(_turned(rows), schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(columns, schema=schema))
            count += len(rows)
    return count


def _refuse_others(out: Path, flat: Flat, columns_of: Callable[[Path], list[str] | None]) -> None:
    if out.is_file() and columns_of(out) != [name for name, _ in flat.columns]:
        raise UsageError(f"{out} is there, and is no such export", "choose another --out, or remove it yourself")


def _csv_columns(file: Path) -> list[str] | None:
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return next(csv.reader(opened), None)
    except (UnicodeDecodeError, csv.Error):
        return None


def _parquet_columns(file: Path) -> list[str] | None:
    from pyarrow import ArrowInvalid, parquet

    try:
        names: list[str] = parquet.read_schema(file).names
    except (ArrowInvalid, OSError) as error:
        # Of a damaged file it says an OSError that no system gave.
        if getattr(error, "errno", None) is not None:
            raise
        return None
    return names


def _groups(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while group := list(islice(rows, _GROUP)):
        yield group


def _turned(rows: list[Row]) -> Iterator[tuple[Any, ...]]:
    yield from zip(*rows, strict=True)
