"""CIDEr-D of one caption against its references (Vedantam et al., 2015, clipped and length-penalised: "-D")."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from headprune_cider.frequencies import MAX_ORDER, DocumentFrequencies, Tokens, ngrams

SIGMA = 6.0  # of the length penalty, in tokens
SCALE = 10.0


@dataclass(frozen=True, slots=True)
class Vector:
    """A caption's tf-idf weights: per n-gram order a dict and its norm; `length` in tokens."""

    weights: tuple[dict[Tokens, float], ...]
    norms: tuple[float, ...]
    length: int


class CiderD:
    """Scores tokenized captions under one set of document frequencies, and remembers what it has scored.

    A set of references is met once per variant of its image, a caption again whenever two variants say the same.
    """

    def __init__(self, frequencies: DocumentFrequencies) -> None:
        self.frequencies = frequencies
        self._vector = lru_cache(maxsize=20_000)(self._vectorize)
        self.score = lru_cache(maxsize=200_000)(self._score)

    def _score(self, caption: Tokens, references: tuple[Tokens, ...]) -> float:
        """CIDEr-D, 0 to 10: the similarity averaged over n-gram orders and references, times 10."""
        vector = self._vector(caption)
        total = sum(_similarity(vector, self._vector(reference)) for reference in references)
        return SCALE * total / (MAX_ORDER * len(references))

    def _vectorize(self, tokens: Tokens) -> Vector:
        """Weights of `tokens`: count * (log N - log df), with raw counts as pycocoevalcap has them."""
        weights: tuple[dict[Tokens, float], ...] = tuple({} for _ in range(MAX_ORDER))
        for gram, count in Counter(ngrams(tokens)).items():
            weights[len(gram) - 1][gram] = count * self.frequencies.idf(gram)
        norms = tuple(math.sqrt(sum(weight * weight for weight in order.values())) for order in weights)
        return Vector(weights, norms, len(tokens))


def _similarity(caption: Vector, reference: Vector) -> float:
    """Clipped cosine summed over the n-gram orders, each 0 to 1, times the length penalty."""
    total = 0.0
    for order in range(MAX_ORDER):
        norm = caption.norms[order] * reference.norms[order]
        if norm == 0.0:
            continue
        other = reference.weights[order]
        shared = ((weight, other[gram]) for gram, weight in caption.weights[order].items() if gram in other)
        total += sum(min(weight, theirs) * theirs for weight, theirs in shared) / norm
    return total * math.exp(-((caption.length - reference.length) ** 2) / (2.0 * SIGMA**2))
