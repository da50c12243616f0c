"""Section 8: what the run store costs a run."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.effort import Effort
from benchmarks.results import Section, Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import scored_alike
from headprune.jobs.opening import asked_rows, dataset_for, load_for
from headprune.jobs.settings import settings_for
from headprune.recipes import resolve
from headprune.runs import RunFolder
from headprune.scoring.algorithm import ScoreResult, score_heads
from headprune.scoring.kept import keep_importances
from headprune.scoring.sampling import draw
from headprune.scoring.worker import LocalEngine

WITHOUT, WITH = "without a store", "with a store"
SAMPLES = 100


def run(effort: Effort) -> Section:
    """The demo's score run in this process, its results kept, or not."""
    rows = []
    for point in ("layer", "last"):
        asked = {"model": "demo", "data": "demo", "decode_at": point, "samples": 2 if effort.quick else SAMPLES}
        recipe = resolve(None, asked).recipe
        engine, dataset = LocalEngine(load_for(recipe)), dataset_for(recipe)
        drawn = draw(dataset, recipe.samples, recipe.seed)
        batch = engine.batch(asked_rows(recipe))
        settings = settings_for(recipe)(engine.facts.geometry, batch, recipe.generation.plain())

        def without() -> ScoreResult:
            return score_heads(engine, dataset, drawn, settings)  # noqa: B023 - called within the round

        def kept() -> ScoreResult:
            with (
                tempfile.TemporaryDirectory() as folder,
                RunFolder.claim(Path(folder) / "run", {"model": "demo"}, 'model = "demo"\n') as run,
            ):
                result = score_heads(engine, dataset, drawn, settings, run.store)  # noqa: B023 - as above
                keep_importances(run.store, result.patch, result.per_sample, result.layers)
                return result

        without()  # once off the clock: the first run finds its batch
        seconds = interleaved({WITHOUT: without, WITH: kept}, effort.rounds, scored_alike)
        setting = f"demo, {recipe.samples} samples, decoded at {point}"
        rows += compared(setting, seconds, "s", {WITH: (WITHOUT, Target(1.03))})
    return Section("store", "the run store", tuple(rows), ("a new folder each time: made, filled and closed",))
