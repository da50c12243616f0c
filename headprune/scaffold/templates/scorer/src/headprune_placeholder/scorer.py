"""The scorer `placeholder`: the words a caption shares with its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import headprune
from pydantic import Field


class PlaceholderSettings(headprune.Settings):
    """What can be set, by `--scorer-option beta=2` or in a recipe.

    Attributes:
        beta: how many times as much as precision recall counts.
    """

    beta: float = Field(default=1.0, gt=0)


class Placeholder(headprune.Scorer):
    """F-beta of a caption's words against the reference's, each word counted once.

    A scorer is given captions of a changed model, and says how near each is to
    what it is compared with. It never sees the model.

    Attributes:
        needs: what an item must hold beside `caption` and `reference`: any of
            "gold" (the dataset's captions) and "picture".
        higher_is_better: the direction of the numbers.
    """

    Settings = PlaceholderSettings
    settings: PlaceholderSettings
    needs: ClassVar[frozenset[str]] = frozenset()
    higher_is_better: ClassVar[bool] = True

    def score(self, batch: Sequence[headprune.ScoreItem]) -> list[float]:
        """Return one finite float for each item, in the items' order.

        An item's score must not depend on the items beside it. Captions may be
        empty, very long, and in any language.
        """
        return [self._one(item.caption, item.reference) for item in batch]

    def _one(self, caption: str, reference: str) -> float:
        said, wanted = (set(text.casefold().split()) for text in (caption, reference))
        weight = self.settings.beta**2
        total = len(said) + weight * len(wanted)
        return (1 + weight) * len(said & wanted) / total if total else 1.0
