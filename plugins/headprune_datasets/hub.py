"""Datasets of the Hugging Face hub, and parquet files and folders of the same form, through the `datasets` library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import datasets
import pyarrow.compute as pc
from huggingface_hub.constants import HF_HUB_CACHE
from PIL import Image
from pydantic import field_validator

from headprune import (
    DataError,
    Dataset,
    DatasetReader,
    LeftOut,
    PictureError,
    Sample,
    Settings,
    UsageError,
    read_labels,
    read_picture,
)
from headprune_datasets.captions import NoCaption, checked, column_of, parsed_list

_COMMIT = re.compile(r"[0-9a-f]{40}")


class HubSettings(Settings):
    """Options of a hub dataset.

    Attributes:
        split: one split's name; None takes the only one there is. Slices are refused: they would renumber the rows.
        revision: a branch, tag or commit; None is the branch `main` of now. The commit is recorded in `Dataset.ref`.
        config: the dataset's configuration, where it has several.
        image: the column of the pictures.
        captions: the column of the captions, several with commas between (their captions are put together), `none` for
            pictures without captions; None takes `captions`, `caption` or `text`. A column of class labels is read as
            the classes' names.
        labels: a text file, a label a line: what a model without words chooses from; None takes the names of the
            classes where `captions` names a column of class labels, else the captions.
    """

    split: str | None = None
    revision: str | None = None
    config: str | None = None
    image: str = "image"
    captions: str | None = None
    labels: str | None = None

    @field_validator("split")
    @classmethod
    def _one_split(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.-]+", value):
            raise ValueError("one split's name: to take a part of it, use --samples and --seed")
        return value


class WhoopsSettings(HubSettings):
    """Options of WHOOPS: those of a hub dataset, set for it."""

    split: str | None = "test"
    captions: str | None = "crowd_captions"


class Hub(DatasetReader):
    """A dataset of the hub: `hub:owner/name`, `hub:owner/name@revision`, or a local parquet file or folder.

    A sample's id is its row number in the split, from 0. Pictures are read from the rows when they are asked for.
    """

    Settings = HubSettings
    settings: HubSettings

    def open(self, ref: str) -> Dataset:
        if not ref:
            raise UsageError("no dataset is named", "write hub:owner/name")
        table, pinned = self._table(ref)
        columns = self._caption_columns(table.column_names, pinned)
        pictures = _pictures(table, self.settings.image, pinned)
        homes = _homes(ref)
        absent = _absent(pictures, self.settings.image)
        classes = {name: kind.names for name, kind in table.features.items() if isinstance(kind, datasets.ClassLabel)}
        named = tuple(dict.fromkeys(label for column in columns for label in classes.get(column, ())))
        labels = read_labels(self.settings.labels) if self.settings.labels else named
        samples: list[Sample] = []
        left_out: list[LeftOut] = []
        for row, values in enumerate(_values(table, columns, classes)):
            where = f"{pinned} row {row}"
            try:
                gold = checked(self._captions(values, where), where) if columns else ()
            except NoCaption as reason:
                left_out.append(LeftOut(str(row), str(reason)))
                continue
            if row in absent:
                left_out.append(LeftOut(str(row), f"{where}: there is no picture"))
            else:
                load = partial(_read, pictures, self.settings.image, row, where, homes)
                samples.append(Sample(str(row), gold, load, where))
        return Dataset(pinned, tuple(samples), tuple(left_out), labels)

    def _captions(self, values: dict[str, Any], where: str) -> Any:
        """The captions of one row: of one column as they are, of several put together, empty cells left out."""
        if len(values) == 1:
            return next(iter(values.values()))
        cells = [value for value in values.values() if value is not None]
        return [caption for cell in cells for caption in (cell if isinstance(cell, list) else [cell])]

    def _caption_columns(self, present: list[str], ref: str) -> list[str]:
        named = self.settings.captions
        if named is None:
            return [column_of(present, ref)]
        columns = [] if named == "none" else [name.strip() for name in named.split(",")]
        for column in columns:
            _want(column, present, ref, "captions")
        return columns

    def _table(self, ref: str) -> tuple[datasets.Dataset, str]:
        """The split's table, and `ref` with the commit it was read from."""
        name, _, pin = (ref, "", "") if Path(ref).exists() else ref.partition("@")
        if pin and self.settings.revision not in (None, pin):
            raise UsageError(f"{ref} and revision={self.settings.revision} name two revisions", "name one")
        revision = pin or self.settings.revision
        try:
            builder = datasets.load_dataset_builder(**_place(name, self.settings), revision=revision)
            builder.download_and_prepare()
            split = self._split(list(builder.info.splits or ()), ref)
            table = builder.as_dataset(split=split)
        except (DataError, UsageError):
            raise
        except Exception as error:  # the library raises its own, pyarrow's, the hub's and the network's exceptions
            raise _worded(ref, error) from error
        commit = builder.hash if builder.repo_id else None
        if commit and revision and _COMMIT.fullmatch(revision) and commit != revision:
            # Offline, the library takes whatever it has in its cache.
            raise DataError(f"{name} at {revision} is not there, only {commit} is", "go online, or name that revision")
        return table, f"{name}@{commit}" if commit else name

    def _split(self, present: list[str], ref: str) -> str:
        split = self.settings.split or (present[0] if len(present) == 1 else None)
        if split not in present or split is None:
            wanted = f"no split {split!r}" if split else "more than one split"
            raise DataError(
                f"{ref} has {wanted}", f"--dataset-option split=NAME, one of: {', '.join(map(str, present))}"
            )
        return split


