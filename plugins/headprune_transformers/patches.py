"""How many tokens a picture has in a tower."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def patches(vision: Any) -> int:
    """Patches of a picture, or a tile, of the size in the tower's configuration."""
    (height, width), (high, wide) = _pair(vision.image_size), _pair(vision.patch_size)
    return int((height // high) * (width // wide))


def _pair(size: int | Sequence[int]) -> Sequence[int]:
    return (size, size) if isinstance(size, int) else size
