"""What each head of a layer says alone, and where it looks (figure 6, appendix D)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headprune.edits.edit import Edit
from headprune.perspectives.heatmap import Heatmap, where_layers_look
from headprune.scoring.sweep import Captions, SweepPlan, sweep
from headprune.towers.adapter import Adapter
from headprune.towers.batches import UNCHANGED, Batch
from headprune.types import DecodePoint, Generation, Sample


@dataclass(frozen=True, slots=True)
class Heads:
    """What heads say of n pictures and where they look.

    Attributes:
        layers: 0-based.
        edit: what was done to each head: `isolate` leaves it alone in its layer.
        captions: [n][layers][heads of the layer], decoded at the layer; none of a layer without heads.
        unchanged: [n][layers], what the layer says as it is.
        looks: the maps of the same layers and pictures.
    """

    layers: tuple[int, ...]
    edit: str
    captions: tuple[tuple[tuple[str, ...], ...], ...]
    unchanged: tuple[tuple[str, ...], ...]
    looks: Heatmap


def what_heads_say(
    adapter: Adapter,
    samples: Sequence[Sample],
    layers: Sequence[int],
    edit: Edit,
    edit_name: str,
    generation: Generation,
    batch: Batch,
    k: float = 5.0,
    seed: int = 0,
) -> Heads:
    """The caption of each head's variant, D of its layer's output (Eq. 9), beside the unchanged layer's and the map.

    One tower pass a picture for the captions, which many layers, heads and pictures share batches for, and one
    for the maps.

    Args:
        layers: 0-based.
        edit: what is done to each head; `edit_name` is what it is called.
        k: of outliers in the maps; see `where_layers_look`.
        seed: of the bootstrap over pictures.
    """
    plan = SweepPlan(tuple(layers), tuple(layers), edit, DecodePoint.LAYER, generation, batch)
    said: Captions = {}
    sweep(adapter, samples, plan, said.update)
    heads_in = adapter.geometry.heads_in
    return Heads(
        layers=tuple(layers),
        edit=edit_name,
        captions=tuple(
            tuple(tuple(said[sample.id, layer, head] for head in range(heads_in[layer])) for layer in layers)
            for sample in samples
        ),
        unchanged=tuple(tuple(said[sample.id, layer, UNCHANGED] for layer in layers) for sample in samples),
        looks=where_layers_look(adapter, samples, layers, batch, k, seed),
    )
