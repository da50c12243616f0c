"""The contract of dataset readers: right ones keep it, and each promise has a reader that breaks it alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from headprune import DataError, Dataset, DatasetReader, LeftOut, Sample, UsageError, read_picture
from headprune.testing import DatasetContract
from tests.support.contracts import assert_breaks_only, each, outcomes, promises

COLOURS = ("aqua", "blue", "lime", "navy", "olive", "red", "teal", "white")
ENTRIES = len(COLOURS) + 1


class Colours(DatasetReader):
    """A folder of pictures that are called by their colours; what is no picture is left out."""

    def open(self, ref: str) -> Dataset:
        folder = Path(ref)
        if not folder.is_dir():
            raise DataError(f"there is no folder {ref}", "name a folder")
        files = sorted(folder.iterdir())
        return Dataset(
            ref,
            tuple(self.sample(file) for file in files if file.suffix == ".png"),
            tuple(LeftOut(file.name, "it is no picture") for file in files if file.suffix != ".png"),
        )

    def sample(self, file: Path) -> Sample:
        return Sample(file.stem, (f"a {file.stem} thing",), partial(read_picture, file, file.name))


class Stripes(DatasetReader):
    """Draws what it is asked for: `stripes:8`."""

    def open(self, ref: str) -> Dataset:
        if not ref.isdecimal():
            raise UsageError(f"{ref!r} is no number", "write stripes:8")
        return Dataset(f"stripes:{ref}", tuple(Sample(str(n), (), partial(self.draw, n)) for n in range(int(ref))))

    def draw(self, number: int) -> Image.Image:
        picture = Image.new("RGB", (8, 8), "white")
        picture.paste("black", (number % 8, 0, number % 8 + 1, 8))
        return picture


class TestStripes(DatasetContract):
    @pytest.fixture
    def source(self) -> tuple[DatasetReader, str]:
        return Stripes(), "8"


class InAList(Colours):
    """Gives the samples in a list."""

    def open(self, ref: str) -> Dataset:
        dataset = super().open(ref)
        return replace(dataset, samples=list(dataset.samples))  # type: ignore[arg-type]


class Blank(Colours):
    """Makes a blank of a sample's id."""

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), id=" " * len(file.stem) + "\t" * COLOURS.index(file.stem))


class CountsOn(Colours):
    """Numbers its samples by a count that goes on from dataset to dataset."""

    number = itertools.count()

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), id=str(next(self.number)))


class OpensAll(Colours):
    """Opens every picture, and gives a copy of it when it is asked for."""

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), load=Image.open(file).copy)


class ReadsAll(Colours):
    """Reads every picture's file, and decodes it when it is asked for."""

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), load=partial(read_picture, file.read_bytes(), file.name))


class DrawsAll(Colours):
    """Draws every picture, and gives a copy of it when it is asked for."""

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), load=Image.new("RGB", (4, 3), file.stem).copy)


class WithAlpha(Colours):
    """Gives RGBA."""

    def sample(self, file: Path) -> Sample:
        sample = super().sample(file)
        return replace(sample, load=lambda: sample.load().convert("RGBA"))


class KeepsPictures(Colours):
    """Keeps each picture once it is opened, and gives the same object again."""

    def sample(self, file: Path) -> Sample:
        sample = super().sample(file)
        return replace(sample, load=lru_cache(sample.load))


class AsItComes(Colours):
    """Lists a folder in an order that is another each time."""

    turns = itertools.count()

    def open(self, ref: str) -> Dataset:
        dataset = super().open(ref)
        return replace(dataset, samples=dataset.samples[:: -1 if next(self.turns) % 2 else 1])


class InAListOfTheirOwn(Colours):
    """Keeps captions in a list."""

    def sample(self, file: Path) -> Sample:
        sample = super().sample(file)
        return replace(sample, captions=[*sample.captions])  # type: ignore[arg-type]


class BlankCaption(Colours):
    """Takes a blank caption for one."""

    def sample(self, file: Path) -> Sample:
        return replace(super().sample(file), captions=("a thing", " "))


class LabelsTwice(Colours):
    """Takes every sample's colour for a label, each time it meets it."""

    def open(self, ref: str) -> Dataset:
        return replace(super().open(ref), labels=("thing",) * 2)


