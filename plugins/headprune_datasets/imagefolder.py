"""The image folder convention: pictures, and a metadata file that gives each its captions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from headprune import (
    PICTURE_ENDINGS,
    DataError,
    Dataset,
    DatasetReader,
    LeftOut,
    Sample,
    Settings,
    UsageError,
    read_labels,
    read_picture,
)
from headprune_datasets.captions import NoCaption, checked, column_of, parsed_list
from headprune_datasets.files import Row, csv_rows, folder_at, inside, jsonl_rows


class ImageFolderSettings(Settings):
    """Options of an image folder.

    Attributes:
        labels: what a model without words chooses from: a text file, a label a line; or `folders`, where each picture
            lies in a folder that is called what it shows, which is then its caption. None takes the captions.
    """

    labels: str | None = None


class ImageFolder(DatasetReader):
    """A folder with `metadata.jsonl` or `metadata.csv`, or a folder of pictures without captions.

    A row names its picture in `file_name`, relative to the folder, and its captions in `captions` (a list; in CSV a
    JSON list) or in `caption` or `text` (one caption). Other columns are not read. A sample's id is its file name.

    Without a metadata file every picture in the folder and below, by its ending, is a sample without captions.
    """

    Settings = ImageFolderSettings
    settings: ImageFolderSettings

    def open(self, ref: str) -> Dataset:
        folder = folder_at(ref)
        found = [name for name in ("metadata.jsonl", "metadata.csv") if (folder / name).is_file()]
        if len(found) > 1:
            raise DataError(f"{ref} has both {' and '.join(found)}", "keep one of them")
        if self.settings.labels == "folders":
            if found:
                raise UsageError(f"{ref} has a {found[0]}, which gives the captions", "leave labels=folders out")
            return _sorted_into_folders(ref, folder)
        labels = read_labels(self.settings.labels) if self.settings.labels else ()
        if not found:
            return Dataset(ref, tuple(_sample(folder, name, (), name) for name in _names(folder)), labels=labels)
        samples, left_out = _described(folder, folder / found[0])
        return Dataset(ref, tuple(samples), tuple(left_out), labels)


def _sorted_into_folders(ref: str, folder: Path) -> Dataset:
    label_of = {name: PurePosixPath(name).parent.name for name in _names(folder)}
    samples = [_sample(folder, name, (label,), name) for name, label in label_of.items() if label]
    if not samples:
        raise DataError(f"{ref} has no folders with pictures", "put each picture into a folder called what it shows")
    left_out = [
        LeftOut(name, "it lies in no folder that would be its label") for name, label in label_of.items() if not label
    ]
    return Dataset(ref, tuple(samples), tuple(left_out), tuple(sorted({*label_of.values()} - {""})))


def _names(folder: Path) -> list[str]:
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".") and path.is_file()
    )
    if not names:
        raise DataError(f"{folder} holds no pictures", "name a folder with pictures, or with a metadata.jsonl")
    return names


def _described(folder: Path, metadata: Path) -> tuple[list[Sample], list[LeftOut]]:
    """The samples that a metadata file describes, and the rows of which none can be made."""
    samples: list[Sample] = []
    left_out: list[LeftOut] = []
    seen: dict[str, int] = {}
    for line, row, name, where in _named(metadata):
        if name in seen:
            raise DataError(f"{where}: {name} has a row already, on line {seen[name]}", "keep one row a picture")
        seen[name] = line
        try:
            captions = checked(_captions(row, metadata, where), where)
        except NoCaption as reason:
            left_out.append(LeftOut(name, str(reason)))
            continue
        if os.path.isfile(folder / name):  # noqa: PTH113 - False, not an exception, for a name that is too long
            samples.append(_sample(folder, name, captions, where))
        else:
            left_out.append(LeftOut(name, f"{where}: there is no picture {name}"))
    if not seen:
        raise DataError(f"{metadata} has no rows", "give each picture a row")
    return samples, left_out


def _named(metadata: Path) -> Iterator[tuple[int, dict[str, Any], str, str]]:
    """Each row with its line, the name of its picture and where it stands."""
    rows: Iterator[Row] = csv_rows(metadata) if metadata.suffix == ".csv" else jsonl_rows(metadata)
    for line, row in rows:
        where = f"{metadata.name} line {line}"
        if "file_name" not in row:
            raise DataError(f"{where}: no file_name", f"its columns: {', '.join(row) or 'none'}")
        yield line, row, inside(row["file_name"], where), where


def _captions(row: dict[str, Any], metadata: Path, where: str) -> Any:
    column = column_of(tuple(row), where)
    value = row[column]
    if metadata.suffix == ".csv" and column == "captions":
        return parsed_list(value, where) if value.strip() else None
    return value


def _sample(folder: Path, name: str, captions: tuple[str, ...], origin: str) -> Sample:
    return Sample(name, captions, partial(read_picture, folder / name, str(folder / name)), origin)
