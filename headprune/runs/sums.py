"""The sum that every row of a store carries: SQLite sees when its own structure is damaged, not when a letter is."""

from __future__ import annotations

import zlib


def row_sum(*values: str | int | float) -> int:
    """CRC-32 over a row's values and the names of what it refers to, which tells a row from any with a byte changed."""
    return zlib.crc32("\0".join(map(_text, values)).encode("utf-8", "surrogatepass"))


def begun(*values: str) -> int:
    """The sum of a row's first values, for `ended`: many rows begin alike."""
    return zlib.crc32("\0".join((*values, "")).encode("utf-8", "surrogatepass"))


def ended(beginning: int, layer: int, head: int, behind: str, value: str | float) -> int:
    """`row_sum` of what has begun, layer, head, `behind` (empty, or a name with a zero behind it) and a value; in one
    breath, as a run has thousands of rows."""
    text = f"{layer}\0{head}\0{behind}{value.hex() if isinstance(value, float) else value}"
    return zlib.crc32(text.encode("utf-8", "surrogatepass"), beginning)


def _text(value: str | int | float) -> str:
    return value.hex() if isinstance(value, float) else str(value)
