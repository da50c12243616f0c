"""headprune score: from a recipe to a run folder with a patch in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headprune.errors import HeadpruneError, notice
from headprune.events import Progress, RunFinished
from headprune.files import refuse_unless_free
from headprune.hooks.catalogue import make_any_scorer
from headprune.hooks.listening import Listened
from headprune.hooks.local import recorded_name
from headprune.jobs.engines import engine_for
from headprune.jobs.interrupts import finishing
from headprune.jobs.listening import listened_score, listener_of
from headprune.jobs.opening import (
    announce_left_out,
    asked_rows,
    batch_for,
    dataset_for,
    labelled,
    request_of,
)
from headprune.jobs.settings import settings_for
from headprune.patch.file import save_patch
from headprune.patch.fit import versions
from headprune.patch.patch import Patch
from headprune.recipes import dumps, resolve, uses_demo_encoder, without_demo
from headprune.recipes.layers import parse_layers
from headprune.recipes.schema import Recipe
from headprune.recipes.toml import plugins_anchored
from headprune.runs.folder import RunFolder
from headprune.runs.lock import LOCK, refuse_locked
from headprune.runs.sessions import environment as machine
from headprune.runs.store import FILE as STORE
from headprune.scoring.algorithm import ScoreResult, check_heads, score_heads
from headprune.scoring.engine import Engine, ModelFacts
from headprune.scoring.estimate import Estimate, estimate_score
from headprune.scoring.kept import keep_importances
from headprune.scoring.sampling import Drawn, draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.towers.adapter import Adapter
from headprune.towers.batches import choose_batch
from headprune.towers.load import outline_model
from headprune.types import Dataset, Expense, Geometry


@dataclass(frozen=True)
class Scored:
    """A finished `score`: what came out, where it was written, and how long it took (seconds, loading left out)."""

    result: ScoreResult
    run: Path
    patch: Path
    seconds: float


def perform_score(recipe: Recipe, out: Path, progress: Callable[[Progress], None] = lambda progress: None) -> Scored:
    """Algorithm 1 as the recipe says, into the run folder `out`: patch, store, resolved recipe.

    Interrupted once, it finishes the batch that it is in, and stores it.

    Raises:
        HeadpruneError: of any kind; nothing half-written is left, captions made so far are kept in the run folder.
    """
    settings_of, listener = settings_for(recipe), listener_of(recipe)
    if not (out / STORE).is_file() and not (out / LOCK).is_file():
        refuse_unless_free(out)
    # Cheap refusals first: a large model takes minutes to load.
    refuse_locked(out.absolute())
    dataset = dataset_for(recipe)
    geometry = outline_model(recipe.model, request_of(recipe)).geometry
    check_heads(geometry, parse_layers(recipe.layers, geometry.live, geometry.dead))
    drawn = draw(dataset, recipe.samples, recipe.seed)
    announce_left_out(drawn.left_out)
    with engine_for(recipe) as engine:
        facts = engine.facts
        generation = labelled(recipe.generation.plain(), facts, dataset)
        settings = settings_of(facts.geometry, engine.batch(asked_rows(recipe)), generation)
        start = time.perf_counter()
        environment = {**machine(), "engine": recipe.engine, "device": facts.device, "versions": versions()}
        with (
            RunFolder.claim(out, _identity(recipe, facts, settings), dumps(without_demo(recipe)), environment) as run,
            listened_score(recipe, listener, facts, drawn, settings, progress, out, run.resumed) as told,
        ):
            result = _scored(run, engine, dataset, drawn, settings, told)
            # Before the patch: where there is one, there are its importances.
            keep_importances(run.store, result.patch, result.per_sample, result.layers)
            save_patch(result.patch, run.patch)
            _announce_ties(result.patch)
            done = Scored(result, out, out / run.patch.name, time.perf_counter() - start)
            told.finished(RunFinished(done.patch, done.seconds, result.decoded, result.reused))
            return done


def _identity(recipe: Recipe, facts: ModelFacts, settings: ScoreSettings) -> dict[str, Any]:
    """What a run folder is known by: everything that determines its results."""
    # Files of plugins by their whole path, as in the recipe that the folder keeps: the reader is opened by it again.
    recorded = plugins_anchored(recipe.identity(), Path.cwd())
    # Those of which results tell what is in them by their name, wherever they lie.
    named = {key: recorded_name(recorded[key]) for key in ("scorer", "edit", "adapter") if recorded[key]}
    return {
        **recorded,
        **named,
        "generation": settings.generation.record(),
        # As the plugins read them: `num_layers=6` typed and 6 in a recipe are the same setting.
        "scorer_options": {
            **settings.scorer.settings.model_dump(mode="json"),
            # What comes with headprune lies elsewhere in another installation.
            **({"model_type": "demo"} if uses_demo_encoder(recipe) else {}),
        },
        "edit_options": settings.edit.settings.model_dump(mode="json"),
        "dtype": facts.dtype,
        "fingerprint": facts.record.fingerprint,
    }


def _scored(
    run: RunFolder, engine: Engine, dataset: Dataset, drawn: Drawn, settings: ScoreSettings, told: Listened
) -> ScoreResult:
    """Run Algorithm 1 in a run folder; what stops it is told together with how to go on."""
    try:
        with finishing() as interrupted:
            stop = interrupted.stop_if_asked
            return score_heads(engine, dataset, drawn, settings, run.store, told.progressed, told.layer_scored, stop)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_what_goes_on(run) or "nothing was made yet: give the same command again") from error
    except HeadpruneError:
        if kept := _what_goes_on(run):
            notice(f"what was made so far is kept: {kept}")
        raise


def _what_goes_on(run: RunFolder) -> str:
    return "" if run.store.is_empty() else f"headprune runs resume {run.path} goes on with it"


def _announce_ties(patch: Patch) -> None:
    """Say so where the scorer told no two heads of a layer apart: what such a patch prunes is chance."""
    scored = patch.importance[np.isfinite(patch.importance).sum(axis=1) > 1]
    if len(scored) and (np.nanmax(scored, axis=1) == np.nanmin(scored, axis=1)).all():
        notice("all heads of a layer score the same on these samples: what such a patch prunes is chance")


def score(
    adapter: Adapter,
    dataset: Dataset,
    progress: Callable[[Progress], None] = lambda progress: None,
    **settings: Any,
) -> ScoreResult:
    """Algorithm 1 on a loaded model and an opened dataset, nothing written: the library's way in.

    Args:
        adapter: from `headprune.load_model`.
        dataset: from `headprune.open_dataset`, or made of `headprune.Sample`s.
        progress: called as captions come.
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", scorer="bertscore",
            scorer_options={}, edit="isolate", decode_at="layer", schedule="oneshot", temperature=1.0, listener=None

    Raises:
        UsageError: a setting is unknown or wrong. PluginError: a scorer or edit is unknown or misbehaves.
    """
    recipe = resolve(None, {**settings, "model": adapter.ref.name, "data": dataset.ref}).recipe
    drawn = draw(dataset, recipe.samples, recipe.seed)
    announce_left_out(drawn.left_out)
    generation = labelled(recipe.generation.plain(), adapter, dataset)
    chosen = settings_for(recipe)(adapter.geometry, batch_for(recipe, adapter), generation)
    engine = LocalEngine(adapter)
    start = time.perf_counter()
    with listened_score(recipe, listener_of(recipe), engine.facts, drawn, chosen, progress) as told:
        result = score_heads(engine, dataset, drawn, chosen, None, told.progressed, told.layer_scored)
        told.finished(RunFinished(None, time.perf_counter() - start, result.decoded, result.reused))
        return result


def dry_run_score(recipe: Recipe) -> tuple[Geometry, Estimate, int]:
    """What `perform_score` would do, and the number of samples there are; loads no weights."""
    settings_of = settings_for(recipe)
    dataset = dataset_for(recipe)
    if recipe.samples > len(dataset):
        draw(dataset, recipe.samples, recipe.seed)
    outline = outline_model(recipe.model, request_of(recipe))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batch = choose_batch(outline.geometry, outline.tokens, outline.bytes_per_parameter, asked_rows(recipe), device)
    settings = settings_of(outline.geometry, batch, recipe.generation.plain())
    estimate = estimate_score(
        outline,
        settings.layers,
        recipe.samples,
        recipe.decode_at,
        recipe.schedule,
        batch,
        settings.edit.needs,
        settings.scorer.needs,
    )
    paid = replace(estimate, expense=settings.scorer.expense(estimate.decodes, 1))
    return outline.geometry, paid, len(dataset)


def expense_of_score(recipe: Recipe) -> Expense | None:
    """What the scorer of `perform_score` would cost at most; None where it is free."""
    free = make_any_scorer(recipe.scorer, dict(recipe.scorer_options)).expense(1, 1) is None
    return None if free else dry_run_score(recipe)[1].expense