class Whoops(Hub):
    """WHOOPS (`nlphuji/whoops`), with five crowd captions a picture; `whoops:FILE.parquet` reads a local copy.

    Some revisions hold the captions as a list, others as a JSON list in a string; both are read.
    """

    Settings = WhoopsSettings
    settings: WhoopsSettings

    def open(self, ref: str) -> Dataset:
        return super().open(ref or "nlphuji/whoops")

    def _captions(self, values: dict[str, Any], where: str) -> Any:
        value = super()._captions(values, where)
        return parsed_list(value, where) if isinstance(value, str) and value.startswith("[") else value


def _place(name: str, settings: HubSettings) -> dict[str, Any]:
    """Where the library finds the dataset: a parquet file by itself, a folder or the hub by its name."""
    if Path(name).is_file():
        if not name.endswith(".parquet"):
            raise DataError(f"{name} is not a parquet file", "name a .parquet file, a folder or owner/name")
        return {"path": "parquet", "data_files": {settings.split or "train": name}}
    return {"path": name, "name": settings.config}


def _worded(ref: str, error: Exception) -> DataError:
    message = str(error).strip().split("\n")[0] or type(error).__name__
    if "scripts are no longer supported" in message:
        hint = "it may have been converted: --dataset-option revision=refs/convert/parquet"
    elif isinstance(error, ConnectionError):
        hint = "check the network; offline, only what was fetched before can be read"
    else:
        hint = "name a dataset of the hub as owner/name, or a local parquet file or folder"
    return DataError(f"{ref} cannot be loaded: {message}", hint)


def _want(column: str, present: list[str], ref: str, option: Literal["image", "captions"]) -> None:
    if column not in present:
        raise DataError(
            f"{ref} has no column {column!r}", f"--dataset-option {option}=NAME, one of: {', '.join(present)}"
        )


def _pictures(table: datasets.Dataset, column: str, ref: str) -> datasets.Dataset:
    """The column of pictures alone, as bytes or paths: decoding is ours, and happens when a picture is asked for."""
    _want(column, table.column_names, ref, "image")
    try:
        return table.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except (TypeError, ValueError, NotImplementedError) as error:  # what pyarrow raises is one of these
        raise DataError(f"{ref}: the column {column!r} holds no pictures", "--dataset-option image=NAME") from error


def _absent(pictures: datasets.Dataset, column: str) -> set[int]:
    """The rows that hold neither bytes nor a path; no picture is copied to find out."""
    cells = pictures.data.column(column)
    bytes_, path = pc.struct_field(cells, "bytes"), pc.struct_field(cells, "path")
    rows = pc.indices_nonzero(pc.and_(pc.is_null(bytes_), pc.is_null(path)))
    return set(rows.to_pylist())


def _values(table: datasets.Dataset, columns: list[str], classes: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    """The caption columns of each row, in order, classes by their names; empty for each row when there are none."""
    if not columns:
        yield from ({} for _ in range(len(table)))
        return
    for values in table.select_columns(columns):
        yield {name: _named(value, classes[name]) if name in classes else value for name, value in values.items()}


def _named(number: int | None, names: list[str]) -> str | None:
    # -1 is the library's own number for a row without a label.
    return None if number is None or number < 0 else names[number]


def _homes(ref: str) -> tuple[Path, ...]:
    """The folders that rows may name pictures in: a local folder itself, of the hub where the library puts files."""
    if Path(ref).is_dir():
        return (Path(ref).resolve(),)
    fetched = (HF_HUB_CACHE, datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH)
    return () if Path(ref).exists() else tuple(Path(folder).resolve() for folder in fetched)


def _read(pictures: datasets.Dataset, column: str, row: int, where: str, homes: tuple[Path, ...] = ()) -> Image.Image:
    cell = pictures[row][column]
    if cell["bytes"] is not None:
        return read_picture(cell["bytes"], where)
    # The library gives the pictures of a folder with whole paths; anything else was written into the row.
    path = Path(os.path.normpath(cell["path"]))
    if not any(path.is_relative_to(home) for home in homes):
        raise PictureError(f"{where} names a file, {cell['path']!r}, instead of holding a picture", "leave it out")
    return read_picture(path, f"{where} ({cell['path']})")
