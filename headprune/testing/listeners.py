"""What every listener promises, as tests that a plugin author inherits."""

from __future__ import annotations

from contextlib import redirect_stdout
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headprune.errors import UsageError
from headprune.events import LayerScored, Progress, RunFailed, RunFinished, RunStarted
from headprune.hooks.kinds import Listener
from headprune.patch.file import save_patch
from headprune.patch.patch import ModelRecord, Patch, PatchInfo
from headprune.recipes.schema import Recipe
from headprune.runs.folder import RunFolder
from headprune.testing.contract import Contract, assert_unknown_option_is_refused
from headprune.types import Geometry, Interval, ModelRef

_METHODS = {
    RunStarted: "started",
    Progress: "progressed",
    LayerScored: "layer_scored",
    RunFinished: "finished",
    RunFailed: "failed",
}
_HEADS = 3
_ODD = "a \"quoted\" 'line'\nand\tanother \\ {x} %s <b> 一只狗 собака كلب 🐕 \u2028 end"
_LONG = "a name that goes on and on " * 400


class ListenerContract(Contract):
    """Subclass it as `Test...` and override the fixture `listener`."""

    @pytest.fixture
    def listener(self) -> Listener:
        """The listener under test, new, with settings that work offline."""
        raise NotImplementedError("override the fixture `listener`")

    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        """A run folder with all that a finished run leaves in it. Leave it as it is."""
        return _run_folder(tmp_path / "run")

    @pytest.fixture
    def failing(self, tmp_path: Path) -> Path:
        """Another one. Leave it as it is."""
        return _run_folder(tmp_path / "failing")

    def test_a_whole_run(self, listener: Listener, run: Path) -> None:
        """It hears a run of several stages and layers from its start to its patch, and does not fail."""
        _tell(listener, *_whole(run))

    def test_a_stage_with_nothing_to_do(self, listener: Listener, run: Path) -> None:
        """It hears of a stage in which 0 of 0 are done, as that of a layer without heads, and does not fail."""
        nothing = Progress("captions of layer 0", done=0, total=0, samples=2)
        _tell(listener, _started(run), nothing, _layer(0), _finished(run))

    def test_a_run_that_fails_at_once(self, listener: Listener, run: Path) -> None:
        """It hears of an error before anything was done, and does not fail."""
        _tell(listener, _started(run), _failed("UsageError", "the layers to score have no head left"))

    def test_a_run_that_fails_midway(self, listener: Listener, run: Path) -> None:
        """It hears of an error after a layer was scored, and does not fail."""
        _tell(listener, _started(run), _progress(), _layer(0), _failed("PluginError", "scorer 'words' failed"))

    def test_an_interruption(self, listener: Listener, run: Path) -> None:
        """It hears that somebody stopped the run, which has no reason but its kind, and does not fail."""
        _tell(listener, _started(run), _progress(2), _failed("KeyboardInterrupt", ""))

    def test_a_library_call(self, listener: Listener) -> None:
        """It hears a run that has neither folder nor patch, or refuses it at its start with a UsageError."""
        try:
            _tell(listener, _started(None))
        except UsageError:
            return
        _tell(listener, _progress(), _layer(0), _finished(None))

    def test_a_resumed_run(self, listener: Listener, run: Path) -> None:
        """After a run that was killed, another listener hears how it goes on in its folder, and does not fail."""
        _tell(listener, _started(run), _progress(2))
        _tell(_another(listener), _started(run, resumed=True), _progress(2), _progress(), _layer(0), _finished(run))

    def test_layers_of_unequal_size(self, listener: Listener, run: Path) -> None:
        """It hears of layers that have fewer heads than others, or none, and does not fail."""
        geometry = Geometry(3, _HEADS, 8, 2, cls=True, ragged=(3, 1, 0))
        layers = [_layer(layer, heads) for layer, heads in enumerate(geometry.ragged)]
        started = _started(run, geometry=geometry, layers=(0, 1, 2))
        _tell(listener, started, _progress(), *layers, _finished(run))

    def test_any_text(self, listener: Listener, tmp_path: Path) -> None:
        """Names and settings may be very long, non-Latin, and hold line breaks and quotes; so may what went wrong."""
        run = _run_folder(tmp_path / "a run's 文件夹")
        options = {_ODD: _LONG, _LONG: _ODD, "words": [_ODD, _LONG]}
        started = _started(
            run,
            settings={**_settings(), "scorer_options": options, "edit": _LONG},
            model=ModelRef("transformers", f"{_ODD} {_LONG}", revision=_ODD),
            scorer={"name": _ODD, **options},
            edit={"name": _LONG},
            sample_ids=(_ODD, _LONG),
        )
        _tell(listener, started, Progress(f"{_ODD} {_LONG}", 6, 6, 2), _failed("PluginError", f"{_ODD} {_LONG}"))

    def test_prints_nothing_to_stdout(self, listener: Listener, run: Path, failing: Path) -> None:
        """stdout is where results go: it prints nothing there."""
        with redirect_stdout(StringIO()) as printed:
            _tell(listener, *_short(run))
            _tell(_another(listener), *_cut(failing))
        assert not printed.getvalue(), f"it prints {printed.getvalue()!r}"

    def test_leaves_the_events_alone(self, listener: Listener, run: Path) -> None:
        """What it is told, such as the settings, it does not change: it may be told to others, too."""
        events = _short(run)
        told = deepcopy(events)
        _tell(listener, *told)
        changed = {type(now).__name__ for now, before in zip(told, events, strict=True) if now != before}
        assert not changed, f"it changes what it is told in {', '.join(sorted(changed))}"

    def test_leaves_the_run_folder_alone(self, listener: Listener, run: Path, failing: Path) -> None:
        """The files of the run stay as they are."""
        before = {path: path.read_bytes() for folder in (run, failing) for path in folder.iterdir()}
        _tell(listener, *_short(run))
        _tell(_another(listener), *_cut(failing))
        for path, data in before.items():
            assert path.is_file(), f"{path.name} is gone from the run folder"
            assert path.read_bytes() == data, f"{path.name} in the run folder is changed"

    def test_two_runs_at_once(self, listener: Listener, tmp_path: Path) -> None:
        """Two runs at once, each with a listener of its own, do not disturb each other."""
        runs = (_run_folder(tmp_path / "one"), _run_folder(tmp_path / "two"))
        pairs = list(zip((listener, _another(listener)), runs, strict=True))
        for each, run in pairs:
            _tell(each, _started(run), _progress())
        for each, run in pairs:
            _tell(each, _layer(0), _finished(run))

    def test_unknown_option_is_refused(self, listener: Listener) -> None:
        """An option that it does not know ends in a usage error, not in silence."""
        assert_unknown_option_is_refused(type(listener))


