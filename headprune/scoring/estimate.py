"""What a run would cost, from the model's configuration alone."""

from __future__ import annotations

from dataclasses import dataclass

from headprune.towers.adapter import Outline
from headprune.towers.batches import Batch
from headprune.types import DecodePoint, Expense, Schedule


@dataclass(frozen=True, slots=True)
class Estimate:
    """What `score` would do.

    Attributes:
        tower_passes: whole passes of the tower over one picture.
        layer_replays: layers run on one variant of one picture, the remaining ones of `last` included.
        decodes: captions generated.
        forced: captions that variants or unchanged layers are asked about, for a scorer that needs no text.
        weight_bytes: the model's weights; `working_bytes`: states of one batch, beside the weights.
        download_bytes: to fetch; None where the hub did not say.
        expense: what the scorer would cost; None where it is free.
    """

    tower_passes: int
    layer_replays: int
    decodes: int
    forced: int
    weight_bytes: int
    working_bytes: int
    download_bytes: int | None
    expense: Expense | None = None


def estimate_score(
    outline: Outline,
    layers: tuple[int, ...],
    samples: int,
    decode_at: DecodePoint,
    schedule: Schedule,
    batch: Batch,
    edit_needs: frozenset[str] = frozenset(),
    needs: frozenset[str] = frozenset(),
) -> Estimate:
    """Count what Algorithm 1 would do on `samples` pictures and the given layers (0-based).

    Working memory counts a tower pass's captures and one batch of variants; what the language model needs, and a way
    back through the tower, come on top. `edit_needs` are the edit's, `needs` the scorer's.
    """
    geometry = outline.geometry
    weight_bytes = outline.parameters * outline.bytes_per_parameter
    state = outline.tokens * geometry.width * outline.bytes_per_parameter
    if "gradients" in needs:
        # The captions, then one way there and back.
        held = batch.pictures * geometry.layers * state
        return Estimate(2 * samples, 0, samples, samples, weight_bytes, held, outline.download)
    sequential = schedule is Schedule.SEQUENTIAL
    passes = samples * (1 + len(layers)) if sequential else samples
    # Means, donors and attention take a pass each; attention that does not fit together takes more.
    passes += samples * len(edit_needs) * (len(layers) if sequential else 1)
    heads_in = geometry.heads_in
    variants = sum(heads_in[layer] for layer in layers)
    at_last = decode_at is DecodePoint.LAST
    replays = sum(heads_in[layer] * (geometry.live - layer) for layer in layers) if at_last else variants
    references = 1 if at_last else len(layers)
    decodes, forced = samples * (variants + references), 0
    if "logits" in needs:
        # Captions of the unchanged model first. A layer on a changed model needs a pass of the unchanged one as well,
        # unless the passes that show attention are those of the changed one.
        also = 0 if "attention" in edit_needs else len(layers) - 1
        passes += samples * (also if sequential else 1)
        stages = len(layers) if sequential and at_last else 1
        decodes, forced = samples * references, samples * (variants + stages * references)
    captured = 3 * batch.pictures * (1 if sequential else len(layers)) * state
    # Residual, head outputs, attention, MLP (four widths) and result of each row.
    rows = 8 * batch.rows * state
    return Estimate(
        tower_passes=passes,
        layer_replays=samples * replays,
        decodes=decodes,
        forced=forced,
        weight_bytes=weight_bytes,
        working_bytes=captured + rows,
        download_bytes=outline.download,
    )
