"""The contract of listeners: right ones keep it, and each promise has a listener that breaks it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TextIO

import pytest

from headprune import LayerScored, Listener, Progress, RunFailed, RunFinished, RunStarted, UsageError
from headprune.testing import ListenerContract
from tests.support.contracts import assert_breaks_only, each, outcomes, promises


class Diary(Listener):
    """Remembers a line for everything it hears."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.lines: list[str] = []

    def started(self, run: RunStarted) -> None:
        self.lines.append(f"{run.model}, layers {run.layers}")

    def progressed(self, progress: Progress) -> None:
        self.lines.append(f"{progress.stage}: {progress.done} of {progress.total}")

    def layer_scored(self, layer: LayerScored) -> None:
        self.lines.append(f"layer {layer.layer}: {[head.mean for head in layer.importance]}")

    def finished(self, run: RunFinished) -> None:
        self.lines.append(f"done in {run.seconds} s")

    def failed(self, run: RunFailed) -> None:
        self.lines.append(f"{run.kind}: {run.reason}")


class TestDiary(ListenerContract):
    @pytest.fixture
    def listener(self) -> Listener:
        return Diary()


class TestOneThatHearsNothing(ListenerContract):
    @pytest.fixture
    def listener(self) -> Listener:
        return Listener()


class OneStageOnly(Diary):
    """Takes it that a run has one stage, and that it counts up to one total."""

    total = 0

    def progressed(self, progress: Progress) -> None:
        super().progressed(progress)
        if self.total and progress.total != self.total:
            raise ValueError(f"{progress.total} in place of {self.total}")
        self.total = progress.total


class Percent(Diary):
    """Divides by the total."""

    def progressed(self, progress: Progress) -> None:
        self.lines.append(f"{100 * progress.done / progress.total} %")


class OpensItsTableLate(Diary):
    """Opens what it closes at the end when it hears of progress for the first time."""

    table: list[str] | None = None

    def progressed(self, progress: Progress) -> None:
        self.table = []

    def failed(self, run: RunFailed) -> None:
        assert self.table is not None
        self.table.append(run.reason)


class LeavesALayerOpen(Diary):
    """Closes what it opened for a layer only where the run ends well."""

    open_layer: int | None = None

    def layer_scored(self, layer: LayerScored) -> None:
        self.open_layer = layer.layer

    def failed(self, run: RunFailed) -> None:
        if self.open_layer is not None:
            raise RuntimeError(f"layer {self.open_layer} is still open")


class FirstLineOfTheReason(Diary):
    """Shows the first line of what an error says, of an interruption, too."""

    def failed(self, run: RunFailed) -> None:
        self.lines.append(run.reason.splitlines()[0])


class NamedAfterTheFolder(Diary):
    """Calls its run as the run folder, where there is one or not."""

    def started(self, run: RunStarted) -> None:
        self.lines.append(run.folder.name)  # type: ignore[union-attr]


class CopiesThePatch(Diary):
    """Reads the patch, where there is one or not."""

    def finished(self, run: RunFinished) -> None:
        self.lines.append(run.patch.read_bytes().hex())  # type: ignore[union-attr]


class RefusesTooLate(Diary):
    """Refuses a library call when the work is done."""

    def finished(self, run: RunFinished) -> None:
        if run.patch is None:
            raise UsageError("there is no patch", "score on the command line")


class StartsANewFile(Diary):
    """Makes a file that must not be there yet."""

    def started(self, run: RunStarted) -> None:
        if run.folder is not None:
            (run.folder.parent / f"{run.folder.name}.log").touch(exist_ok=False)


class SquareTable(Diary):
    """Takes it that all layers have as many heads as the first."""

    heads = 0

    def layer_scored(self, layer: LayerScored) -> None:
        self.heads = self.heads or len(layer.importance)
        self.lines.append(str(layer.importance[self.heads - 1]))


class BestHead(Diary):
    """Names the best head of each layer, also of one without heads."""

    def layer_scored(self, layer: LayerScored) -> None:
        self.lines.append(str(max(head.mean for head in layer.importance)))


class WesternOnly(Diary):
    """Encodes what it hears as Latin-1."""

    def started(self, run: RunStarted) -> None:
        str(run.settings).encode("latin-1")


class NamesAFileAfterTheModel(Diary):
    """Makes a file called as the model is."""

    def started(self, run: RunStarted) -> None:
        if run.folder is not None:
            run.folder.with_name(f"{run.model.name}.log").touch()


