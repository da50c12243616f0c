"""The `concreteness` scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from headprune import LayerRater, RateItem, Settings
from headprune_wordnet.reading import Reading, read

_VERSION = 1  # of the rules below and of `reading`


class ConcretenessSettings(Settings):
    """Settings of `concreteness`.

    Attributes:
        against: what `agreement` compares with, as the picture is not seen: `reference`, what the whole model says,
            with which the last layer agrees by definition; `gold`, the gold caption that agrees best.
    """

    against: Literal["reference", "gold"] = "reference"


class WordNetConcreteness(LayerRater):
    """How concrete a caption is, by WordNet 3.0 and four rules, each from 1 to 5. English only.

    WordNet, because it can be had under a free licence (55,000 nouns of one word are shipped) and because its tree
    tells `animal`, `dog` and `poodle` apart, which is what section 4.4 is about; people who rate how concrete words are
    find that all three can be touched. In the place of a judge's four criteria:

    - `entities`: 1 more than the number of different things named, 5 at most.
    - `specificity`: the mean depth of these things in WordNet's tree, d, as 1 + (d - 2) / 2 within 1 and 5: `object`,
      two steps from the root, is 1, `person` 1.5, `animal` 3, `dog` 4, `truck` 5. 1 where nothing is named.
    - `information`: 1 more than the number of other words of content (qualities, numbers, deeds), 5 at most.
    - `agreement`: 1 + 4 * F1 of the words of content of the caption and what it is held `against`, see the settings.

    A thing's depth is that of its first sense that is a physical entity (its first sense where it has none), by the
    shortest way up. Words are told apart by a dictionary and their order, without a parser: see `reading.read`.
    """

    Settings = ConcretenessSettings
    settings: ConcretenessSettings
    criteria: ClassVar[tuple[str, ...]] = ("entities", "specificity", "information", "agreement")

    def __init__(self, settings: ConcretenessSettings | None = None) -> None:
        super().__init__(settings)
        if self.settings.against == "gold":
            self.needs = frozenset({"gold"})  # type: ignore[misc]  # what it needs depends on a setting

    def rate(self, batch: Sequence[RateItem]) -> list[list[list[float]]]:
        """Ratings of each caption; one does not depend on another."""
        gold = self.settings.against == "gold"
        return [
            _rate(item.captions, [read(text) for text in (item.gold if gold else [item.reference])]) for item in batch
        ]

    def describe(self) -> dict[str, Any]:
        """The settings, the version of the rules, and whose words they are."""
        return {**super().describe(), "rules": _VERSION, "words": "WordNet 3.0"}


def _rate(captions: Sequence[str], against: Sequence[Reading]) -> list[list[float]]:
    """Ratings of captions of one picture, [captions][criteria]."""
    return [_criteria(read(caption), against) for caption in captions]


def _criteria(said: Reading, against: Sequence[Reading]) -> list[float]:
    depth = sum(said.things.values()) / len(said.things) if said.things else 0.0
    return [
        1.0 + min(len(said.things), 4),
        min(max(1.0 + (depth - 2.0) / 2.0, 1.0), 5.0),
        1.0 + min(len(said.details), 4),
        1.0 + 4.0 * max(_f1(said.content, other.content) for other in against),
    ]


def _f1(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """Of two sets of words; 1 where both are empty."""
    return 2.0 * len(ours & theirs) / (len(ours) + len(theirs)) if ours or theirs else 1.0
