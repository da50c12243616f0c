"""Pictures: pinned bytes, any size, and everything that a caption names is to be seen."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from headprune.demo.drawing import PAINT, SIDE, picture, pixels
from headprune.demo.scenes import BACKGROUNDS, COLOURS, SHAPES, TEXTURES, Scene, sample

_PINNED = {
    ("held-out", 0): "1eea016458d24bfc",
    ("held-out", 1): "2b79923e487d9099",
    ("held-out", 5): "b8028687f3dd3c59",
    ("held-out", 7): "64c2925ce1f1e068",
    ("train", 0): "3a47763ae02068cf",
    ("train", 1): "7ec2608c3b6fb5e4",
    ("train", 12): "f54bacee5d19b717",
}


@pytest.mark.parametrize(("where", "digest"), _PINNED.items())
def test_pictures_are_the_same_bytes_everywhere(where: tuple[str, int], digest: str) -> None:
    assert hashlib.sha256(pixels(sample(*where)).tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize("side", [SIDE, 37, 256])
def test_any_side(side: int) -> None:
    image = picture(sample("train", 3), side)
    assert image.size == (side, side)
    assert image.mode == "RGB"


def test_a_larger_picture_shows_the_same() -> None:
    for number in range(10):
        scene = sample("train", number)
        shrunk = np.asarray(picture(scene, 4 * SIDE).reduce(4), dtype=float)
        assert np.abs(shrunk - pixels(scene)).mean() < 8


def _single() -> Scene:
    return next(scene for scene in (sample("train", number) for number in range(100)) if scene.facts.size == "big")


def _with(scene: Scene, **changes: str) -> Scene:
    return dataclasses.replace(scene, things=tuple(dataclasses.replace(thing, **changes) for thing in scene.things))


@pytest.mark.parametrize(
    ("attribute", "options"), [("shape", tuple(SHAPES)), ("colour", tuple(COLOURS)), ("texture", TEXTURES)]
)
def test_every_attribute_of_a_thing_shows(attribute: str, options: tuple[str, ...]) -> None:
    drawn = [pixels(_with(_single(), **{attribute: option})).astype(float) for option in options]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert np.abs(one - other).mean() > 0.5


def test_every_background_shows() -> None:
    scene = _single()
    drawn = [
        pixels(dataclasses.replace(scene, facts=dataclasses.replace(scene.facts, background=ground)))
        for ground in BACKGROUNDS
    ]
    means = [one[0, 0].astype(float) for one in drawn]
    for number, mean in enumerate(means):
        assert all(np.abs(mean - other).max() > 10 for other in means[:number])


def test_every_colour_has_its_paint() -> None:
    assert set(PAINT) == set(COLOURS)
