"""Algorithm 1: samples in, softmax head coefficients out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from headprune.errors import DataError, SampleError, UsageError, notice
from headprune.events import LayerScored, Progress
from headprune.hooks.kinds import GradientScorer, LogitScorer, Scorer
from headprune.patch.fit import versions
from headprune.patch.patch import Array, Patch, PatchInfo
from headprune.runs.store import RunStore
from headprune.scoring.coefficients import patch_from
from headprune.scoring.engine import Engine
from headprune.scoring.importance import fit_to, gold_digest, importances, softmax
from headprune.scoring.sampling import Drawn
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.stages import CAPTIONS, LIKELIHOODS, UNCHANGED_CAPTIONS, of_layer, planned
from headprune.scoring.statistics import Floats, limits
from headprune.scoring.textless import gradient_importances, logit_importances
from headprune.scoring.work import Work
from headprune.towers.batches import UNCHANGED, Key
from headprune.types import Dataset, Geometry, Interval, Schedule, ScoreItem

# Of the samples drawn, how many may turn out to be of no use while they are worked on; one always may.
MOST_LOST = 0.1


@dataclass(frozen=True)
class ScoreResult:
    """What came out.

    Attributes:
        patch: coefficients, to be saved.
        drawn: the samples they were scored on; those that were lost on the way are among its `left_out`.
        layers: the scored layers, 0-based; the first axis of what follows.
        per_sample: [m, layers, H], importance of each head on each sample; NaN where a layer has no such head.
        importance_limits, alpha_limits: (low, high), each [layers, H]: 95 % bootstrap limits over samples.
        decoded, reused: captions generated (or heads scored without text) now, and taken from the run store.
    """

    patch: Patch
    drawn: Drawn
    layers: tuple[int, ...]
    per_sample: Floats
    importance_limits: tuple[Floats, Floats]
    alpha_limits: tuple[Floats, Floats]
    decoded: int
    reused: int


def score_heads(
    engine: Engine,
    dataset: Dataset,
    drawn: Drawn,
    settings: ScoreSettings,
    store: RunStore | None = None,
    progress: Callable[[Progress], None] = lambda progress: None,
    layer_scored: Callable[[LayerScored], None] | None = None,
    stored: Callable[[], None] = lambda: None,
) -> ScoreResult:
    """Run Algorithm 1.

    A sample that cannot be worked on is left out, up to a tenth of them: the result is then that of a run on the
    others alone.

    Args:
        engine: has the model, unchanged when this returns, and makes captions and numbers.
        dataset: where the samples come from; a scorer that needs gold captions is fitted on all of it.
        drawn: the m samples to score on.
        settings: what to do.
        store: captions and scores are kept here as they come, and taken from here when they are there.
        progress: called as they come.
        layer_scored: called with each layer when its heads have their importance, where it is given.
        stored: called where all that was made is in the store; what it raises ends the run, and loses nothing.

    Raises:
        UsageError: the scorer needs gold captions that are not there, or no head is left to score.
        PluginError: the scorer misbehaves.
        DataError: more than a tenth of the samples cannot be worked on.
    """
    check_heads(engine.facts.geometry, settings.layers)
    fit_to(settings.scorer, dataset)
    gold = gold_digest(settings.scorer, dataset)
    first, made, left = len(drawn.samples), 0, drawn
    while True:
        work = Work(engine, left, settings, store, progress, gold, stored)
        if store and store.log:
            store.log.plan(planned(settings, engine.facts.geometry, len(left.samples)))
        try:
            per_sample = _per_sample(work, layer_scored)
        except SampleError as error:
            made += work.done
            left = _without(left, error, first)
            if store and store.log:
                store.log.error(error, error.sample)
        else:
            # What an attempt before this one made is found in the store, but was not there when the run began.
            reused = max(0, work.reused - made)
            return _result(dataset, left, settings, per_sample, engine, made + work.done, reused)


def check_heads(geometry: Geometry, layers: Sequence[int]) -> None:
    """See that there is a head to score.

    Raises:
        UsageError: the layers have lost all.
    """
    if not any(geometry.heads_in[layer] for layer in layers):
        raise UsageError("the layers to score have no head left", "choose other --layers, or the unpruned model")


def _without(drawn: Drawn, error: SampleError, first: int) -> Drawn:
    """The samples without the one that failed; `first` is how many there were.

    Raises:
        DataError: too many have failed.
    """
    left = drawn.without(error.sample, error.reason)
    lost = first - len(left.samples)
    if lost > max(1, int(first * MOST_LOST)) or not left.samples:
        raise DataError(
            f"{lost} of {first} samples could not be worked on; the last, {error.message}",
            error.hint or "mend the data, then give the same command again: what was made is kept",
        ) from error
    notice(f"left out, the run goes on without it: {error.message}")
    return left


def _per_sample(work: Work, layer_scored: Callable[[LayerScored], None] | None) -> Floats:
    """Importances [m, layers, H], by the scorer's kind."""
    scorer, layers = work.settings.scorer, work.settings.layers
    ones = np.ones((work.geometry.layers, work.geometry.heads), np.float32)
    if isinstance(scorer, GradientScorer):
        groups = iter([gradient_importances(work, layers, ones)])
    else:
        groups = _layer_groups(work, scorer, ones)
    todo, parts = iter(layers), []
    for part in groups:
        parts.append(part)
        if layer_scored is None:  # intervals that nobody hears of take their time, too
            continue
        for column in range(part.shape[1]):
            layer_scored(_layer_scored(next(todo), part[:, column], work.settings))
    return np.concatenate(parts, axis=1)


