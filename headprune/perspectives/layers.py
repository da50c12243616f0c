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
        scores: [n, layers], dS: how a layer's caption scores against the one before it (1 and the like: it changed
            nothing); with a scorer that needs gold captions, by how much it scores more than the one before.
        change: dS of each layer, mean over pictures.
    """

    layers: tuple[int, ...]
    captions: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...]
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
    """D(Z[l+1]) of each layer, and dS[l] = scorer(D(Z[l+1]), D(Z[l])) (Eq. 9; 0-based).

    One tower pass a picture; the words of many layers and pictures are generated together.

    Args:
        layers: 0-based.
        scorer: fitted, where it needs gold captions.
        seed: of the bootstrap over pictures.
    """
    # D(Z[l]) is what the layer before says; -1 stands for the embeddings.
    spoken = sorted({*layers, *(layer - 1 for layer in layers)})
    said = captions_by_layer(adapter, samples, spoken, generation, batch)
    at = {layer: column for column, layer in enumerate(spoken)}
    captions = tuple(tuple(row[at[layer]] for layer in layers) for row in said)
    before = tuple(tuple(row[at[layer - 1]] for layer in layers) for row in said)
    scores = _changes(scorer, samples, layers, captions, before)
    return Layers(tuple(layers), captions, before, scores, mean_intervals(scores, seed))


def _changes(
    scorer: Scorer,
    samples: Sequence[Sample],
    layers: Sequence[int],
    captions: Sequence[Sequence[str]],
    before: Sequence[Sequence[str]],
) -> Floats:
    """dS, [n, layers]."""

    def items(said: Sequence[Sequence[str]]) -> list[ScoreItem]:
        return [
            ScoreItem(caption, reference, sample.captions, sample.load, sample.id, layer)
            for sample, row, references in zip(samples, said, before, strict=True)
            for layer, caption, reference in zip(layers, row, references, strict=True)
        ]

    values = scored(scorer, items(captions))
    if "gold" in scorer.needs:
        values = values - scored(scorer, items(before))
    changes: Floats = values.reshape(len(samples), len(layers))
    return changes
