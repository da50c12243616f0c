"""Lists of labels, from which a model chooses that has no words of its own."""

from __future__ import annotations

from pathlib import Path

from headprune.errors import DataError


def read_labels(path: str | Path) -> tuple[str, ...]:
    """The labels in a UTF-8 text file, one a line, without the space around them; blank lines are skipped.

    Raises:
        DataError: the file is not there or cannot be read, holds no label, or one twice.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"labels {path} cannot be read: {error.strerror}", "name a text file, a label a line"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"labels {path} are not UTF-8", "save the file as UTF-8") from error
    found: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        label = line.strip()
        if label in found:
            raise DataError(
                f"{path} line {number}: {label!r} stands on line {found[label]} already", "keep one of them"
            )
        if label:
            found[label] = number
    if not found:
        raise DataError(f"{path} holds no labels", "write a label a line")
    return tuple(found)
