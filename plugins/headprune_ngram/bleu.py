"""The `bleu` scorer: sentence BLEU-4 through sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import sacrebleu
from sacrebleu.metrics.bleu import BLEU

from headprune import ScoreItem, Scorer, Settings
from headprune_ngram.gold import gold_of


class BleuSettings(Settings):
    """Settings of `bleu`, named as in sacrebleu.

    Attributes:
        tokenize: sacrebleu's tokenizer; `zh` and `char` for languages written without spaces.
        lowercase: compare without case, as captions are compared elsewhere.
        smooth_method: what stands in for an n-gram order without a match; without smoothing most captions score 0.
        effective_order: leave out n-gram orders that a caption is too short to have.
    """

    tokenize: Literal["13a", "intl", "zh", "char", "none"] = "13a"
    lowercase: bool = True
    smooth_method: Literal["exp", "floor", "add-k", "none"] = "exp"
    effective_order: bool = True


class Bleu(Scorer):
    """Sentence BLEU-4 of a caption against its gold captions, 0 to 1 (sacrebleu's value divided by 100)."""

    Settings = BleuSettings
    settings: BleuSettings
    needs: ClassVar[frozenset[str]] = frozenset({"gold"})

    def __init__(self, settings: BleuSettings | None = None) -> None:
        super().__init__(settings)
        self._bleu = BLEU(**self.settings.model_dump())

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """BLEU of each caption, 0 to 1; an empty caption scores 0.

        Raises:
            UsageError: an item has no gold captions.
        """
        return [self._one(item) for item in batch]

    def _one(self, item: ScoreItem) -> float:
        bleu = self._bleu.sentence_score(item.caption, gold_of(item, "bleu")).score
        return min(1.0, bleu / 100.0)  # a perfect caption comes out at 100.00000000000004

    def describe(self) -> dict[str, Any]:
        """The settings and sacrebleu's version."""
        return {**super().describe(), "versions": {"sacrebleu": sacrebleu.__version__}}
