"""COCO captions: one JSON file of images and annotations, and the folder of the pictures."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from headprune import (
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
from headprune_datasets.captions import NoCaption, checked
from headprune_datasets.files import folder_at, inside, json_document


class CocoSettings(Settings):
    """Options of COCO captions.

    Attributes:
        labels: a text file, a label a line: what a model without words chooses from; None takes the captions.
    """

    labels: str | None = None


class Coco(DatasetReader):
    """A COCO captions file and its folder of pictures: `coco:captions.json:images/`.

    The file holds `images` (`id`, `file_name`) and `annotations` (`image_id`, `caption`). A sample's id is its image's.
    """

    Settings = CocoSettings
    settings: CocoSettings

    def open(self, ref: str) -> Dataset:
        file, pictures = _split(ref)
        labels = read_labels(self.settings.labels) if self.settings.labels else ()
        document = json_document(file)
        captions = _captions(document, file)
        samples: list[Sample] = []
        left_out: list[LeftOut] = []
        for number, name, where in _images(document, file):
            path = pictures / name
            try:
                gold = checked(captions.pop(number, []), where)
            except NoCaption as reason:
                left_out.append(LeftOut(number, str(reason)))
                continue
            if os.path.isfile(path):  # noqa: PTH113 - False, not an exception, for a name that is too long
                samples.append(Sample(number, gold, partial(read_picture, path, str(path)), where))
            else:
                left_out.append(LeftOut(number, f"{where}: there is no picture {path}"))
        left_out += [
            LeftOut(number, f"{file.name}: image {number} has captions, but is not in images") for number in captions
        ]
        return Dataset(ref, tuple(samples), tuple(left_out), labels)


def _split(ref: str) -> tuple[Path, Path]:
    """The file and the folder of `file:folder`; either may itself hold a colon."""
    cuts = [(ref[:at], ref[at + 1 :]) for at, letter in enumerate(ref) if letter == ":" and ref[:at] and ref[at + 1 :]]
    if not cuts:
        raise UsageError(f"coco:{ref} does not name a file and a folder", "write coco:captions.json:images/")
    file, folder = next(((file, folder) for file, folder in cuts if Path(file).is_file()), cuts[0])
    return Path(file), folder_at(folder)


def _list(document: Any, key: str, file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The objects under `key`, each with where it stands."""
    entries = document.get(key) if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise DataError(f"{file} has no list of {key}", "name a COCO captions file")
    for at, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(f"{file.name} {key}[{at}] is no JSON object", "check that the file is a COCO captions file")
    return [(f"{file.name} {key}[{at}]", entry) for at, entry in enumerate(entries)]


def _images(document: Any, file: Path) -> list[tuple[str, str, str]]:
    """Each image's id, file name and where it stands.

    Raises:
        DataError: there are none, one has no id or no file name, or two have the same id.
    """
    images: dict[str, tuple[str, str, str]] = {}
    for where, entry in _list(document, "images", file):
        number = _id(entry, "id", where)
        if number in images:
            raise DataError(
                f"{where}: image {number} is listed already, as {images[number][2]}", "list each image once"
            )
        images[number] = (number, inside(entry.get("file_name"), where), where)
    if not images:
        raise DataError(f"{file} lists no images", "name a COCO captions file")
    return list(images.values())


def _captions(document: Any, file: Path) -> dict[str, list[str]]:
    """The captions of each image id, in the file's order."""
    captions: dict[str, list[str]] = {}
    for where, entry in _list(document, "annotations", file):
        if "caption" not in entry:
            raise DataError(f"{where} has no caption", "name a COCO captions file, not one of instances or key points")
        if not isinstance(entry["caption"], str):
            raise DataError(f"{where}: the caption is not text", "captions are strings")
        captions.setdefault(_id(entry, "image_id", where), []).append(entry["caption"])
    return captions


def _id(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise DataError(f"{where}: {key} is {value!r}", "ids are numbers or strings")
    found = str(value)
    try:
        found.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {key} holds half a character", "correct the file's encoding") from error
    return found
