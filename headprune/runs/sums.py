"""The sum that every row of a store carries: SQLite sees when its own structure is damaged, not when a letter is."""

from __future__ import annotations

import zlib


def row_sum(*values: str | int | float) -> int:
    """CRC-32 over a row's values and the names of what it refers to, which tells a row from any with a byte changed."""
    return ended(0, *values)


def begun(*values: str | int | float) -> int:
    """The sum of a row's first values, to be `ended` with the others: many rows begin alike."""
    return zlib.crc32(_joined(values) + b"\0")


def ended(beginning: int, *values: str | int | float) -> int:
    """The sum of a row that has begun."""
    return zlib.crc32(_joined(values), beginning)


def _joined(values: tuple[str | int | float, ...]) -> bytes:
    texts = [value.hex() if isinstance(value, float) else str(value) for value in values]
    return "\0".join(texts).encode("utf-8", "surrogatepass")
