"""What layers and heads see and say of each picture: a strip of layers (figure 1), a grid of heads (figure 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

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


# Runs that tell what layers say, the first that is there: dS is in the first kind alone.
_SAYING = ("layers", "convergence", "concreteness")
TELLING = (*_SAYING, "heatmap", "heads")
"""Perspectives that tell of single pictures."""


def pictures(subject: Subject, prefix: str, most: int) -> Iterator[Picture]:
    """The first `most` pictures of a subject's runs.

    Raises:
        HeadpruneError: a picture of a run cannot be read.
    """
    looks = {kind: _looks(subject, kind) for kind in TELLING}
    for number, (sample, (run, place)) in enumerate([*subject.samples(*TELLING).items()][:most]):
        sides = [_side(looks, patch, sample) for patch in _patches(looks, sample)]
        uri, width, height = picture_uri(run.picture(place))
        gold = run.info.samples[place].captions
        yield Picture(f"{prefix}-{number}", sample, gold, uri, width, height, tuple(sides))


Looks = dict[PatchRecord | None, list[tuple[Run, Any]]]
"""What runs of one perspective found, by the patch that was applied."""
_Seen = tuple[Overlay | None, float, int]
_Said = tuple[str | None, float]
_UNSEEN: _Seen = (None, math.nan, 0)
_UNSAID: _Said = (None, math.nan)


class _Look(NamedTuple):
    """What one side of a run found, and the number that a picture has in it."""

    run: Run
    found: Any
    number: int


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
    found = (_first(looks[kind], patch, sample) for kind in _SAYING)
    said, seen = next(filter(None, found), None), _first(looks["heatmap"], patch, sample)
    heads = _all(looks["heads"], patch, sample)
    words = dict(_words(said)) if said else {}
    maps = dict(_maps(seen.found, seen.number)) if seen else {}
    readers = [*([seen.found.reader] if seen else []), *(one.found.looks.reader for one in heads)]
    layers = (_tile(layer, maps.get(layer, _UNSEEN), words.get(layer, _UNSAID)) for layer in sorted({*words, *maps}))
    silent = set(patch.silent) if patch else set()
    grids = (grid for one in heads for grid in _grids(one.found, one.number, silent))
    scorer = said.run.info.scorer if said and isinstance(said.found, Layers) else None
    return Side(side_name(patch), scorer, next(iter(readers), None), tuple(layers), tuple(grids))


def _tile(layer: int, seen: _Seen, said: _Said) -> LayerTile:
    overlay, attention, outliers = seen
    caption, change = said
    return LayerTile(layer, overlay, _known(100 * attention), outliers, caption, _known(change))


def _all(looks: Looks, patch: PatchRecord | None, sample: str) -> list[_Look]:
    placed = ((run, found, position(run, sample)) for run, found in looks.get(patch, []))
    return [_Look(run, found, number) for run, found, number in placed if number is not None]


def _first(looks: Looks, patch: PatchRecord | None, sample: str) -> _Look | None:
    there = _all(looks, patch, sample)
    if len(there) > 1:
        run = there[0].run
        notice(
            f"several {run.info.kind} runs look at the same pictures of the same model: the strips show "
            f"{run.folder}, the figures and tables all"
        )
    return there[0] if there else None


def _words(said: _Look) -> Iterator[tuple[int, _Said]]:
    """Of each layer its caption and dS."""
    scores = said.found.scores[said.number] if isinstance(said.found, Layers) else None
    for at, layer in enumerate(said.found.layers):
        yield layer, (said.found.captions[said.number][at], math.nan if scores is None else float(scores[at]))


def _maps(found: Heatmap, number: int) -> Iterator[tuple[int, _Seen]]:
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
