"""Section 9: two of Ray's workers against one, each of one thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import ray

from benchmarks.effort import Effort
from benchmarks.results import Row, Section, Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import scored_alike
from headprune.jobs.engines.ray_engine import RayEngine
from headprune.jobs.opening import asked_rows, dataset_for
from headprune.jobs.settings import settings_for
from headprune.recipes import resolve
from headprune.recipes.schema import Recipe
from headprune.scoring.algorithm import ScoreResult, score_heads
from headprune.scoring.engine import Engine
from headprune.scoring.sampling import draw

SAMPLES = 100
ONE, TWO = "1 worker", "2 workers"


def run(effort: Effort) -> Section:
    """The demo's score run, importances included; models are loaded, and pictures handed over, off the clock."""
    rows = []
    # Three workers are there at once, and take turns: no more than two have something to do.
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        for point in ("layer", "last"):
            rows += _measure(effort, point)
    finally:
        ray.shutdown()
    notes = ("the ratio is the speed-up; the scores of BERTScore and the intervals are this process's, with either",)
    return Section("workers", "Ray's workers", tuple(rows), notes)


def _measure(effort: Effort, point: str) -> list[Row]:
    samples = 2 if effort.quick else SAMPLES
    contestants: dict[str, Callable[[], ScoreResult]] = {}
    with ExitStack() as stack:
        for name, workers in ((ONE, 1), (TWO, 2)):
            asked = {
                "model": "demo", "data": "demo", "decode_at": point, "engine": "ray",
                "samples": samples, "ray": {"workers": workers},
            }  # fmt: skip
            recipe = resolve(None, asked).recipe
            engine = stack.enter_context(RayEngine(recipe))
            while engine.pool.idle < workers:
                engine.pool.see_started(1.0)
            contestants[name] = _scoring(engine, recipe)
        for scored in contestants.values():
            scored()
        seconds = interleaved(contestants, effort.rounds, scored_alike)
    rates = {name: [samples / taken for taken in values] for name, values in seconds.items()}
    setting = f"demo, {samples} samples, decoded at {point}"
    return compared(setting, rates, "samples/s", {TWO: (ONE, Target(1.7, least=True))})


def _scoring(engine: Engine, recipe: Recipe) -> Callable[[], ScoreResult]:
    """Scores the recipe's samples, which are drawn off the clock."""
    dataset = dataset_for(recipe)
    drawn = draw(dataset, recipe.samples, recipe.seed)
    batch = engine.batch(asked_rows(recipe))
    settings = settings_for(recipe)(engine.facts.geometry, batch, recipe.generation.plain())
    return partial(score_heads, engine, dataset, drawn, settings)
