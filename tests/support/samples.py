"""Samples and a scorer for tests that need no real data and no real metric."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from headprune import Dataset, Sample, ScoreItem, Scorer


class Overlap(Scorer):
    """Words two captions share, of all their words: 1 for equal ones, 1 for two empty ones."""

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        pairs = [(set(item.caption.split()), set(item.reference.split())) for item in batch]
        return [len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]


class GoldOverlap(Overlap):
    """The same against the best gold caption."""

    needs = frozenset({"gold"})

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        score = super().score
        return [max(score([ScoreItem(item.caption, gold) for gold in item.gold])) for item in batch]


def dataset(
    pictures: Sequence[Image.Image], captions: Sequence[str] = ("word24 word14", "word12 word36 word4")
) -> Dataset:
    samples = (
        Sample(f"p{n}.png", tuple(captions), lambda picture=picture: picture) for n, picture in enumerate(pictures)
    )
    return Dataset("noise", tuple(samples))
