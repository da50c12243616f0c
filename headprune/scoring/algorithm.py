"""Algorithm 1: samples in, softmax head coefficients out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from headprune.errors import UsageError
from headprune.events import LayerScored, Progress
from headprune.hooks.kinds import GradientScorer, LogitScorer, Scorer
from headprune.patch.fit import versions
from headprune.patch.patch import Array, Patch, PatchInfo
from headprune.runs.store import RunStore
from headprune.scoring.coefficients import patch_from
from headprune.scoring.gradients import gradient_importances
from headprune.scoring.importance import fit_to, importances, softmax
from headprune.scoring.logits import logit_importances
from headprune.scoring.sampling import Drawn
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.statistics import Floats, limits
from headprune.scoring.work import Work
from headprune.towers.adapter import Adapter
from headprune.types import Dataset, Interval, Schedule


@dataclass(frozen=True)
class ScoreResult:
    """What came out.

    Attributes:
        patch: coefficients, to be saved.
        layers: the scored layers, 0-based; the first axis of what follows.
        per_sample: [m, layers, H], importance of each head on each sample; NaN where a layer has no such head.
        importance_limits, alpha_limits: (low, high), each [layers, H]: 95 % bootstrap limits over samples.
        decoded, reused: captions generated (or heads scored without text) now, and taken from the run store.
    """

    patch: Patch
    layers: tuple[int, ...]
    per_sample: Floats
    importance_limits: tuple[Floats, Floats]
    alpha_limits: tuple[Floats, Floats]
    decoded: int
    reused: int


def score_heads(
    adapter: Adapter,
    dataset: Dataset,
    drawn: Drawn,
    settings: ScoreSettings,
    store: RunStore | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    layer_scored: Callable[[LayerScored], None] = lambda layer: None,
) -> ScoreResult:
    """Run Algorithm 1.

    Args:
        adapter: the model, unchanged when this returns.
        dataset: where the samples come from; a scorer that needs gold captions is fitted on all of it.
        drawn: the m samples to score on.
        settings: what to do.
        store: captions and scores are kept here as they come, and taken from here when they are there.
        progress: called as they come.
        layer_scored: called with each layer when its heads have their importance.

    Raises:
        UsageError: the scorer needs gold captions that are not there, or no head is left to score.
        PluginError: the scorer misbehaves.
    """
    if not any(adapter.geometry.heads_in[layer] for layer in settings.layers):
        raise UsageError("the layers to score have no head left", "choose other --layers, or the unpruned model")
    fit_to(settings.scorer, dataset)
    work = Work(adapter, drawn, settings, store, progress)
    if isinstance(settings.scorer, GradientScorer):
        groups = iter([gradient_importances(work, settings.scorer, settings.layers)])
    else:
        groups = _layer_groups(work, settings.scorer)
    layers, parts = iter(settings.layers), []
    for part in groups:
        parts.append(part)
        for column in range(part.shape[1]):
            layer_scored(_layer_scored(next(layers), part[:, column], settings))
    per_sample = np.concatenate(parts, axis=1)
    return _result(dataset, drawn, settings, per_sample, work)


def _layer_groups(work: Work, scorer: Scorer | LogitScorer) -> Iterator[Floats]:
    """Importances [m, layers of the group, H]: all layers at once, or one by one on a changed model."""
    settings, geometry = work.settings, work.adapter.geometry
    references = work.references(settings.layers)
    coefficients = np.ones((geometry.layers, geometry.heads), np.float32)
    oneshot = settings.schedule is Schedule.ONESHOT
    together = oneshot and isinstance(scorer, Scorer)
    if not together:
        work.make_captions("unchanged captions", (), references, coefficients)
    if oneshot:
        yield _importances(work, scorer, "", settings.layers, coefficients, references if together else ())
        return
    for layer in settings.layers:
        values = _importances(work, scorer, f" of layer {layer}", (layer,), coefficients)
        scale = geometry.heads_in[layer] * softmax(values.mean(axis=0)[0], settings.temperature)
        coefficients[layer] = np.where(np.isfinite(scale), scale, 1)
        yield values


def _importances(
    work: Work,
    scorer: Scorer | LogitScorer,
    where: str,
    layers: tuple[int, ...],
    coefficients: Array,
    references: tuple[int, ...] = (),
) -> Floats:
    """Importances [m, len(layers), H] on a model scaled by `coefficients`; unchanged captions at `references` that are
    not there yet are made in the same sweep."""
    if isinstance(scorer, LogitScorer):
        return logit_importances(work, scorer, f"likelihoods{where}", layers, coefficients)
    work.make_captions(f"captions{where}", layers, references, coefficients)
    at = [work.reference_of[layer] for layer in layers]
    return importances(work.captions, work.samples, layers, work.adapter.geometry, work.settings.edit, scorer, at)


def _layer_scored(layer: int, per_sample: Floats, settings: ScoreSettings) -> LayerScored:
    """What a listener is told of a layer's importances, [m, H]."""
    there = per_sample[:, np.isfinite(per_sample).all(axis=0)]

    def alpha_of(means: Floats) -> Floats:
        return softmax(means, settings.temperature)

    mean = there.mean(axis=0)
    importance = zip(mean, *limits(there, settings.seed), strict=True)
    alpha = zip(alpha_of(mean), *limits(there, settings.seed, alpha_of), strict=True)
    return LayerScored(
        layer,
        tuple(Interval(*map(float, head)) for head in importance),
        tuple(Interval(*map(float, head)) for head in alpha),
    )


def _result(dataset: Dataset, drawn: Drawn, settings: ScoreSettings, per_sample: Floats, work: Work) -> ScoreResult:
    def alpha_of(means: Floats) -> Floats:
        return softmax(means, settings.temperature)

    info = PatchInfo(
        model=work.model,
        scorer=settings.scorer_record(),
        edit=settings.edit_record(),
        comparable=settings.comparable.value,
        decode_at=settings.spoken_at.value,
        schedule=settings.schedule.value,
        temperature=settings.temperature,
        generation=settings.generation.record(),
        dataset=dataset.ref,
        sample_ids=tuple(sample.id for sample in drawn.samples),
        seed=settings.seed,
        versions=versions(),
    )
    return ScoreResult(
        patch=patch_from(per_sample, settings.layers, info),
        layers=settings.layers,
        per_sample=per_sample,
        importance_limits=limits(per_sample, settings.seed),
        alpha_limits=limits(per_sample, settings.seed, alpha_of),
        decoded=work.done,
        reused=work.reused,
    )
