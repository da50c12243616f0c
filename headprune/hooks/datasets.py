"""From what a user typed as DATA to an opened dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headprune.errors import DataError
from headprune.hooks.blame import blaming
from headprune.hooks.catalogue import catalogue, make_reader
from headprune.hooks.checks import checked_type
from headprune.types import Dataset

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")


def open_dataset(data: str, options: dict[str, Any] | None = None, reader: str | None = None) -> Dataset:
    """Open a reader's own name (`demo`), `name:rest` (`coco:captions.json:images/`), a picture folder, or a hub id.

    Args:
        data: what the user typed.
        options: of the reader.
        reader: the reader to open `data` with, by name or `./file.py:Class`, where `data` itself does not tell.

    Raises:
        DataError: not there, or malformed. UsageError: an option the reader does not have. PluginError: no such reader.
    """
    name, rest = (reader, data) if reader else _named(data)
    made = make_reader(name, options or {})
    with blaming(f"dataset {name!r}", made):
        return checked_type(made.open(rest), Dataset, f"dataset {name!r}", type(made).open)


def _named(data: str) -> tuple[str, str]:
    """The reader that `data` tells, and what is to be opened by it."""
    name, _, rest = data.partition(":")
    if name not in catalogue().names("dataset"):
        rest = data
        if Path(data).is_dir():
            name = "imagefolder"
        elif _HUB_ID.fullmatch(data) and not data.startswith("."):
            name = "hub"
        else:
            readers = ", ".join(catalogue().names("dataset"))
            raise DataError(
                f"data {data} is not there", f"a folder of pictures, a hub id owner/name, or one of {readers}"
            )
    return name, rest
