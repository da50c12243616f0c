"""What every layer says, and how much it changes what the one before it said (Eq. 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headprune.hooks.kinds import Scorer
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.importance import scored
from headprune.scoring.statistics import Floats, mean_intervals
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch
from headprune.types import Generation, Interval, Sample, ScoreItem


@dataclass(frozen=True, slots=True)
class Layers:
    """What layers say of n pictures.

    Attributes:
        layers: 0-based; layer l speaks from its output Z[l+1].
        captions: [n][layers].
        before: [n][layers], what is said of each layer's input Z[l]: the layer before it, or the embeddings.
        gained: what dS is. False: how a layer's caption scores against the one before it, high where it changed
            little. True, with a scorer that looks at gold captions, at the picture or at a caption by itself: by how
            much it scores more than the one before it, 0 where it changed nothing.
        scores: [n, layers], dS.
        change: dS of each layer, mean over pictures.
    """

    layers: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...]
    gained: bool
    scores: Floats
    change: tuple[Interval, ...]


def what_layers_say(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    scorer: Scorer,
    generation: Generation,
    batch: Batch,
    seed: int = 0,
) -> Layers:
    """D(Z[l+1]) of each layer, and dS[l] = scorer(D(Z[l+1]), D(Z[l])) (Eq. 9; 0-based); see `Layers.gained`.

    One tower pass a picture; the words of many layers and pictures are generated together.

    Args:
        layers: 0-based.
        scorer: fitted, where it needs gold captions.
        seed: of the bootstrap over pictures.
    """
    last = adapter.geometry.live - 1
    spoken = sorted({*scored_layers(layers), last})
    said = captions_by_layer(adapter, samples, spoken, generation, batch)
    at = {layer: column for column, layer in enumerate(spoken)}
    captions = tuple(tuple(row[at[layer]] for layer in layers) for row in said)
    before = tuple(tuple(row[at[layer - 1]] for layer in layers) for row in said)
    gained = not scorer.compares
    if gained:
        # One reference for all, the whole model's words; what a layer says is scored once, before whichever it stands.
        each = scored_layers(layers)
        references = [[row[at[last]]] * len(each) for row in said]
        values = _scores(scorer, samples, each, [[row[at[layer]] for layer in each] for row in said], references)
        scores: Floats = values[:, [each.index(layer) for layer in layers]]
        scores = scores - values[:, [each.index(layer - 1) for layer in layers]]
    else:
        scores = _scores(scorer, samples, layers, captions, before)
    return Layers(tuple(layers), captions, before, gained, scores, mean_intervals(scores, seed))


def scored_layers(layers: Sequence[int]) -> list[int]:
    """Those of which D(Z[l+1]) is scored by itself for a gain: `layers` and those before them, in order; -1 stands for
    the embeddings."""
    return sorted({*layers, *(layer - 1 for layer in layers)})


def _scores(
    scorer: Scorer,
    samples: Sequence[Sample],
    layers: Sequence[int],
    captions: Sequence[Sequence[str]],
    references: Sequence[Sequence[str]],
) -> Floats:
    """Scores of captions against references, [n, layers]."""
    items = [
        ScoreItem(caption, reference, sample.captions, sample.load, sample.id, layer)
        for sample, row, others in zip(samples, captions, references, strict=True)
        for layer, caption, reference in zip(layers, row, others, strict=True)
    ]
    values: Floats = scored(scorer, items).reshape(len(samples), len(layers))
    return values
