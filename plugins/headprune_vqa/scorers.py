"""The scorers: an answer against the answers that people gave."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from headprune import ScoreItem, Scorer, Settings, UsageError, notice
from headprune_vqa.answers import normalized


class _VqaScorer(Scorer):
    """Compares normalized answers; see `headprune_vqa.answers`."""

    needs: ClassVar[frozenset[str]] = frozenset({"gold"})

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """0 to 1 for each answer.

        Raises:
            UsageError: an item has no gold answers.
        """
        lacking = next((item.sample for item in batch if not item.gold), None)
        if lacking is not None:
            raise UsageError(f"sample {lacking!r} has no gold answers", "VQA's scorers need them for every sample")
        return [self._one(normalized(item.caption), [normalized(gold) for gold in item.gold]) for item in batch]

    @abstractmethod
    def _one(self, said: str, gold: Sequence[str]) -> float:
        """The score of one normalized answer."""


class VqaExactSettings(Settings):
    """Settings of `vqa-exact`.

    Attributes:
        agreement: how many people must have given an answer for it to count in full. 1: any gold answer will do.
            More: VQA's own accuracy, for which it is 3.
    """

    agreement: int = Field(default=1, ge=1)


class VqaExact(_VqaScorer):
    """1 where an answer is one of the gold answers, else 0; with `agreement` above 1 partial credit.

    VQA's accuracy is min(count / agreement, 1), `count` being how many of the gold answers are this one, averaged over
    leaving out each gold answer in turn (https://visualqa.org/evaluation.html). Of ten people one gives 0.3, two 0.6,
    three 0.9, four 1. Gold answers are normalized like the answer itself; VQA's code leaves those on which all agree as
    they are.
    """

    Settings = VqaExactSettings
    settings: VqaExactSettings

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        """Say where there are too few gold answers for a whole point."""
        enough = self.settings.agreement + 1 if self.settings.agreement > 1 else 1
        few = sum(len(answers) < enough for answers in gold)
        if few:
            short = f"{few} of {len(gold)} samples have fewer than {enough} gold answers"
            notice(f"{short}: no answer to them can score 1 with agreement={self.settings.agreement}")

    def _one(self, said: str, gold: Sequence[str]) -> float:
        people, count, agreement = len(gold), gold.count(said), self.settings.agreement
        if agreement == 1:
            return float(count > 0)
        # Leaving out one of the `count` who gave this answer, and one of the others.
        with_fewer, with_all = min((count - 1) / agreement, 1.0), min(count / agreement, 1.0)
        return (count * with_fewer + (people - count) * with_all) / people


class VqaF1(_VqaScorer):
    """F1 of an answer's words against the gold answer it matches best, 0 to 1 (Rajpurkar et al., 2016).

    As in SQuAD, but with VQA's rules for what a word is. Against an answer without words F1 is 1 where the other has
    none either, else 0.
    """

    def _one(self, said: str, gold: Sequence[str]) -> float:
        return max(_f1(said.split(), answer.split()) for answer in gold)


def _f1(said: list[str], gold: list[str]) -> float:
    if not (said and gold):
        return float(said == gold)
    # 2 P R / (P + R), with P = shared / len(said) and R = shared / len(gold)
    return 2.0 * (Counter(said) & Counter(gold)).total() / (len(said) + len(gold))
