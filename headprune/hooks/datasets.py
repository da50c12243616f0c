"""From what a user typed as DATA to an opened dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from headprune.errors import DataError
from headprune.hooks.blame import blaming
from headprune.hooks.catalogue import catalogue, make_reader
from headprune.types import Dataset

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")


def open_dataset(data: str, options: dict[str, Any] | None = None) -> Dataset:
    """Open a reader's own name (`demo`), `name:rest` (`coco:captions.json:images/`), a picture folder, or a hub id.

    Raises:
        DataError: not there, or malformed. UsageError: an option the reader does not have.
    """
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
    reader = make_reader(name, options or {})
    with blaming(f"dataset {name!r}"):
        return reader.open(rest)
