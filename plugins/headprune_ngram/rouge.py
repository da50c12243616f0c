"""The `rouge` scorer: ROUGE-L through rouge-score."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from headprune import Notice, ScoreItem, Scorer, Settings, UsageError
from headprune_ngram.gold import gold_of

_WORD = re.compile(r"\w+")


class NoWordsWarning(Notice):
    """A gold caption holds no word that the tokenizer knows, so nothing can match it."""


class RougeSettings(Settings):
    """Settings of `rouge`.

    Attributes:
        tokenizer: `ascii`, rouge-score's own, which knows only a-z and 0-9; `unicode`, the words of any language that
            is written with spaces.
        use_stemmer: compare Porter stems; with `ascii` only.
    """

    tokenizer: Literal["ascii", "unicode"] = "ascii"
    use_stemmer: bool = False


class Rouge(Scorer):
    """ROUGE-L F1 of a caption against the gold caption it matches best, 0 to 1.

    COCO's own ROUGE_L differs a little: beta 1.2, and the best precision and recall over the gold captions.

    Raises:
        UsageError: `use_stemmer` with `tokenizer=unicode`.
    """

    Settings = RougeSettings
    settings: RougeSettings
    needs: ClassVar[frozenset[str]] = frozenset({"gold"})

    def __init__(self, settings: RougeSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.use_stemmer and self.settings.tokenizer == "unicode":
            raise UsageError("use_stemmer knows English only", "give tokenizer=ascii, or leave use_stemmer out")
        unicode = self.settings.tokenizer == "unicode"
        self._tokenizer = _UnicodeWords() if unicode else DefaultTokenizer(self.settings.use_stemmer)
        self._rouge = RougeScorer(["rougeL"], tokenizer=self._tokenizer)

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """ROUGE-L F1 of each caption, 0 to 1; an empty caption scores 0.

        Raises:
            UsageError: an item has no gold captions.
        """
        return [self._one(item) for item in batch]

    def _one(self, item: ScoreItem) -> float:
        gold = gold_of(item, "rouge")
        if not any(self._tokenizer.tokenize(caption) for caption in gold):
            which = f"no gold caption of sample {item.sample!r} holds a word for tokenizer={self.settings.tokenizer}"
            hint = "; try tokenizer=unicode" if self.settings.tokenizer == "ascii" else ""
            warnings.warn(f"{which}, so it scores 0{hint}", NoWordsWarning, stacklevel=3)
        return float(self._rouge.score_multi(gold, item.caption)["rougeL"].fmeasure)

    def describe(self) -> dict[str, Any]:
        """The settings and rouge-score's version."""
        return {**super().describe(), "versions": {"rouge-score": version("rouge-score")}}


class _UnicodeWords:
    """What rouge-score asks of a tokenizer: lower-cased runs of letters and digits of any alphabet."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.lower())
