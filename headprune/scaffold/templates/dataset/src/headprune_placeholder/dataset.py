"""The dataset `placeholder`: a text file of pictures' paths and captions."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import headprune
from pydantic import Field


class PlaceholderSettings(headprune.Settings):
    """What can be set, by `--dataset-option separator=';'` or in a recipe.

    Attributes:
        separator: what stands between path and caption; a tab, unless set.
    """

    separator: str = Field(default="\t", min_length=1)


class Placeholder(headprune.DatasetReader):
    """Opens `placeholder:FILE`, which has a path and a caption a line.

    Paths are relative to the file. A picture with several lines has several captions.
    """

    Settings = PlaceholderSettings
    settings: PlaceholderSettings

    def open(self, ref: str) -> headprune.Dataset:
        """Return the samples, in the order of their source. Open no picture here.

        A sample has an id that is its own and stays the same, captions (none will
        do), and `load`, which opens the picture as RGB whenever it is called, or
        raises headprune.PictureError. `headprune.read_picture` does both.

        Args:
            ref: what the user typed behind `placeholder:`.

        Raises:
            headprune.DataError: the file is missing, or a line of it is wrong.
        """
        file = Path(ref)
        captions: dict[str, list[str]] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(_read(file).splitlines(), start=1):
            if not line.strip():
                continue
            picture, separator, caption = line.partition(self.settings.separator)
            if not separator or not picture.strip() or not caption.strip():
                raise headprune.DataError(
                    f"{file} line {number} is no path and caption: {line[:40]!r}",
                    f"put {self.settings.separator!r} between them",
                )
            captions.setdefault(picture.strip(), []).append(caption.strip())
            lines.setdefault(picture.strip(), number)
        if not captions:
            raise headprune.DataError(f"{file} is empty", "give each picture a line")
        samples = tuple(
            headprune.Sample(
                id=picture,
                captions=tuple(said),
                load=partial(headprune.read_picture, file.parent / picture, picture),
                origin=f"{file.name} line {lines[picture]}",
            )
            for picture, said in captions.items()
        )
        return headprune.Dataset(ref, samples)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise headprune.DataError(
            f"{file} cannot be read: {error}",
            "name a text file in UTF-8: placeholder:FILE",
        ) from error
