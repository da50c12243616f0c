"""Algorithm 1: samples in, softmax head coefficients out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from headprune.edits.edit import Edit
from headprune.errors import UsageError
from headprune.hooks.blame import blaming
from headprune.hooks.kinds import Scorer
from headprune.patch.apply import applied
from headprune.patch.fit import fingerprint
from headprune.patch.patch import Array, ModelRecord, Patch, PatchInfo
from headprune.runs.store import RunStore
from headprune.scoring.coefficients import patch_from
from headprune.scoring.importance import fit_to, importances, softmax
from headprune.scoring.sampling import Drawn
from headprune.scoring.statistics import Floats, limits
from headprune.scoring.sweep import Captions, SweepPlan, mean_head_outputs, sweep
from headprune.towers.adapter import Adapter
from headprune.towers.batches import Batch, Key
from headprune.types import Dataset, DecodePoint, Generation, Schedule

_RECORDED = ("headprune", "torch", "transformers", "safetensors")


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """What Algorithm 1 is run with. `layers` are 0-based; the names are recorded in the patch."""

    layers: tuple[int, ...]
    edit: Edit
    edit_name: str
    scorer: Scorer
    scorer_name: str
    batch: Batch
    decode_at: DecodePoint = DecodePoint.LAYER
    schedule: Schedule = Schedule.ONESHOT
    temperature: float = 1.0
    generation: Generation = field(default_factory=Generation)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: `done` of `total` captions in the stage called `stage`; `samples` pictures share them."""

    stage: str
    done: int
    total: int
    samples: int


@dataclass(frozen=True)
class ScoreResult:
    """What came out.

    Attributes:
        patch: coefficients, to be saved.
        layers: the scored layers, 0-based; the first axis of what follows.
        per_sample: [m, layers, H], importance of each head on each sample; NaN where a layer has no such head.
        importance_limits, alpha_limits: (low, high), each [layers, H]: 95 % bootstrap limits over samples.
        decoded, reused: captions generated now, and taken from the run store.
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
) -> ScoreResult:
    """Run Algorithm 1.

    Args:
        adapter: the model, unchanged when this returns.
        dataset: where the samples come from; a scorer that needs gold captions is fitted on all of it.
        drawn: the m samples to score on.
        settings: what to do.
        store: captions are kept here as they come, and taken from here when they are there.
        progress: called as captions come.

    Raises:
        UsageError: the scorer needs gold captions that are not there, or no head is left to score.
        PluginError: the scorer misbehaves.
    """
    if not any(adapter.geometry.heads_in[layer] for layer in settings.layers):
        raise UsageError("the layers to score have no head left", "choose other --layers, or the unpruned model")
    fit_to(settings.scorer, dataset)
    run = _Run(adapter, drawn, settings, store, progress)
    per_sample = np.concatenate(list(run.layer_groups()), axis=1)
    return _result(adapter, dataset, drawn, settings, per_sample, run)


class _Run:
    """One run of Algorithm 1: makes captions where they are missing and scores them."""

    def __init__(
        self,
        adapter: Adapter,
        drawn: Drawn,
        settings: ScoreSettings,
        store: RunStore | None,
        progress: Callable[[Progress], None],
    ) -> None:
        self.adapter = adapter
        self.samples = drawn.samples
        self.settings = settings
        self.store = store
        self.progress = progress
        self.fingerprint = fingerprint(adapter)
        self.decoded = self.reused = 0
        self._captions: Captions = {}
        self._picture_digest = drawn.digest
        last = adapter.geometry.layers - 1
        self._reference_of = {
            layer: last if settings.decode_at is DecodePoint.LAST else layer for layer in settings.layers
        }

    def layer_groups(self) -> Iterator[Floats]:
        """Importances [m, layers of the group, H]: all layers at once, or one by one on a changed model."""
        settings, geometry = self.settings, self.adapter.geometry
        references = tuple(sorted(set(self._reference_of.values())))
        coefficients = np.ones((geometry.layers, geometry.heads), np.float32)
        if settings.schedule is Schedule.ONESHOT:
            self._make("captions", settings.layers, references, coefficients)
            yield self._importances(settings.layers)
            return
        self._make("unchanged captions", (), references, coefficients)
        for layer in settings.layers:
            self._make(f"captions of layer {layer}", (layer,), (), coefficients)
            values = self._importances((layer,))
            scale = geometry.heads_in[layer] * softmax(values.mean(axis=0)[0], settings.temperature)
            coefficients[layer] = np.where(np.isfinite(scale), scale, 1)
            yield values

    def _importances(self, layers: Sequence[int]) -> Floats:
        references = [self._reference_of[layer] for layer in layers]
        settings, geometry = self.settings, self.adapter.geometry
        return importances(self._captions, self.samples, layers, geometry, settings.edit, settings.scorer, references)

    def _make(self, stage: str, layers: tuple[int, ...], references: tuple[int, ...], coefficients: Array) -> None:
        """Make the captions of these layers' variants and unchanged layers, on a model scaled by `coefficients`."""
        settings = self.settings
        plan = SweepPlan(layers, references, settings.edit, settings.decode_at, settings.generation, settings.batch)
        wanted = [key for sample in self.samples for key in plan.keys(sample.id, self.adapter.geometry.heads_in)]
        shelf = _Shelf(self.store, self._determined(coefficients))
        known = shelf.known(wanted)
        self._captions.update(known)
        made = 0

        def deliver(fresh: Captions) -> None:
            nonlocal made
            shelf.keep(fresh)
            made += len(fresh.keys() - known.keys())
            self._captions.update(fresh)
            self.progress(Progress(stage, len(known) + made, len(wanted), len(self.samples)))

        self.progress(Progress(stage, len(known), len(wanted), len(self.samples)))
        changed = nullcontext() if (coefficients == 1).all() else applied(self.adapter, coefficients)
        with changed:
            means = None
            if layers and settings.edit.needs_means and len(known) < len(wanted):
                means = mean_head_outputs(self.adapter, self.samples, layers, settings.batch)
            sweep(self.adapter, self.samples, plan, known, deliver, means)
        self.decoded += made
        self.reused += len(known)

    def _determined(self, coefficients: Array) -> dict[str, Any]:
        """Everything that determines a caption besides its sample, layer and head."""
        settings = self.settings
        return {
            "fingerprint": self.fingerprint,
            "dtype": str(self.adapter.dtype),
            "pictures": self._picture_digest,
            "generation": asdict(settings.generation),
            "edit": _edit_record(settings),
            "decode_at": settings.decode_at.value,
            "coefficients": hashlib.sha256(coefficients.tobytes()).hexdigest(),
        }


