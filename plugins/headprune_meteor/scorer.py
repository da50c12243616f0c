"""The `meteor` scorer: METEOR through nltk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, ClassVar
from zipfile import BadZipFile

from nltk.corpus import wordnet
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import meteor_score
from pydantic import Field

from headprune import ScoreItem, Scorer, Settings, UsageError

_WORD = re.compile(r"\w+")
_REMEMBERED = 100_000  # words


class MeteorSettings(Settings):
    """Settings of `meteor`, named as in nltk.

    Attributes:
        alpha: how much precision weighs against recall: F = P R / (alpha P + (1 - alpha) R).
        beta: how fast the penalty grows as the matches fall apart into chunks.
        gamma: the largest penalty.
        synonyms: match synonyms too, by nltk's WordNet corpus, which is a download of its own.
    """

    alpha: float = Field(default=0.9, ge=0, le=1)
    beta: float = Field(default=3.0, ge=0, allow_inf_nan=False)
    gamma: float = Field(default=0.5, ge=0, le=1)
    synonyms: bool = True


class Meteor(Scorer):
    """METEOR of a caption against the gold caption it matches best, 0 to 1 (Lavie and Agarwal, 2007).

    Words are matched as they are, then by stem, then by synonym; of P, the share of the caption's words that are
    matched, and R, the share of the gold caption's, comes F (1 - gamma (chunks / matches)^beta). So a copy scores just
    below 1, and a copy of a single word 0.5.

    This is nltk's METEOR and not the Java program's version 1.5, which COCO's evaluation calls. That one weighs
    function words less and each kind of match by itself, matches paraphrases, and was tuned to other values of alpha,
    beta and gamma; nltk looks synonyms up by stem, and so misses those of words that stemming shortens. Words are runs
    of letters and digits in lower case, without punctuation, as in COCO's evaluation. Stems and synonyms are English.

    Raises:
        UsageError: synonyms are asked for, and nltk's WordNet corpus is not there.
    """

    Settings = MeteorSettings
    settings: MeteorSettings
    needs: ClassVar[frozenset[str]] = frozenset({"gold"})

    def __init__(self, settings: MeteorSettings | None = None) -> None:
        super().__init__(settings)
        # What nltk asks of a stemmer and of WordNet; captions say the same few words again and again.
        self._stemmer = SimpleNamespace(stem=lru_cache(_REMEMBERED)(PorterStemmer().stem))
        self._wordnet = SimpleNamespace(synsets=lru_cache(_REMEMBERED)(self._synsets()))

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """METEOR of each caption, 0 to 1; an empty caption scores 0.

        Raises:
            UsageError: an item has no gold captions.
        """
        return [self._one(item) for item in batch]

    def describe(self) -> dict[str, Any]:
        """The settings, and the versions of nltk and of its WordNet."""
        versions = {"nltk": version("nltk")}
        if self.settings.synonyms:
            versions["wordnet"] = wordnet.get_version()
        return {**super().describe(), "versions": versions}

    def _one(self, item: ScoreItem) -> float:
        if not item.gold:
            raise UsageError(f"sample {item.sample!r} has no gold captions", "meteor needs them for every sample")
        parameters = self.settings.model_dump(exclude={"synonyms"})
        gold, said = [_WORD.findall(caption) for caption in item.gold], _WORD.findall(item.caption)
        return float(meteor_score(gold, said, stemmer=self._stemmer, wordnet=self._wordnet, **parameters))

    def _synsets(self) -> Any:
        """What gives a word's synsets: WordNet, or without `synonyms` an empty one."""
        if not self.settings.synonyms:
            return lambda word: ()
        try:
            wordnet.ensure_loaded()
        except (LookupError, OSError, BadZipFile) as error:  # not there; not whole
            raise UsageError(
                "meteor needs nltk's WordNet corpus, which cannot be found or read",
                "python -m nltk.downloader wordnet, or --scorer-option synonyms=false: words and stems only",
            ) from error
        return wordnet.synsets