class OneLineEach(Diary):
    """Writes a table of lines and columns, and takes it that a name is on one line and in one column."""

    def progressed(self, progress: Progress) -> None:
        (line,) = f"{progress.stage}\t{progress.done}".splitlines()
        stage, done = line.split("\t")
        self.lines.append(f"{stage} {done}")


class TellsTheUser(Diary):
    """Prints."""

    def finished(self, run: RunFinished) -> None:
        print(f"done in {run.seconds} s")


class ConfessesToTheUser(Diary):
    """Prints what went wrong."""

    def failed(self, run: RunFailed) -> None:
        print(run.reason)


class TakesOutWhatItKnows(Diary):
    """Takes settings out of what it is told."""

    def started(self, run: RunStarted) -> None:
        run.settings.pop("scorer_options", None)  # type: ignore[attr-defined]


class HidesThePower(Diary):
    """Changes a setting in a table of what it is told."""

    def started(self, run: RunStarted) -> None:
        if "power" in run.settings["scorer_options"]:
            run.settings["scorer_options"]["power"] = "hidden"


class TidiesUp(Diary):
    """Removes the store, which a run goes on from."""

    def finished(self, run: RunFinished) -> None:
        if run.patch is not None:
            (run.patch.parent / "run.sqlite").unlink()


class SweepsUp(Diary):
    """Empties the folder of a run that failed."""

    folder: Path | None = None

    def started(self, run: RunStarted) -> None:
        self.folder = run.folder

    def failed(self, run: RunFailed) -> None:
        for file in self.folder.iterdir() if self.folder else ():
            file.unlink()


class SignsTheRecipe(Diary):
    """Adds a line to the recipe of a run."""

    def started(self, run: RunStarted) -> None:
        if run.folder is not None:
            with (run.folder / "recipe.toml").open("a") as file:
                file.write("# heard\n")


class OneFileForAll(Diary):
    """Keeps its file in the class."""

    file: ClassVar[TextIO | None] = None

    def started(self, run: RunStarted) -> None:
        if run.folder is not None:
            OneFileForAll.file = run.folder.with_suffix(".log").open("w")

    def finished(self, run: RunFinished) -> None:
        if run.patch is not None and OneFileForAll.file is not None:
            OneFileForAll.file.write("done")
            OneFileForAll.file.close()


class TakesAnything(Diary):
    """Ignores options that it does not know."""

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


WRONG: dict[str, tuple[type[Listener], ...]] = {
    "test_a_whole_run": (OneStageOnly,),
    "test_a_stage_with_nothing_to_do": (Percent,),
    "test_a_run_that_fails_at_once": (OpensItsTableLate,),
    "test_a_run_that_fails_midway": (LeavesALayerOpen,),
    "test_an_interruption": (FirstLineOfTheReason,),
    "test_a_library_call": (NamedAfterTheFolder, CopiesThePatch, RefusesTooLate),
    "test_a_resumed_run": (StartsANewFile,),
    "test_layers_of_unequal_size": (SquareTable, BestHead),
    "test_any_text": (WesternOnly, NamesAFileAfterTheModel, OneLineEach),
    "test_prints_nothing_to_stdout": (TellsTheUser, ConfessesToTheUser),
    "test_leaves_the_events_alone": (TakesOutWhatItKnows, HidesThePower),
    "test_leaves_the_run_folder_alone": (TidiesUp, SweepsUp, SignsTheRecipe),
    "test_two_runs_at_once": (OneFileForAll,),
    "test_unknown_option_is_refused": (TakesAnything,),
}


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG))
def test_a_broken_promise_fails_its_test_and_no_other(promise: str, culprit: type[Listener]) -> None:
    assert_breaks_only(promise, ListenerContract, listener=culprit)


def test_each_promise_has_a_listener_that_breaks_it() -> None:
    assert promises(ListenerContract) == WRONG.keys()


class NeedsAFolder(Diary):
    """Says at the start that it cannot hear a library call."""

    def started(self, run: RunStarted) -> None:
        if run.folder is None:
            raise UsageError("there is no run folder", "score on the command line")


def test_a_library_call_may_be_refused_at_the_start() -> None:
    assert set(outcomes(ListenerContract, listener=NeedsAFolder).values()) == {"kept"}


def test_it_runs_in_no_place_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(outcomes(ListenerContract, listener=Diary).values()) == {"kept"}
    assert not list(tmp_path.iterdir())