class _Shelf:
    """The run store's place for the captions of one stage; nothing is kept without a store."""

    def __init__(self, store: RunStore | None, determined: dict[str, Any]) -> None:
        self._store = store
        self._context = store.context(determined) if store else ""

    def known(self, wanted: Sequence[Key]) -> Captions:
        """Those of the wanted captions that are there."""
        there = self._store.captions(self._context) if self._store else {}
        return {key: there[key] for key in wanted if key in there}

    def keep(self, captions: Captions) -> None:
        """Store captions, at once."""
        if self._store:
            self._store.add_captions(self._context, captions)


def _edit_record(settings: ScoreSettings) -> dict[str, Any]:
    return {"name": settings.edit_name, **settings.edit.settings.model_dump(mode="json")}


def _result(
    adapter: Adapter, dataset: Dataset, drawn: Drawn, settings: ScoreSettings, per_sample: Floats, run: _Run
) -> ScoreResult:
    geometry = adapter.geometry

    def alpha_of(means: Floats) -> Floats:
        return softmax(means, settings.temperature)

    with blaming(f"scorer {settings.scorer_name}"):
        described = settings.scorer.describe()
    info = PatchInfo(
        model=ModelRecord(
            name=adapter.ref.name,
            backend=adapter.ref.backend,
            revision=adapter.ref.revision,
            layers=geometry.layers,
            heads=geometry.heads,
            width=geometry.width,
            head_width=geometry.head_width,
            cls=geometry.cls,
            ragged=geometry.ragged,
            fingerprint=run.fingerprint,
        ),
        scorer={"name": settings.scorer_name, **described},
        edit=_edit_record(settings),
        comparable=settings.edit.comparable.value,
        decode_at=settings.decode_at.value,
        schedule=settings.schedule.value,
        temperature=settings.temperature,
        generation=asdict(settings.generation),
        dataset=dataset.ref,
        sample_ids=tuple(sample.id for sample in drawn.samples),
        seed=settings.seed,
        versions={name: version(name) for name in _RECORDED},
    )
    return ScoreResult(
        patch=patch_from(per_sample, settings.layers, info),
        layers=settings.layers,
        per_sample=per_sample,
        importance_limits=limits(per_sample, settings.seed),
        alpha_limits=limits(per_sample, settings.seed, alpha_of),
        decoded=run.decoded,
        reused=run.reused,
    )
