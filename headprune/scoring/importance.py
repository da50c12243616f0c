"""From captions to importances and coefficients (METHOD.md, Heads and Algorithm 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from headprune.edits.edit import Edit
from headprune.errors import PluginError, UsageError
from headprune.hooks.blame import blaming, place
from headprune.hooks.kinds import AnyScorer, GradientScorer, LogitScorer, Scorer
from headprune.scoring.statistics import Floats
from headprune.scoring.sweep import Captions
from headprune.towers.batches import UNCHANGED, Key
from headprune.types import Dataset, Geometry, LogitRows, RateItem, Sample, ScoreItem

if TYPE_CHECKING:
    from torch import Tensor


def importances(
    captions: Captions,
    samples: Sequence[Sample],
    layers: Sequence[int],
    geometry: Geometry,
    edit: Edit,
    scorer: Scorer,
    reference_layers: Sequence[int],
    score: Callable[[Sequence[Key], Sequence[ScoreItem]], Floats] | None = None,
) -> Floats:
    """Importance of each head on each sample, [m, len(layers), H]; NaN where a layer has no such head.

    Args:
        captions: of every variant, and of the unchanged model (head -1) at `reference_layers`.
        samples, layers, geometry: the axes.
        edit: a head's importance is its score where the variant keeps it, 1 - score where the variant lacks it. A
            scorer that does not compare the two, but looks at gold captions or the picture, scores both: the variant's
            score, or the drop.
        scorer: any scorer.
        reference_layers: for each of `layers`, at which layer the unchanged model was decoded.
        score: the scorer's scores of items, [n], and whose they are; `scored` by default. Called once a layer.

    Raises:
        UsageError: the scorer needs gold captions and a sample has none.
        PluginError: the scorer returned another number of scores, or one that is not finite.
    """
    score = score or (lambda keys, items: scored(scorer, items))

    def of(layer: int, at: int, heads: Sequence[int]) -> Floats:
        """Scores [m, len(heads)] of what was said at a layer, compared with what was said unchanged at layer `at`."""
        keys = [(sample.id, layer, head) for sample in samples for head in heads]
        items = [
            _item(sample, captions[sample.id, layer, head], captions[sample.id, at, UNCHANGED], layer, head)
            for sample in samples
            for head in heads
        ]
        return score(keys, items).reshape(len(samples), len(heads))

    values = np.full((len(samples), len(layers), geometry.heads), np.nan)
    unchanged: dict[int, Floats] = {}
    for column, (layer, at) in enumerate(zip(layers, reference_layers, strict=True)):
        heads = range(geometry.heads_in[layer])
        values[:, column, : len(heads)] = of(layer, at, heads) if heads else 0
        if edit.removes and not scorer.compares and at not in unchanged:
            unchanged[at] = of(at, at, (UNCHANGED,))
    if not edit.removes:
        return values
    if scorer.compares:
        return 1 - values
    dropped: Floats = np.stack([unchanged[at] for at in reference_layers], axis=1) - values
    return dropped


def fit_to(scorer: AnyScorer, dataset: Dataset) -> None:
    """Show a scorer that needs gold captions those of the whole dataset.

    Raises:
        UsageError: there are none.
    """
    if not isinstance(scorer, Scorer) or "gold" not in scorer.needs:
        return
    name = type(scorer).__name__
    gold = [sample.captions for sample in dataset.samples if sample.captions]
    if not gold:
        raise UsageError(
            f"{name} needs gold captions, {dataset.ref} has none",
            "use --scorer bertscore, or exact with --scorer-option against=reference",
        )
    with blaming(f"scorer {name}", scorer):
        scorer.fit(gold)


def gold_digest(scorer: AnyScorer, dataset: Dataset) -> str:
    """A digest of what a scorer that needs gold captions is shown of a dataset; empty where it needs none."""
    if "gold" not in scorer.needs:
        return ""
    gold = [[sample.id, list(sample.captions)] for sample in dataset.samples]
    return hashlib.sha256(json.dumps(gold).encode()).hexdigest()


def scored(scorer: Scorer, items: Sequence[ScoreItem]) -> Floats:
    """Scores of `items`, [n], higher is better; checked."""
    check_gold(scorer, items)
    name = type(scorer).__name__
    with blaming(f"scorer {name}", scorer):
        values = np.asarray(scorer.score(items), dtype=np.float64)
    if values.shape != (len(items),):
        found = f"{len(values)} scores" if values.ndim == 1 else f"scores of shape {values.shape}"
        raise PluginError(
            f"scorer {name} returned {found} for {len(items)} items",
            f"{place(type(scorer).score)}: one float per item, in order",
        )
    if not np.isfinite(values).all():
        bad = items[int(np.flatnonzero(~np.isfinite(values))[0])]
        raise PluginError(
            f"scorer {name} returned a score that is not finite for {bad.caption!r}",
            f"{place(type(scorer).score)}: scores must be finite",
        )
    return values if scorer.higher_is_better else -values


def check_gold(scorer: Scorer, items: Sequence[ScoreItem | RateItem]) -> None:
    """See that every item has gold captions where the scorer needs them.

    Raises:
        UsageError: one has none.
    """
    lacking = next((item.sample for item in items if not item.gold), None) if "gold" in scorer.needs else None
    if lacking is not None:
        raise UsageError(
            f"{type(scorer).__name__} needs gold captions; sample {lacking} has none",
            "use bertscore, or data with captions",
        )


def scored_tensor(scorer: LogitScorer | GradientScorer, given: LogitRows | Tensor, shape: tuple[int, ...]) -> Tensor:
    """What a scorer that needs no text makes of `given`, of the due shape, higher is better; checked."""
    name = type(scorer).__name__
    with blaming(f"scorer {name}", scorer):
        values: Tensor = scorer.score(given)  # type: ignore[arg-type]  # each kind is given its own
    if not isinstance(values, torch.Tensor) or tuple(values.shape) != shape:
        found = list(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        raise PluginError(
            f"scorer {name} returned {found}, not a tensor {list(shape)}",
            f"{place(type(scorer).score)}: one number for each, in order",
        )
    if not torch.isfinite(values).all():
        raise PluginError(
            f"scorer {name} returned a score that is not finite",
            f"{place(type(scorer).score)}: scores must be finite",
        )
    return values.detach().cpu() if scorer.higher_is_better else -values.detach().cpu()


def _item(sample: Sample, caption: str, reference: str, layer: int, head: int) -> ScoreItem:
    named = None if head == UNCHANGED else head
    return ScoreItem(caption, reference, sample.captions, sample.load, sample.id, layer, named)


def softmax(mean: Floats, temperature: float) -> Floats:
    """alpha = softmax(mean / temperature) over the last axis, the heads of a layer; NaN, a head that is not there,
    takes no part and stays."""
    there = np.isfinite(mean)
    largest = np.max(mean, axis=-1, keepdims=True, where=there, initial=-np.inf)
    shifted = np.exp(np.where(there, mean - largest, np.nan) / temperature)
    alpha: Floats = shifted / np.sum(shifted, axis=-1, keepdims=True, where=there)
    return alpha
