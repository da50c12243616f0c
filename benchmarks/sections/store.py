"""Section 8: what the run store costs a run."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.effort import Effort
from benchmarks.results import Section, Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import scored_alike
from headprune.jobs.opening import asked_rows, dataset_for, load_for
from headprune.jobs.settings import settings_for
from headprune.patch.file import save_patch
from headprune.recipes import dumps, resolve
from headprune.recipes.schema import Recipe
from headprune.runs import RunFolder
from headprune.scoring.algorithm import ScoreResult, score_heads
from headprune.scoring.engine import Engine
from headprune.scoring.kept import keep_importances
from headprune.scoring.sampling import Drawn, draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.types import Dataset

WITHOUT, WITH = "without a store", "with a store"
SAMPLES = 100


class Opened(NamedTuple):
    """What a sweep needs."""

    engine: Engine
    dataset: Dataset
    drawn: Drawn
    settings: ScoreSettings


def run(effort: Effort) -> Section:
    """The demo scored in this process, from its files to its patch and from picture to caption, stored or not."""
    rows = []
    for point in ("layer", "last"):
        asked = {"model": "demo", "data": "demo", "decode_at": point, "samples": 2 if effort.quick else SAMPLES}
        recipe = resolve(None, asked).recipe
        opened = _opened(recipe)
        contestants = {
            "a run": {WITHOUT: lambda: _plain(_opened(recipe)), WITH: lambda: _stored(recipe, _opened(recipe))},  # noqa: B023
            "its sweep alone": {WITHOUT: lambda: _plain(opened), WITH: lambda: _stored(recipe, opened)},  # noqa: B023
        }
        for what, two in contestants.items():
            seconds = interleaved(two, effort.rounds, scored_alike, before=_collected)
            setting = f"demo, {recipe.samples} samples, decoded at {point}: {what}"
            rows += compared(setting, seconds, "s", {WITH: (WITHOUT, Target(1.03) if what == "a run" else None)})
    notes = (
        "a run: model, dataset and scorer loaded, pictures drawn, scored, the patch saved",
        "with a store: in a new folder, made, filled and closed",
    )
    return Section("store", "the run store", tuple(rows), notes)


def _collected() -> None:
    """A collection of all garbage takes a tenth of a sweep: whose turn it falls into must not matter."""
    gc.collect()


def _opened(recipe: Recipe) -> Opened:
    engine, dataset = LocalEngine(load_for(recipe)), dataset_for(recipe)
    drawn = draw(dataset, recipe.samples, recipe.seed)
    batch = engine.batch(asked_rows(recipe))
    return Opened(engine, dataset, drawn, settings_for(recipe)(engine.facts.geometry, batch, recipe.generation.plain()))


def _plain(opened: Opened) -> ScoreResult:
    with tempfile.TemporaryDirectory() as folder:
        result = score_heads(*opened)
        save_patch(result.patch, Path(folder) / "patch.safetensors")
        return result


def _stored(recipe: Recipe, opened: Opened) -> ScoreResult:
    with (
        tempfile.TemporaryDirectory() as folder,
        RunFolder.claim(Path(folder) / "run", recipe.identity(), dumps(recipe)) as run,
    ):
        result = score_heads(*opened, run.store)
        keep_importances(run.store, result.patch, result.per_sample, result.layers)
        save_patch(result.patch, run.patch)
        return result
