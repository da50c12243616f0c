"""Descriptions as text that is the same wherever they are, and the digests that they are known by."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    Raises:
        TypeError, ValueError: the value is not plain JSON (NaN and infinities included).
    """
    return _JSON.encode(value)


def digest_of(text: str) -> str:
    """The sha256 of a description, under which it is stored."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
