"""headprune caption: what a model says of picture files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from headprune.errors import DataError, UsageError
from headprune.jobs.apply import choose_change
from headprune.jobs.opening import batch_for, load_for
from headprune.patch.apply import applied
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit
from headprune.perspectives.linguistic import (
    captions_by_layer,
    captions_of_head,
    labels_with_probability,
    states_of_head,
    states_of_layer,
)
from headprune.pictures import read_picture
from headprune.recipes.layers import parse_layers
from headprune.recipes.schema import Recipe
from headprune.towers.adapter import Adapter
from headprune.types import Geometry, Sample

_HEAD = re.compile(r"(?P<layer>-?[0-9]{1,6})\.(?P<head>[0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of a picture; where it is a label, how probable the model finds it."""

    caption: str
    probability: float | None = None


def perform_captions(
    recipe: Recipe,
    images: Sequence[Path],
    layer: int | None = None,
    head: str | None = None,
    patch_path: Path | None = None,
    allow_other_weights: bool = False,
    labels: Sequence[str] = (),
) -> list[Told]:
    """Captions of picture files: of the whole model, of layer `layer`'s output, or of head `head` ("L.H") alone.

    Args:
        labels: what a model chooses from that has no words and no labels of its own.

    Raises:
        DataError: a picture is not there or cannot be read. UsageError: no such layer or head, or both were given; or
            labels are missing, or not for this model.
    """
    if layer is not None and head is not None:
        raise UsageError("--layer and --head were both given", "--head L.H names its layer: leave --layer out")
    samples = [_picture_sample(path) for path in images]
    patch = load_patch(patch_path) if patch_path else None
    s = choose_change(patch, recipe.apply.scale, recipe.apply.prune).coefficients if patch else None
    adapter = load_for(recipe)
    if patch:
        check_fit(patch, adapter, allow_other_weights)
    geometry, batch = adapter.geometry, batch_for(recipe, adapter)
    generation = replace(recipe.generation.plain(), labels=_labels(adapter, labels))
    with applied(adapter, s) if s is not None else nullcontext():
        if head is None:
            (at,) = parse_layers(str(-1 if layer is None else layer), geometry.live, geometry.dead)
            if not adapter.chooses:
                return [Told(row[0]) for row in captions_by_layer(adapter, samples, [at], generation, batch)]
            states = states_of_layer(adapter, samples, at, batch)
        else:
            at, number = _head(head, geometry)
            if not adapter.chooses:
                return [Told(said) for said in captions_of_head(adapter, samples, at, number, generation, batch)]
            states = states_of_head(adapter, samples, at, number, batch)
        return [Told(*said) for said in labels_with_probability(adapter, samples, states, generation)]


def _labels(adapter: Adapter, given: Sequence[str]) -> tuple[str, ...]:
    if given and (adapter.labels or not adapter.chooses):
        own = "labels" if adapter.labels else "words"
        raise UsageError(f"{adapter.ref} has {own} of its own", "leave --label and --labels out")
    if adapter.chooses and not (given or adapter.labels):
        raise UsageError(f"{adapter.ref} chooses among labels, and none were given", "--label TEXT, or --labels FILE")
    return adapter.labels or tuple(dict.fromkeys(given))


def _head(text: str, geometry: Geometry) -> tuple[int, int]:
    found = _HEAD.fullmatch(text)
    if found is None:
        raise UsageError(f"--head {text!r} names no head", f"L.H, 0-based: H from 0 to {geometry.heads - 1}")
    (at,) = parse_layers(found["layer"], geometry.live, geometry.dead)
    if int(found["head"]) >= geometry.heads_in[at]:
        has = f"0 to {geometry.heads_in[at] - 1}" if geometry.heads_in[at] else "none is left"
        raise UsageError(f"--head {text!r} names no head", f"L.H, 0-based: H in layer {at}: {has}")
    return at, int(found["head"])


def _picture_sample(path: Path) -> Sample:
    if not path.is_file():
        raise DataError(f"picture {path} is not there", "give picture files")
    return Sample(str(path), (), partial(read_picture, path, str(path)))