class Nameless(Colours):
    """Does not record what it opened."""

    def open(self, ref: str) -> Dataset:
        return replace(super().open(ref), ref="colours")


class NoReason(Colours):
    """Does not say why something is left out."""

    def open(self, ref: str) -> Dataset:
        dataset = super().open(ref)
        return replace(dataset, left_out=tuple(replace(out, reason="") for out in dataset.left_out))


class LeftOutAndUsed(Colours):
    """Leaves out what it also uses."""

    def open(self, ref: str) -> Dataset:
        dataset = super().open(ref)
        return replace(dataset, left_out=(LeftOut(dataset.samples[0].id, "it is a colour"),))


class Drops(Colours):
    """Says nothing of what it cannot use."""

    def open(self, ref: str) -> Dataset:
        return replace(super().open(ref), left_out=())


class NothingThere(Colours):
    """Makes a dataset of what is not there."""

    def open(self, ref: str) -> Dataset:
        return super().open(ref) if Path(ref).is_dir() else Dataset(ref, ())


class NoNextStep(Colours):
    """Says what is wrong, and not what to do."""

    def open(self, ref: str) -> Dataset:
        try:
            return super().open(ref)
        except DataError as error:
            raise DataError(error.message) from error


class TakesAnything(Colours):
    """Ignores options that it does not know."""

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


class Chatty(Colours):
    """Prints what it does."""

    def sample(self, file: Path) -> Sample:
        print(f"found {file}")
        return super().sample(file)


class LeavesAnIndex(Colours):
    """Writes an index beside the pictures."""

    def open(self, ref: str) -> Dataset:
        dataset = super().open(ref)
        (Path(ref) / "index.txt").write_text("\n".join(sample.id for sample in dataset.samples))
        return dataset


WRONG: dict[str, tuple[type[DatasetReader], ...]] = {
    "test_samples_in_a_tuple": (InAList,),
    "test_ids_are_text": (Blank,),
    "test_ids_are_stable": (CountsOn,),
    "test_opening_touches_no_picture": (OpensAll, ReadsAll, DrawsAll),
    "test_pictures_are_rgb": (WithAlpha,),
    "test_each_load_opens_anew": (KeepsPictures,),
    "test_a_seed_draws_the_same_samples": (AsItComes,),
    "test_captions_are_text": (InAListOfTheirOwn, BlankCaption),
    "test_labels_are_text": (LabelsTwice,),
    "test_what_was_opened_is_recorded": (Nameless,),
    "test_what_is_left_out_has_a_reason": (NoReason, LeftOutAndUsed),
    "test_nothing_is_dropped": (Drops,),
    "test_what_is_not_there_is_an_error": (NothingThere, NoNextStep),
    "test_unknown_option_is_refused": (TakesAnything,),
    "test_prints_nothing": (Chatty,),
    "test_leaves_its_files_alone": (LeavesAnIndex,),
}


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[], str]:
    """Makes a new folder of pictures, with one file that is none."""
    number = itertools.count()

    def make() -> str:
        made = tmp_path / str(next(number))
        made.mkdir()
        for colour in COLOURS:
            Image.new("RGB", (4, 3), colour).save(made / f"{colour}.png")
        (made / "notes.txt").write_text("colours")
        return str(made)

    return make


def test_a_right_reader_keeps_every_promise(folder: Callable[[], str]) -> None:
    found = outcomes(DatasetContract, source=lambda: (Colours(), folder()), entries=lambda: ENTRIES)
    assert found == dict.fromkeys(promises(DatasetContract), "kept")


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG))
def test_a_broken_promise_fails_its_test_and_no_other(
    promise: str, culprit: type[DatasetReader], folder: Callable[[], str]
) -> None:
    assert_breaks_only(promise, DatasetContract, source=lambda: (culprit(), folder()), entries=lambda: ENTRIES)


def test_each_promise_has_a_reader_that_breaks_it() -> None:
    assert promises(DatasetContract) == WRONG.keys()


def test_what_cannot_be_checked_is_left_out() -> None:
    found = outcomes(DatasetContract, source=lambda: (Stripes(), "3"))
    assert {test for test, outcome in found.items() if outcome != "kept"} == {
        "test_nothing_is_dropped",
        "test_leaves_its_files_alone",
    }
    assert "broken" not in found.values()
