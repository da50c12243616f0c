"""The `exact` scorer: whether two captions, or labels, are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from headprune import ScoreItem, Scorer, Settings
from headprune_ngram.gold import gold_of


class ExactSettings(Settings):
    """Settings of `exact`.

    Attributes:
        against: `gold`, the gold captions, any of which will do: its mean is then the accuracy; `reference`, what the
            unchanged model said.
    """

    against: Literal["gold", "reference"] = "gold"


class Exact(Scorer):
    """1 where a caption is a gold caption (or the unchanged model's), else 0. Case and the amount of space are ignored,
    as `str.casefold` and `str.split` see them."""

    Settings = ExactSettings
    settings: ExactSettings

    def __init__(self, settings: ExactSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.against == "gold":
            self.needs = frozenset({"gold"})  # type: ignore[misc]  # what it needs depends on a setting

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """1.0 or 0.0 for each caption.

        Raises:
            UsageError: an item has no gold captions, and they are asked for.
        """
        gold = self.settings.against == "gold"
        return [
            float(_plain(item.caption) in map(_plain, gold_of(item, "exact") if gold else [item.reference]))
            for item in batch
        ]


def _plain(caption: str) -> str:
    return " ".join(caption.casefold().split())
