"""The `concreteness` scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from headprune import LayerRater, RateItem
from headprune_wordnet.reading import Reading, read

_VERSION = 1  # of the rules below and of `reading`


class WordNetConcreteness(LayerRater):
    """How concrete a caption is, by WordNet 3.0 and four rules, each from 1 to 5. English only.

    WordNet, because it can be had under a free licence (55,000 nouns of one word are shipped) and because its tree
    tells `animal`, `dog` and `poodle` apart, which is what section 4.4 is about; people who rate how concrete words are
    find that all three can be touched. In the place of a judge's four criteria:

    - `entities`: 1 more than the number of different things named, 5 at most.
    - `specificity`: the mean depth of these things in WordNet's tree, d, as 1 + (d - 2) / 2 within 1 and 5: `object`,
      two steps from the root, is 1, `person` 1.5, `animal` 3, `dog` 4, `truck` 5. 1 where nothing is named.
    - `information`: 1 more than the number of other words of content (qualities, numbers, deeds), 5 at most.
    - `agreement`: the picture is not seen; in its place stands what the whole model says: 1 + 4 * F1 of the words of
      content of the two captions.

    A thing's depth is that of its first sense that is a physical entity (its first sense where it has none), by the
    shortest way up. Words are told apart by a dictionary and their order, without a parser: see `reading.read`.
    """

    criteria: ClassVar[tuple[str, ...]] = ("entities", "specificity", "information", "agreement")

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        """Ratings of each caption; one does not depend on another."""
        return [[_rate(read(caption), read(item.reference)) for caption in item.captions] for item in batch]

    def describe(self) -> dict[str, Any]:
        """The version of the rules, and whose words they are."""
        return {"rules": _VERSION, "words": "WordNet 3.0"}


def _rate(said: Reading, whole: Reading) -> list[float]:
    depth = sum(said.things.values()) / len(said.things) if said.things else 0.0
    return [
        1.0 + min(len(said.things), 4),
        min(max(1.0 + (depth - 2.0) / 2.0, 1.0), 5.0),
        1.0 + min(len(said.details), 4),
        1.0 + 4.0 * _f1(said.content, whole.content),
    ]


def _f1(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """Of two sets of words; 1 where both are empty."""
    return 2.0 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0
