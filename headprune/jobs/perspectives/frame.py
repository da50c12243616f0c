"""What all perspectives share: model and pictures opened, before and after a patch, a run folder with figures."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from headprune.errors import notice
from headprune.evaluation.table1 import Change
from headprune.files import refuse_unless_free, writing_folder
from headprune.hooks.checks import opened
from headprune.jobs.apply import choose_change
from headprune.jobs.opening import announce_left_out, batch_for, dataset_for, labelled, load_for, request_of
from headprune.patch.apply import applied
from headprune.patch.file import load_patch
from headprune.patch.fit import check_fit, model_record, versions
from headprune.patch.patch import Patch
from headprune.patch.prune import head_list, silent
from headprune.perspectives.run import PatchRecord, Run, RunInfo, SampleRecord, save_run
from headprune.recipes import dumps, resolve, without_demo
from headprune.recipes.layers import parse_layers
from headprune.recipes.load import Resolved
from headprune.recipes.schema import Recipe
from headprune.report.figures import save_figures
from headprune.scoring.sampling import Drawn, draw
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch
from headprune.towers.load import outline_model
from headprune.types import Dataset, Expense, Generation, Sample

Progress = Callable[[str], None]
# Pictures are kept to be looked at: as large as a report shows them.
_SHOWN = 384


@dataclass(frozen=True, slots=True)
class Scene:
    """What a perspective looks at. `layers` are 0-based; `dataset` is where the samples were drawn from."""

    adapter: Adapter
    dataset: Dataset
    samples: tuple[Sample, ...]
    layers: tuple[int, ...]
    generation: Generation
    batch: Batch
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What `perform` would look at: `pictures` of the `available` ones, `layers` (0-based), and what its scorer would
    cost; None where that is free."""

    pictures: int
    available: int
    layers: tuple[int, ...]
    expense: Expense | None


class Perspective(ABC):
    """One perspective. It is made from a recipe before anything is loaded, so that a mistake costs no waiting.

    Attributes:
        kind: its command, one of `headprune.perspectives.run.KINDS`.
        default_layers: looked at where the recipe names none.
        default_scorer: its scorer where the recipe names none; None for the recipe's own default.
        scorer, scorer_name: the scorer of captions that plays a part, if one does, and what it was asked for by.
    """

    kind: ClassVar[str]
    default_layers: ClassVar[str] = "all"
    default_scorer: ClassVar[str | None] = None
    scorer: Any = None
    scorer_name: str | None = None

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def meet(self, scene: Scene) -> None:
        """What has to be done once, before the model is looked at: fit a scorer, take means, say what is special."""
        return

    def expense(self, pictures: int, layers: Sequence[int]) -> Expense | None:
        """What its scorer would cost on `layers` (0-based), with `pictures` of both sides of a patch; None where that
        is free.

        One call for each layer of each picture, unless a perspective knows better.
        """
        found: Expense | None = self.scorer.expense(pictures * len(layers), 1) if self.scorer else None
        return found

    @abstractmethod
    def look(self, scene: Scene, progress: Progress) -> Any:
        """What is found on the model as it stands: the dataclass that `KINDS` names."""

    @abstractmethod
    def document(self, found: Any) -> dict[str, Any]:
        """What of it is told on stdout under --json, JSON-able; arrays of any size stay in the run folder."""


def settled(kind: type[Perspective], resolved: Resolved) -> Recipe:
    """The recipe of a perspective, whose layers and scorer are its own where none were named."""
    own: dict[str, Any] = {}
    if resolved.sources["layers"] == "default":
        own["layers"] = kind.default_layers
    if kind.default_scorer and resolved.sources["scorer"] == "default":
        own["scorer"] = kind.default_scorer
        options = {source for name, source in resolved.sources.items() if name.startswith("scorer_options")}
        # The demo's are BERTScore's.
        if "demo" in options:
            own["scorer_options"] = {}
    return resolved.recipe.model_copy(update=own)


def plan(perspective: Perspective, sides: int) -> Plan:
    """What `perform` would look at; loads no weights.

    Args:
        sides: 2 with a patch, else 1.
    """
    recipe = perspective.recipe
    dataset = dataset_for(recipe)
    if recipe.samples > len(dataset):
        draw(dataset, recipe.samples, recipe.seed)
    layers = _layers(recipe)
    return Plan(recipe.samples, len(dataset), layers, perspective.expense(sides * recipe.samples, layers))


def expense_of(perspective: Perspective, sides: int) -> Expense | None:
    """What the scorer of `perform` would cost; None where that is free."""
    return plan(perspective, sides).expense if perspective.expense(1, (0,)) else None


