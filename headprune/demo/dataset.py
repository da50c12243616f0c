"""The demo's picture set: held-out scenes, drawn when asked for, with five gold captions each."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from headprune.demo.captions import references
from headprune.demo.scenes import Scene, sample

if TYPE_CHECKING:
    from PIL import Image

HELD_OUT = 600
"""The size of the picture set: a seed draws those that heads are scored on, the rest is for evaluation."""

REFERENCES = 5


@dataclass(frozen=True)
class Entry:
    """One held-out scene: its id, its gold captions, and what there is to see."""

    id: str
    captions: tuple[str, ...]
    scene: Scene

    def picture(self, side: int | None = None) -> Image.Image:
        """The scene as an RGB picture, of the side that the bundled model sees unless another is asked for."""
        from headprune.demo.drawing import SIDE, picture

        return picture(self.scene, SIDE if side is None else side)


def held_out(count: int = HELD_OUT, start: int = 0) -> list[Entry]:
    """`count` held-out scenes from number `start` on; scene n is the same whatever the range."""
    return [_entry(number) for number in range(start, start + count)]


def _entry(number: int) -> Entry:
    """Held-out scene `number`; its captions come from the number too, and never from the model."""
    scene = sample("held-out", number)
    luck = Random(number)  # noqa: S311  seeded on purpose, nothing is secret
    return Entry(f"scene-{number:04d}", tuple(references(scene.facts, REFERENCES, luck)), scene)