_Event = RunStarted | Progress | LayerScored | RunFinished | RunFailed


def _tell(listener: Listener, *events: _Event) -> None:
    for event in events:
        getattr(listener, _METHODS[type(event)])(event)


def _another(listener: Listener) -> Listener:
    """A new one with the same settings."""
    return type(listener)(listener.settings)


def _whole(run: Path) -> list[_Event]:
    """A run with a stage for each of two layers, as the sequential schedule has it."""
    return [
        _started(run, layers=(0, 1)),
        Progress("unchanged captions", 0, 2, samples=2),
        Progress("unchanged captions", 2, 2, samples=2),
        *(Progress("captions of layer 0", done, 6, samples=2) for done in (0, 4, 6)),
        _layer(0),
        *(Progress("captions of layer 1", done, 6, samples=2) for done in (0, 6)),
        _layer(1),
        _finished(run),
    ]


def _short(run: Path) -> list[_Event]:
    return [_started(run), _progress(), _layer(0), _finished(run)]


def _cut(run: Path) -> list[_Event]:
    return [_started(run), _progress(2), _failed("PluginError", "scorer 'words' failed")]


def _started(folder: Path | None, **changes: Any) -> RunStarted:
    given: dict[str, Any] = {
        "settings": _settings(),
        "model": ModelRef("demo", "demo"),
        "geometry": Geometry(2, _HEADS, 8, 2, cls=True),
        "scorer": {"name": "words", "power": 1.0},
        "edit": {"name": "isolate"},
        "sample_ids": ("a", "b"),
        "layers": (0,),
    }
    return RunStarted(folder, **{**given, **changes})


def _settings() -> dict[str, Any]:
    recipe = Recipe(model="demo", data="demo", samples=2, scorer="words", scorer_options={"power": 1.0})
    return recipe.model_dump(mode="json", exclude_none=True)


def _progress(done: int = 6) -> Progress:
    return Progress("captions", done, total=6, samples=2)


def _layer(layer: int, heads: int = _HEADS) -> LayerScored:
    importance = tuple(Interval(0.1 * head - 0.1, 0.1 * head - 0.2, 0.1 * head) for head in range(heads))
    return LayerScored(layer, importance, tuple(Interval(1 / heads, 0.5 / heads, 1.5 / heads) for _ in range(heads)))


def _finished(folder: Path | None) -> RunFinished:
    return RunFinished(folder / "patch.safetensors" if folder else None, seconds=1.5, decoded=4, reused=2)


def _failed(kind: str, reason: str) -> RunFailed:
    return RunFailed(kind, reason, seconds=0.5)


def _run_folder(path: Path) -> Path:
    """A run folder with store, recipe and patch."""
    with RunFolder.claim(path, {"model": "demo"}, 'model = "demo"\n') as run:
        save_patch(_patch(), run.patch)
    return path


def _patch() -> Patch:
    record = ModelRecord(
        name="demo",
        backend="demo",
        revision=None,
        layers=2,
        heads=_HEADS,
        width=8,
        head_width=2,
        cls=True,
        ragged=(),
        fingerprint="0",
    )
    info = PatchInfo(
        model=record,
        scorer={"name": "words"},
        edit={"name": "isolate"},
        comparable="within-layer",
        decode_at="layer",
        schedule="oneshot",
        temperature=1.0,
        generation={},
        dataset="demo",
        sample_ids=("a", "b"),
        seed=0,
        versions={},
    )
    shape = (2, _HEADS)
    importance = np.tile(np.array([-0.1, 0.0, 0.1], np.float32), (2, 1))
    alpha = np.full(shape, 1 / _HEADS, np.float32)
    return Patch(importance, alpha, np.ones(shape, np.float32), np.full(shape, 2, np.int32), info)