def perform(
    perspective: Perspective,
    out: Path,
    patch_path: Path | None = None,
    allow_other_weights: bool = False,
    progress: Progress = lambda stage: None,
) -> Run:
    """Look at the model of the perspective's recipe, and again with a patch applied; write what was found into the new
    folder `out`.

    Raises:
        HeadpruneError: of any kind; `out` is as it was.
    """
    refuse_unless_free(out)
    recipe = perspective.recipe
    patch = load_patch(patch_path) if patch_path else None
    change = choose_change(patch, recipe.apply.scale, recipe.apply.prune) if patch else None
    dataset = dataset_for(recipe)
    # A cheap refusal first: a large model takes minutes to load.
    _layers(recipe)
    drawn = draw(dataset, recipe.samples, recipe.seed)
    announce_left_out(drawn.left_out)
    progress("loading")
    adapter = load_for(recipe)
    if patch:
        check_fit(patch, adapter, allow_other_weights)
    scene = _scene(recipe, adapter, dataset, drawn)
    perspective.meet(scene)
    # Around the work as well: that a folder cannot be written is known before it.
    with writing_folder(out) as part:
        begun = time.perf_counter()
        before, after = _both(perspective, scene, change, progress)
        seconds = time.perf_counter() - begun
        progress("drawing")
        info = RunInfo(
            kind=perspective.kind,
            versions=versions(),
            model=model_record(adapter),
            data=dataset.ref,
            seed=recipe.seed,
            samples=_keep_pictures(drawn.samples, part / "pictures"),
            left_out=len(drawn.left_out),
            layers=scene.layers,
            scorer=perspective.scorer_name,
            generation=scene.generation.record(),
            patch=_patch_record(patch, change, recipe, adapter),
            seconds=seconds,
        )
        run = Run(part, info, before, after)
        save_run(run)
        (part / "recipe.toml").write_text(
            _how_again(perspective.kind, patch) + dumps(without_demo(recipe)), encoding="utf-8"
        )
        save_figures(run, part)
    return replace(run, folder=out)


def look(
    kind: type[Perspective],
    adapter: Adapter,
    dataset: Dataset,
    settings: Mapping[str, Any],
    progress: Progress = lambda stage: None,
) -> Any:
    """A perspective on a loaded model and an opened dataset, nothing written: behind the library's calls.

    Args:
        settings: of a recipe, with its defaults: samples=100, seed=0, layers="all", scorer="bertscore" ...
    """
    recipe = settled(kind, resolve(None, {**settings, "model": adapter.ref.name, "data": dataset.ref}))
    drawn = draw(dataset, recipe.samples, recipe.seed)
    announce_left_out(drawn.left_out)
    perspective, scene = kind(recipe), _scene(recipe, adapter, dataset, drawn)
    perspective.meet(scene)
    return perspective.look(scene, progress)


def _layers(recipe: Recipe) -> tuple[int, ...]:
    """The layers that the recipe names, by its model's outline: no weights are loaded."""
    geometry = outline_model(recipe.model, request_of(recipe)).geometry
    return parse_layers(recipe.layers, geometry.live, geometry.dead)


def _scene(recipe: Recipe, adapter: Adapter, dataset: Dataset, drawn: Drawn) -> Scene:
    geometry = adapter.geometry
    if len(drawn.samples) == 1:
        notice("of one picture there are no intervals: their limits are the number itself")
    if geometry.dead:
        notice(f"nothing reads the tower from layer {geometry.live} on: it is not looked at")
    return Scene(
        adapter,
        dataset,
        drawn.samples,
        parse_layers(recipe.layers, geometry.live, geometry.dead),
        labelled(recipe.generation.plain(), adapter, dataset),
        batch_for(recipe, adapter),
        recipe.seed,
    )


def _both(perspective: Perspective, scene: Scene, change: Change | None, progress: Progress) -> tuple[Any, Any]:
    """What is found before and after the change."""
    progress(f"{len(scene.samples)} samples")
    before = perspective.look(scene, progress)
    if change is None:
        return before, None
    progress(f"{len(scene.samples)} samples, with the patch")
    with applied(scene.adapter, change.coefficients):
        return before, perspective.look(scene, progress)


def _how_again(kind: str, patch: Patch | None) -> str:
    """The head of a recipe file: the command that it is for."""
    named = f" --patch PATCH, whose digest is {patch.digest()}" if patch else ""
    return f"# headprune {kind} --recipe recipe.toml --out RUN{named}\n\n"


def _keep_pictures(samples: Sequence[Sample], folder: Path) -> tuple[SampleRecord, ...]:
    """Keep the samples' pictures as a report shows them; nothing of the files they came from goes along."""
    folder.mkdir()
    kept = []
    for number, sample in enumerate(samples):
        picture = opened(sample)
        picture.thumbnail((_SHOWN, _SHOWN))
        picture.info.clear()
        name = f"{number:04d}.jpg"
        picture.save(folder / name, quality=88)
        kept.append(SampleRecord(id=sample.id, captions=sample.captions, picture=f"{folder.name}/{name}"))
    return tuple(kept)


def _patch_record(patch: Patch | None, change: Change | None, recipe: Recipe, adapter: Adapter) -> PatchRecord | None:
    if patch is None or change is None:
        return None
    heads = head_list(silent(adapter.geometry, change.coefficients))
    return PatchRecord(
        digest=patch.digest(), scale=recipe.apply.scale, prune=recipe.apply.prune, silent=tuple(map(tuple, heads))
    )
