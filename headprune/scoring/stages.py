"""The stages of a run of Algorithm 1 before any of them has begun: from its start a run can tell how far it is."""

from __future__ import annotations

from collections.abc import Iterator

from headprune.hooks.kinds import GradientScorer, LogitScorer
from headprune.runs.sessions import SCORES
from headprune.scoring.settings import ScoreSettings
from headprune.towers.batches import UNCHANGED
from headprune.types import Geometry, Schedule

UNCHANGED_CAPTIONS, CAPTIONS, LIKELIHOODS, GRADIENTS = "unchanged captions", "captions", "likelihoods", "gradients"


def of_layer(layer: int, stage: str) -> str:
    """What a stage is called that is done layer by layer, by a sequential schedule."""
    return f"{stage} of layer {layer}"


def scores_of(layer: int, head: int) -> str:
    """What the stage is called that scores the variants of a layer, or the unchanged captions there."""
    return f"{SCORES}{layer}{', unchanged' if head == UNCHANGED else ''}"


def planned(settings: ScoreSettings, geometry: Geometry, samples: int) -> dict[str, int]:
    """stage -> how many results it is to have, in the order that they come in."""
    return {stage: samples * each for stage, each in _of_one(settings, geometry)}


def _of_one(settings: ScoreSettings, geometry: Geometry) -> Iterator[tuple[str, int]]:
    """Each stage, with how many results one sample has in it."""
    layers, scorer, edit = settings.layers, settings.scorer, settings.edit
    heads = {layer: geometry.heads_in[layer] for layer in layers}
    reference_of = {layer: settings.reference_of(layer, geometry) for layer in layers}
    references = len({*reference_of.values()})
    oneshot = settings.schedule is Schedule.ONESHOT
    if isinstance(scorer, GradientScorer):
        yield CAPTIONS, references
        yield GRADIENTS, sum(heads.values())
    elif isinstance(scorer, LogitScorer):
        yield UNCHANGED_CAPTIONS, references
        if oneshot:
            yield LIKELIHOODS, references + sum(heads.values())
        else:
            yield from ((of_layer(layer, LIKELIHOODS), 1 + heads[layer]) for layer in layers)
    else:
        if oneshot:
            yield CAPTIONS, references + sum(heads.values())
        else:
            yield UNCHANGED_CAPTIONS, references
            yield from ((of_layer(layer, CAPTIONS), heads[layer]) for layer in layers)
        yield from ((scores_of(layer, 0), heads[layer]) for layer in layers if heads[layer])
        if edit.removes and not scorer.compares:
            yield from ((scores_of(at, UNCHANGED), 1) for at in dict.fromkeys(reference_of.values()))
