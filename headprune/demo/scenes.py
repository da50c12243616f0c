"""The demo's world: scenes of shapes, drawn from a seed; a scene is what a caption can be right or wrong about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

SHAPES = {
    "star": "pointed",
    "kite": "pointed",
    "arrow": "pointed",
    "ball": "round",
    "ring": "round",
    "moon": "round",
    "box": "blocky",
    "brick": "blocky",
    "cross": "blocky",
}
"""Every shape with the class that a generic caption calls it by."""

COLOURS = {
    "red": "warm",
    "orange": "warm",
    "yellow": "warm",
    "pink": "warm",
    "green": "cool",
    "teal": "cool",
    "blue": "cool",
    "purple": "cool",
}
"""Every colour with the class that a generic caption calls it by."""

TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "big")
COUNTS = (2, 3, 4)
RELATIONS = ("left of", "above")
BACKGROUNDS = ("sand", "grass", "water", "snow", "night")

HELD_OUT_SHARE = 8
"""One in this many attribute combinations is kept for the held-out split."""

SPLITS = ("train", "held-out")


@dataclass(frozen=True)
class Facts:
    """What is true of a scene: everything that a full caption says.

    `things` names (colour, shape) of each distinct thing: one, or two for a pair. `count` is how many equal things
    there are (1 in a pair). `size` is said of a single thing only, `relation` (of the first to the second) of a pair.
    """

    things: tuple[tuple[str, str], ...]
    background: str
    count: int = 1
    texture: str = "plain"
    size: str | None = None
    relation: str | None = None

    @property
    def kind(self) -> str:
        """`pair`, `group` or `single`."""
        if len(self.things) == 2:
            return "pair"
        return "group" if self.count > 1 else "single"

    @property
    def split(self) -> str:
        """The split this combination belongs to, by a hash: the same combination is never in both."""
        digest = hashlib.sha256(repr(self).encode()).digest()
        return "held-out" if digest[0] % HELD_OUT_SHARE == 0 else "train"


@dataclass(frozen=True)
class Thing:
    """One drawn thing; the centre and the radius are in units of the picture's side, the angle in radians."""

    shape: str
    colour: str
    texture: str
    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True)
class Scene:
    """A picture's contents: its facts, where the things lie, and the seed of the background's grain."""

    facts: Facts
    things: tuple[Thing, ...]
    grain: int


class _Dice:
    """Choices from one stream of `random()`, the part of numpy's generators that stays the same between versions."""

    def __init__(self, *key: int) -> None:
        self._stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))

    def real(self, low: float, high: float) -> float:
        """A number in [low, high), on a grid of 1/4096 so that it prints and compares exactly."""
        return round((low + (high - low) * float(self._stream.random())) * 4096) / 4096

    def below(self, count: int) -> int:
        """A whole number in [0, count)."""
        return int(self._stream.random() * count)

    def of(self, options: tuple[str, ...]) -> str:
        """One of the options, all equally likely."""
        return options[self.below(len(options))]


def sample(split: str, index: int) -> Scene:
    """Scene `index` of a split, always the same one.

    Combinations that belong to the other split are drawn again, so that no held-out scene, nor any scene that a full
    caption could not tell from it, is ever trained on.
    """
    dice = _Dice(2409, SPLITS.index(split), index)
    facts = _facts(dice)
    while facts.split != split:
        facts = _facts(dice)
    return Scene(facts, _layout(facts, dice), dice.below(2**31))


def _facts(dice: _Dice) -> Facts:
    """Attributes of a single thing (30 %), a group of equal things (30 %) or a pair (40 %)."""
    kind = dice.real(0, 1)
    background = dice.of(BACKGROUNDS)
    first = (dice.of(tuple(COLOURS)), dice.of(tuple(SHAPES)))
    if kind < 0.3:
        return Facts((first,), background, texture=dice.of(TEXTURES), size=dice.of(SIZES))
    if kind < 0.6:
        return Facts((first,), background, count=COUNTS[dice.below(len(COUNTS))], texture=dice.of(TEXTURES))
    second = (dice.of(tuple(COLOURS)), dice.of(tuple(SHAPES)))
    while second[0] == first[0] or second[1] == first[1]:
        second = (dice.of(tuple(COLOURS)), dice.of(tuple(SHAPES)))
    return Facts((first, second), background, relation=dice.of(RELATIONS))


def _layout(facts: Facts, dice: _Dice) -> tuple[Thing, ...]:
    """Where the things lie: apart from one another, and a pair plainly in its relation."""
    if facts.kind == "single":
        radius = dice.real(0.26, 0.31) if facts.size == "big" else dice.real(0.125, 0.15)
        centres = [(dice.real(radius, 1 - radius), dice.real(radius, 1 - radius))]
        radii = [radius]
    elif facts.kind == "group":
        radii = [dice.real(0.13, 0.16)] * facts.count
        centres = _apart(facts.count, dice)
    else:
        radii = [dice.real(0.15, 0.19), dice.real(0.15, 0.19)]
        near, far = dice.real(0.19, 0.3), dice.real(0.7, 0.81)
        middle = dice.real(0.25, 0.75)
        across = (middle, min(max(middle + dice.real(-0.1, 0.1), 0.2), 0.8))
        centres = [(near, across[0]), (far, across[1])]
        if facts.relation == "above":
            centres = [(y, x) for x, y in centres]
    named = list(facts.things) * (facts.count if facts.kind == "group" else 1)
    return tuple(
        Thing(shape, colour, facts.texture, x, y, radius, dice.real(-0.2, 0.2))
        for (colour, shape), (x, y), radius in zip(named, centres, radii, strict=True)
    )


def _apart(count: int, dice: _Dice) -> list[tuple[float, float]]:
    """Centres for a group, no two nearer than a diameter."""
    while True:
        centres: list[tuple[float, float]] = []
        for _ in range(40):
            x, y = dice.real(0.17, 0.83), dice.real(0.17, 0.83)
            if all((x - a) ** 2 + (y - b) ** 2 > 0.34**2 for a, b in centres):
                centres.append((x, y))
            if len(centres) == count:
                return centres
