"""Gold captions: text that somebody else wrote, taken as it stands or refused, never repaired."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headprune import DataError

COLUMNS = ("captions", "caption", "text")
"""The columns that may hold captions, by the image folder convention."""


class NoCaption(Exception):
    """A row has no usable caption; the message says why. The row is left out."""


def checked(value: Any, where: str) -> tuple[str, ...]:
    """The captions of a row, given as one string or a list of strings.

    Raises:
        NoCaption: there is none, or one of them is blank.
        DataError: one of them is not text.
    """
    values = value if isinstance(value, list | tuple) else [] if value is None else [value]
    for number, caption in enumerate(values, 1):
        if not isinstance(caption, str):
            raise DataError(f"{where}: caption {number} is {_kind(caption)}, not text", "captions are strings")
        try:
            caption.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{where}: caption {number} holds half a character", "correct its encoding") from error
    if not values:
        raise NoCaption(f"{where}: there is no caption")
    blank = [str(number) for number, caption in enumerate(values, 1) if not caption.strip()]
    if blank:
        raise NoCaption(f"{where}: caption {', '.join(blank)} of {len(values)} is blank")
    return tuple(values)


def column_of(present: Sequence[str], where: str) -> str:
    """Which of the columns that a row or a table has holds the captions.

    Raises:
        DataError: none of COLUMNS, or several.
    """
    found = [key for key in COLUMNS if key in present]
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"{where}: captions in more than one column: {', '.join(found)}", "name one of them, or keep one"
        )
    told = ", ".join(map(str, present)) or "none"
    raise DataError(f"{where}: no column of captions ({', '.join(COLUMNS)})", f"its columns: {told}")


def parsed_list(text: str, where: str) -> list[Any]:
    """The list that a cell holds as JSON.

    Raises:
        DataError: it holds something else.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: the captions are no JSON list: {error}", 'write ["one", "two"]') from error
    if not isinstance(value, list):
        raise DataError(f"{where}: the captions are {_kind(value)}, not a JSON list", 'write ["one", "two"]')
    return value


def _kind(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a truth value",
        int: "a number",
        float: "a number",
        dict: "a table",
        list: "a list",
    }
    return names.get(type(value), "text" if isinstance(value, str) else f"a {type(value).__name__}")
