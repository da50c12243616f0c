"""What the scorers ask of an item."""

from __future__ import annotations

from headprune import ScoreItem, UsageError


def gold_of(item: ScoreItem, scorer: str) -> list[str]:
    """The item's gold captions.

    Raises:
        UsageError: it has none.
    """
    if not item.gold:
        raise UsageError(f"sample {item.sample!r} has no gold captions", f"{scorer} needs them for every sample")
    return list(item.gold)
