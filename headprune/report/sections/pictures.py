"""What layers and heads see and say of each picture: a strip of layers (figure 1), a grid of heads (figure 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from headprune.errors import notice
from headprune.perspectives.heads import Heads
from headprune.perspectives.heatmap import Heatmap, PictureMaps
from headprune.perspectives.layers import Layers
from headprune.perspectives.run import PatchRecord, Run
from headprune.report.encode import map_uri, picture_uri
from headprune.report.overlay import filled
from headprune.report.subjects import Subject, position, side_name
from headprune.scoring.statistics import Floats


@dataclass(frozen=True, slots=True)
class Overlay:
    """A heat map over its picture: its address, its box in % of the picture, and the share, %, that its last colour
    stands for."""

    uri: str
    left: float
    top: float
    width: float
    height: float
    peak: float


@dataclass(frozen=True, slots=True)
class LayerTile:
    """One layer of a strip; None is what no run tells. `attention` is A[l], %; `outliers` the patches left out."""

    layer: int
    overlay: Overlay | None
    attention: float | None
    outliers: int
    caption: str | None
    change: float | None


@dataclass(frozen=True, slots=True)
class HeadTile:
    """One head of a grid; `silent`: the patch of its side prunes it."""

    head: int
    overlay: Overlay | None
    caption: str
    silent: bool


@dataclass(frozen=True, slots=True)
class HeadGrid:
    """The heads of one layer, and what the layer says with all of them; `edit` is what was done to each."""

    layer: int
    edit: str
    unchanged: str
    tiles: tuple[HeadTile, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A picture as the model sees it: as it is, or with a patch."""

    name: str
    scorer: str | None
    reader: str | None
    layers: tuple[LayerTile, ...]
    heads: tuple[HeadGrid, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, its gold captions and what was found; `key` is its name in the page."""

    key: str
    sample: str
    gold: tuple[str, ...]
    uri: str
    width: int
    height: int
    sides: tuple[Side, ...]

    @property
    def layers(self) -> list[int]:
        """The layers that a slider goes through."""
        return sorted({tile.layer for side in self.sides for tile in side.layers})


def pictures(subject: Subject, prefix: str, most: int) -> Iterator[Picture]:
    """The first `most` pictures of a subject's runs.

    Raises:
        HeadpruneError: a picture of a run cannot be read.
    """
    looks = {kind: _looks(subject, kind) for kind in ("layers", "heatmap", "heads")}
    for number, (sample, (run, place)) in enumerate([*subject.samples().items()][:most]):
        sides = [_side(looks, patch, sample) for patch in _patches(looks, sample)]
        uri, width, height = picture_uri(run.picture(place))
        gold = run.info.samples[place].captions
        yield Picture(f"{prefix}-{number}", sample, gold, uri, width, height, tuple(sides))


Looks = dict[PatchRecord | None, list[tuple[Run, object]]]
"""What runs of one perspective found, by the patch that was applied."""


def _looks(subject: Subject, kind: str) -> Looks:
    found: Looks = {}
    for run in subject.kinds(kind):
        found.setdefault(None, []).append((run, run.before))
        if run.after is not None:
            found.setdefault(run.info.patch, []).append((run, run.after))
    return found


def _patches(looks: dict[str, Looks], sample: str) -> list[PatchRecord | None]:
    """The sides on which a picture was looked at, the model as it is first."""
    held = [
        patch
        for by_patch in looks.values()
        for patch, runs in by_patch.items()
        if any(position(run, sample) is not None for run, _ in runs)
    ]
    return sorted(dict.fromkeys(held), key=lambda patch: patch is not None)


def _side(looks: dict[str, Looks], patch: PatchRecord | None, sample: str) -> Side:
    said, seen = _first(looks["layers"], patch, sample), _first(looks["heatmap"], patch, sample)
    heads = [(found, number) for _, found, number in _all(looks["heads"], patch, sample) if isinstance(found, Heads)]
    words: dict[int, tuple[str, float]] = {}
    maps: dict[int, tuple[Overlay | None, float, int]] = {}
    if said and isinstance(said[1], Layers):
        _, found, number = said
        captions, scores = found.captions[number], found.scores[number]
        words = {layer: (captions[at], float(scores[at])) for at, layer in enumerate(found.layers)}
    if seen and isinstance(seen[1], Heatmap):
        maps = dict(_maps(seen[1], seen[2]))
    reader = seen[1].reader if seen and isinstance(seen[1], Heatmap) else heads[0][0].looks.reader if heads else None
    nothing = (None, float("nan"), 0)
    layers = tuple(
        LayerTile(
            layer,
            maps.get(layer, nothing)[0],
            _known(100 * maps.get(layer, nothing)[1]),
            maps.get(layer, nothing)[2],
            words[layer][0] if layer in words else None,
            _known(words[layer][1]) if layer in words else None,
        )
        for layer in sorted({*words, *maps})
    )
    silent = set(patch.silent) if patch else set()
    grids = tuple(grid for found, number in heads for grid in _grids(found, number, silent))
    return Side(side_name(patch), said[0].info.scorer if said else None, reader, layers, grids)


def _all(looks: Looks, patch: PatchRecord | None, sample: str) -> list[tuple[Run, object, int]]:
    placed = ((run, found, position(run, sample)) for run, found in looks.get(patch, []))
    return [(run, found, number) for run, found, number in placed if number is not None]


def _first(looks: Looks, patch: PatchRecord | None, sample: str) -> tuple[Run, object, int] | None:
    there = _all(looks, patch, sample)
    if len(there) > 1:
        first = there[0][0]
        notice(
            f"several {first.info.kind} runs look at the same pictures of the same model: the strips show "
            f"{first.folder}, the figures and tables all"
        )
    return there[0] if there else None


def _maps(found: Heatmap, number: int) -> Iterator[tuple[int, tuple[Overlay | None, float, int]]]:
    """Of each layer its map, A[l] and its number of outliers."""
    picture = found.pictures[number]
    for at, layer in enumerate(found.layers):
        outliers = sum(outlier.layer == layer for outlier in picture.outliers)
        yield layer, (_overlay(picture, picture.maps[at]), float(found.attention[number, at]), outliers)


def _grids(found: Heads, number: int, silent: set[tuple[int, int]]) -> Iterator[HeadGrid]:
    picture = found.looks.pictures[number]
    for at, layer in enumerate(found.layers):
        tiles = (
            HeadTile(head, _overlay(picture, picture.heads[at, head]), caption, (layer, head) in silent)
            for head, caption in enumerate(found.captions[number][at])
        )
        yield HeadGrid(layer, found.edit, found.unchanged[number][at], tuple(tiles))


def _overlay(picture: PictureMaps, values: Floats) -> Overlay | None:
    """A map as it is laid over its picture; None of a layer without heads."""
    if np.isnan(values).all():
        return None
    whole = filled(values)
    peak = float(whole.max())
    left, top, right, bottom = (100 * end for end in picture.grid.box)
    return Overlay(map_uri(whole, peak), left, top, right - left, bottom - top, 100 * peak)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
