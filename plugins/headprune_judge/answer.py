"""What the judge answers, read strictly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

LEVELS = (1, 3, 5)
CRITERIA = ("entities", "specificity", "information", "correspondence")


class Unusable(Exception):
    """An answer that is none, and why."""


def _level(number: int) -> int:
    if number not in LEVELS:
        raise ValueError(f"{number} is no level: {', '.join(map(str, LEVELS))}")
    return number


# Not a Literal: to that, `true` would be 1.
Level = Annotated[int, AfterValidator(_level)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Rating(_Strict):
    layer: int
    entities: Level
    specificity: Level
    information: Level
    correspondence: Level


class _Ratings(_Strict):
    ratings: list[_Rating]


def read_ratings(text: str, layers: Sequence[int]) -> list[list[float]]:
    """Ratings of each of `layers`, [layers][criteria], from one JSON object in `text`.

    The information of the first of several layers counts as 3, whatever was answered (METHOD.md, Abstract to concrete).

    Raises:
        Unusable: there is no such object or more than one, a level is not 1, 3 or 5, or the layers are not these, each
            once and in order.
    """
    try:
        found = _Ratings.model_validate(_only_object(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    named = [rating.layer for rating in found.ratings]
    if named != list(layers):
        raise Unusable(f"it rates layers {named}, and was asked for {list(layers)}")
    ratings = [[float(getattr(rating, criterion)) for criterion in CRITERIA] for rating in found.ratings]
    if len(ratings) > 1:
        ratings[0][CRITERIA.index("information")] = 3.0
    return ratings


def _only_object(text: str) -> Any:
    """The JSON object in `text`, which may stand in a code fence or between words; braces elsewhere are too much."""
    start = text.find("{")
    if start < 0:
        raise Unusable("there is no JSON object in it")
    try:
        found, end = json.JSONDecoder(object_pairs_hook=_once).raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise Unusable(f"its JSON is broken or cut off: {error.msg}") from None
    except (ValueError, RecursionError):  # thousands of digits, or of brackets
        raise Unusable("its JSON is none that was asked for") from None
    if "{" in text[end:]:
        raise Unusable("there is more than one JSON object in it")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise Unusable("a name stands twice in its JSON")
    return dict(pairs)
