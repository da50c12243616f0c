"""The `cider` scorer: its settings, its document frequencies, and its memory of what it has scored."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from headprune import Notice, ScoreItem, Scorer, Settings, UsageError
from headprune_cider import ptb
from headprune_cider.frequencies import DocumentFrequencies, Tokens
from headprune_cider.ptb_java import JavaTokenizer
from headprune_cider.vectors import CiderD

FEW_DOCUMENTS = 500
_REMEMBERED = 200_000  # tokenized captions, some 100 MB


class FewDocumentsWarning(Notice):
    """The document frequencies come from so few images that CIDEr is inflated."""


class CiderSettings(Settings):
    """Settings of `cider`.

    Attributes:
        tokenizer: `ptb`, the Penn Treebank's rules without Java; `ptb-java`, Stanford's Java tokenizer as in published
            values (`pip install 'headprune[ptb]'`, and Java); `none`, the captions are tokenized already.
        df: a JSON file of document frequencies (see `headprune_cider.frequencies`); without it they are counted over
            all gold captions of the dataset.
    """

    tokenizer: Literal["ptb", "ptb-java", "none"] = "ptb"
    df: Path | None = None


class Cider(Scorer):
    """CIDEr-D of a caption against its gold captions, 0 to 10, n-grams of 1 to 4 tokens, sigma 6.

    Equal to pycocoevalcap's `Cider` on the same tokens, except that the document frequencies are those of the whole
    dataset (or of the `df` file) and not of the captions that happen to be scored.

    Raises:
        UsageError: Java or pycocoevalcap is missing for `ptb-java`; document frequencies of a single image, from
            which every CIDEr is 0.
        DataError: the `df` file is missing or malformed.
    """

    Settings = CiderSettings
    settings: CiderSettings
    needs: ClassVar[frozenset[str]] = frozenset({"gold"})

    def __init__(self, settings: CiderSettings | None = None) -> None:
        super().__init__(settings)
        self._java = JavaTokenizer() if self.settings.tokenizer == "ptb-java" else None
        self._tokens: dict[str, Tokens] = {}
        self._measure: CiderD | None = None
        if self.settings.df is not None:
            self._use(DocumentFrequencies.load(self.settings.df, self.settings.tokenizer))

    def fit(self, gold: Sequence[Sequence[str]]) -> None:
        """Count document frequencies over `gold`, one set of captions per image; samples without captions do not count.

        With a `df` file this does nothing.

        Raises:
            UsageError: fewer than two samples have gold captions.
        """
        if self.settings.df is not None:
            return
        sets = [captions for captions in gold if captions]
        if not sets:
            raise UsageError("cider needs gold captions, and the dataset has none", "use a scorer such as bertscore")
        self._tokenize(caption for captions in sets for caption in captions)
        counted = ([self._tokens[caption] for caption in captions] for captions in sets)
        self._use(DocumentFrequencies.count(counted, "gold captions of the dataset"))

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """CIDEr-D of each caption, 0 to 10; an empty caption scores 0.

        Raises:
            UsageError: neither `fit` nor `df` gave document frequencies; an item has no gold captions.
        """
        if self._measure is None:
            raise UsageError("cider has no document frequencies", "call `fit` with all gold captions, or give df=FILE")
        for item in batch:
            if not item.gold:
                raise UsageError(f"sample {item.sample!r} has no gold captions", "cider needs them for every sample")
        self._tokenize(caption for item in batch for caption in (item.caption, *item.gold))
        known, measure = self._tokens, self._measure
        return [measure.score(known[item.caption], tuple(known[gold] for gold in item.gold)) for item in batch]

    def describe(self) -> dict[str, Any]:
        """The tokenizer, and the source, number of images and fingerprint of the document frequencies."""
        described: dict[str, Any] = {"tokenizer": self.settings.tokenizer}
        if self._measure is not None:
            counted = self._measure.frequencies
            described["df"] = {
                "source": counted.source,
                "documents": counted.documents,
                "sha256": counted.fingerprint(),
            }
        if self._java is not None:
            described["versions"] = self._java.versions()
        return described

    def save_frequencies(self, path: Path) -> None:
        """Write the document frequencies in use as a file that `df` reads.

        Raises:
            UsageError: there are none yet.
        """
        if self._measure is None:
            raise UsageError("cider has no document frequencies to write", "call `fit` with all gold captions first")
        self._measure.frequencies.save(path, self.settings.tokenizer)

    def _use(self, frequencies: DocumentFrequencies) -> None:
        """Score with `frequencies` from now on, and forget the scores made with others."""
        if frequencies.documents < 2:
            raise UsageError(
                "document frequencies from a single image make every CIDEr 0", "give more samples, or df=FILE"
            )
        if frequencies.documents < FEW_DOCUMENTS:
            message = f"CIDEr's document frequencies come from {frequencies.documents} images ({frequencies.source})"
            warnings.warn(f"{message}; from fewer than 500 it is inflated", FewDocumentsWarning, stacklevel=3)
        self._measure = CiderD(frequencies)

    def _tokenize(self, captions: Iterable[str]) -> None:
        """Make sure that the tokens of `captions` are in `_tokens`."""
        if len(self._tokens) > _REMEMBERED:
            self._tokens.clear()
        new = [caption for caption in dict.fromkeys(captions) if caption not in self._tokens]
        if self._java is not None:
            self._tokens.update(zip(new, self._java(new) if new else (), strict=True))
        elif self.settings.tokenizer == "ptb":
            self._tokens.update((caption, ptb.tokenize(caption)) for caption in new)
        else:
            self._tokens.update((caption, tuple(caption.split())) for caption in new)
