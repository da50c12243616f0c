"""The text files around pictures: found, decoded and parsed, each mistake named with its line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from headprune import DataError

LARGEST = 2**30
"""Bytes that a file of captions may hold; COCO's largest has some 92 million."""
Row = tuple[int, dict[str, Any]]
"""The line a row begins on, counted from 1, and what it holds."""


def folder_at(ref: str) -> Path:
    """The folder `ref` names.

    Raises:
        DataError: it is not there.
    """
    folder = Path(ref)
    if not ref or not folder.is_dir():
        raise DataError(f"there is no folder {ref!r}", "name the folder of the pictures")
    return folder


def inside(name: Any, where: str) -> str:
    """A picture's file name, relative to its folder, with forward slashes and without `.`.

    Raises:
        DataError: it is not a name, or it leads out of the folder.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise DataError(f"{where}: the file name {name!r} is none", "file_name is a path inside the folder")
    path = PurePosixPath(name.replace("\\", "/") if os.sep == "\\" else name)
    if path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise DataError(
            f"{where}: the file name {name!r} leads out of the folder", "file_name is a path inside the folder"
        )
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: the file name holds half a character", "correct the file's encoding") from error
    return str(path)


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file, with their numbers and their ends; a byte order mark is skipped.

    Raises:
        DataError: the file cannot be read, holds more than LARGEST, or a line is not UTF-8.
    """
    try:
        with file.open("rb") as handle:
            if os.fstat(handle.fileno()).st_size > LARGEST:
                raise DataError(f"{file} is larger than {LARGEST:,} bytes", "name the file of the captions")
            for number, raw in enumerate(handle, 1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} line {number} is not UTF-8", "save the file as UTF-8") from error
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}", "check the path and its permissions") from error


def jsonl_rows(file: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file; blank lines count as lines only.

    Raises:
        DataError: a line is no JSON object.
    """
    for number, line in lines_of(file):
        if not line.strip():
            continue
        where = f"{file} line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is no JSON: {error}", "each line is one JSON object") from error
        if not isinstance(row, dict):
            raise DataError(f"{where} is no JSON object", "each line is one JSON object")
        yield number, row


def csv_rows(file: Path) -> Iterator[Row]:
    """The rows of a CSV file whose first line names the columns; a row may span lines.

    Raises:
        DataError: the columns are not named once each, or a row has more or fewer of them.
    """
    reader = csv.reader((line for _, line in lines_of(file)), strict=True)
    end = 0
    try:
        columns = next(reader, [])
        if not columns or len(set(columns)) < len(columns):
            raise DataError(
                f"{file} line 1 does not name each column once: {', '.join(columns)}", "name the columns there"
            )
        end = reader.line_num
        for cells in reader:
            begin, end = end + 1, reader.line_num
            if not cells:
                continue
            if len(cells) != len(columns):
                raise DataError(
                    f"{file} line {begin} has {len(cells)} cells for {len(columns)} columns",
                    "put cells that hold a comma in double quotes",
                )
            yield begin, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{file} line {end + 1}: {error}", "put cells that hold a quote or a line end in double quotes"
        ) from error


def json_document(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    text = "".join(line for _, line in lines_of(file))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{file} line {error.lineno} is no JSON: {error.msg}", "check that the file is whole"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is no JSON: {error}", "check that the file is whole") from error