def _layer_groups(work: Work, scorer: Scorer | LogitScorer, coefficients: Array) -> Iterator[Floats]:
    """Importances [m, layers of the group, H]: all layers at once, or one by one on a changed model; `coefficients`
    are 1 to begin with."""
    settings = work.settings
    references = work.references(settings.layers)
    oneshot = settings.schedule is Schedule.ONESHOT
    together = oneshot and isinstance(scorer, Scorer)
    if not together:
        work.make_captions(UNCHANGED_CAPTIONS, (), references, coefficients)
    if oneshot:
        yield _importances(work, scorer, str, settings.layers, coefficients, references if together else ())
        return
    for layer in settings.layers:
        values = _importances(work, scorer, partial(of_layer, layer), (layer,), coefficients)
        scale = work.geometry.heads_in[layer] * softmax(values.mean(axis=0)[0], settings.temperature)
        coefficients = coefficients.copy()
        coefficients[layer] = np.where(np.isfinite(scale), scale, 1)
        yield values


def _importances(
    work: Work,
    scorer: Scorer | LogitScorer,
    named: Callable[[str], str],
    layers: tuple[int, ...],
    coefficients: Array,
    references: tuple[int, ...] = (),
) -> Floats:
    """Importances [m, len(layers), H] on a model scaled by `coefficients`; unchanged captions at `references` that are
    not there yet are made in the same sweep. `named` says what a stage is called."""
    if isinstance(scorer, LogitScorer):
        return logit_importances(work, named(LIKELIHOODS), layers, coefficients)
    work.make_captions(named(CAPTIONS), layers, references, coefficients)
    at = [work.reference_of[layer] for layer in layers]

    def score(keys: Sequence[Key], items: Sequence[ScoreItem]) -> Floats:
        # What the unchanged model says is kept under that model, and found there for each layer compared with it.
        of_unchanged = keys[0][-1] == UNCHANGED
        return work.scored(scorer, keys, items, np.ones_like(coefficients) if of_unchanged else coefficients)

    return importances(work.captions, work.samples, layers, work.geometry, work.settings.edit, scorer, at, score)


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


def _result(
    dataset: Dataset,
    drawn: Drawn,
    settings: ScoreSettings,
    per_sample: Floats,
    engine: Engine,
    decoded: int,
    reused: int,
) -> ScoreResult:
    def alpha_of(means: Floats) -> Floats:
        return softmax(means, settings.temperature)

    info = PatchInfo(
        model=engine.facts.record,
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
        drawn=drawn,
        layers=settings.layers,
        per_sample=per_sample,
        importance_limits=limits(per_sample, settings.seed),
        alpha_limits=limits(per_sample, settings.seed, alpha_of),
        decoded=decoded,
        reused=reused,
    )
