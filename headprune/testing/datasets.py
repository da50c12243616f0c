"""What every dataset reader promises, as tests that a plugin author inherits."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from headprune.errors import DataError, PictureError, UsageError
from headprune.hooks.kinds import DatasetReader
from headprune.pictures import PICTURE_ENDINGS
from headprune.scoring.sampling import draw
from headprune.testing.contract import Contract, assert_nothing_printed, assert_unknown_option_is_refused
from headprune.types import Dataset, LeftOut, Sample

Source = tuple[DatasetReader, str]
_FEW = 4  # pictures that are looked at


class DatasetContract(Contract):
    """Subclass it as `Test...` and override the fixture `source`."""

    @pytest.fixture
    def source(self) -> Source:
        """A new reader and what to open with it: a few samples, of which at least every second one opens."""
        raise NotImplementedError("override the fixture `source`")

    @pytest.fixture
    def entries(self) -> int:
        """How many entries the source holds. Override it, too, where it holds some that cannot be used."""
        pytest.skip("how many entries the source holds is not stated: override the fixture `entries`")

    def test_samples_in_a_tuple(self, source: Source) -> None:
        """`open` gives a `headprune.Dataset` whose samples are a tuple of `headprune.Sample`, one at least."""
        dataset = _open(source)
        assert isinstance(dataset, Dataset), f"a {type(dataset).__name__} is no headprune.Dataset"
        assert isinstance(dataset.samples, tuple), f"the samples are a {type(dataset.samples).__name__}, not a tuple"
        assert dataset.samples, "there is no sample, and no error says why"
        other = {type(sample).__name__ for sample in dataset.samples if not isinstance(sample, Sample)}
        assert not other, f"among the samples are other things: {', '.join(sorted(other))}"

    def test_ids_are_text(self, source: Source) -> None:
        """Each sample's id is a string that is not blank. (That no two are the same, `headprune.Dataset` sees to.)"""
        odd = [sample.id for sample in _open(source).samples if not _is_text(sample.id)]
        assert not odd, f"the id {odd[0]!r} is no text"

    def test_ids_are_stable(self, source: Source) -> None:
        """An id stands for the same sample when the dataset is opened again."""
        first, again = ({sample.id: sample.captions for sample in _open(source).samples} for _ in range(2))
        moved = [known for known in first if first[known] != again.get(known)]
        assert not moved, f"opened again, the id {moved[0]!r} is another sample's, or no sample's"

    def test_opening_touches_no_picture(self, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
        """`open` reads no picture's file and makes no picture: `load` does, one at a time."""
        touched: list[str] = []

        def noted(function: Callable[..., Any]) -> Callable[..., Any]:
            def noting(what: object, *arguments: Any, **more: Any) -> Any:
                if isinstance(what, Image.Image) or Path(str(what)).suffix.lower() in PICTURE_ENDINGS:
                    touched.append(type(what).__name__ if isinstance(what, Image.Image) else str(what))
                return function(what, *arguments, **more)

            return noting

        with monkeypatch.context() as patch:
            # Every Pillow picture begins with its __init__, opened or drawn; the other three are the ways to a file.
            for home, name in ((Image.Image, "__init__"), (builtins, "open"), (io, "open"), (Path, "open")):
                patch.setattr(home, name, noted(getattr(home, name)))
            _open(source)
        assert not touched, f"opened or drawn before anyone asks `load` for it: {touched[0]}"

    def test_pictures_are_rgb(self, source: Source) -> None:
        """`load` gives a Pillow picture of mode RGB."""
        for sample in _that_open(source):
            picture = sample.load()
            assert isinstance(picture, Image.Image), f"{sample.id}: a {type(picture).__name__} is no Pillow picture"
            assert picture.mode == "RGB", f"{sample.id}: the mode is {picture.mode}; headprune.read_picture gives RGB"

    def test_each_load_opens_anew(self, source: Source) -> None:
        """`load` gives the same pixels again, also when somebody has drawn over what it gave before."""
        for sample in _that_open(source):
            first = sample.load()
            size, pixels = first.size, first.tobytes()
            first.paste(ImageChops.invert(first))
            again = sample.load()
            assert (again.size, again.tobytes()) == (size, pixels), f"{sample.id}: another picture the second time"

    def test_a_seed_draws_the_same_samples(self, source: Source) -> None:
        """A seed draws the same pictures with the same captions when the dataset is opened again."""
        count = max(1, min(_FEW, len(_open(source)) // 2))
        first, again = (
            [(sample.captions, sample.load().tobytes()) for sample in _drawn(_open(source), count)] for _ in range(2)
        )
        assert again == first, "opened again, its samples stand in another order, and a seed draws others"

    def test_captions_are_text(self, source: Source) -> None:
        """Each sample's captions are a tuple of strings that are not blank; it may be empty."""
        for sample in _open(source).samples:
            assert _are_texts(sample.captions), f"{sample.id}: the captions are {sample.captions!r}"

    def test_labels_are_text(self, source: Source) -> None:
        """The labels are a tuple of strings that are not blank, each once; it may be empty."""
        labels = _open(source).labels
        assert _are_texts(labels) and len(set(labels)) == len(labels), f"the labels are {labels!r}"

    def test_what_was_opened_is_recorded(self, source: Source) -> None:
        """`Dataset.ref` names the dataset: what it was opened with is part of it."""
        found, (_, ref) = _open(source).ref, source
        assert _is_text(found) and ref in found, f"`ref` is {found!r}, opened was {ref!r}"

    def test_what_is_left_out_has_a_reason(self, source: Source) -> None:
        """`left_out` is a tuple of `headprune.LeftOut`, each with its id, which is no sample's, and the reason."""
        dataset = _open(source)
        used = {sample.id for sample in dataset.samples}
        assert isinstance(dataset.left_out, tuple), f"a {type(dataset.left_out).__name__}, not a tuple"
        for out in dataset.left_out:
            good = isinstance(out, LeftOut) and _is_text(out.id) and _is_text(out.reason) and out.id not in used
            assert good, f"left out is {out!r}"

    def test_nothing_is_dropped(self, source: Source, entries: int) -> None:
        """Each entry of the source is a sample, or left out."""
        dataset = _open(source)
        samples, left_out = len(dataset.samples), len(dataset.left_out)
        assert samples + left_out == entries, f"{samples} samples and {left_out} left out of {entries} entries"

    def test_what_is_not_there_is_an_error(self, source: Source) -> None:
        """What does not exist ends in a DataError with a next step (a UsageError where it cannot be anything)."""
        reader, ref = source
        missing = f"{ref}-no-such-thing"
        try:
            dataset = reader.open(missing)
        except (DataError, UsageError) as error:
            assert error.hint, f"an error without a next step: {error}"
        else:
            raise AssertionError(f"{missing!r}, which is not there, is opened, with {len(dataset)} samples")

    def test_unknown_option_is_refused(self, source: Source) -> None:
        """An option that the reader does not know ends in a usage error, not in silence."""
        assert_unknown_option_is_refused(type(source[0]))

    def test_prints_nothing(self, source: Source, capfd: pytest.CaptureFixture[str]) -> None:
        """Neither `open` nor `load` prints to stdout, where results go."""
        _that_open(source)
        assert_nothing_printed(capfd)

    def test_leaves_its_files_alone(self, source: Source) -> None:
        """Neither `open` nor `load` adds, changes or removes a file where the dataset lies."""
        before = _files(source[1])
        if not before:
            pytest.skip("the dataset lies in no file or folder")
        _that_open(source)
        changed = sorted(name for name, _ in before.items() ^ _files(source[1]).items())
        assert not changed, f"added, changed or removed: {', '.join(dict.fromkeys(changed))}"


def _open(source: Source) -> Dataset:
    reader, ref = source
    return reader.open(ref)


def _drawn(dataset: Dataset, count: int) -> list[Sample]:
    """Samples that seed 0 draws, whatever their ids and their pictures are: other promises are about those."""
    stand_ins = tuple(Sample(str(place), (), _picture) for place in range(len(dataset)))
    drawn = draw(Dataset(dataset.ref, stand_ins), count, seed=0)
    return [dataset.samples[int(stand_in.id)] for stand_in in drawn.samples]


def _picture() -> Image.Image:
    return Image.new("RGB", (1, 1))


def _that_open(source: Source) -> list[Sample]:
    """A few samples whose pictures open; the others are left out when samples are drawn."""
    found: list[Sample] = []
    for sample in _open(source).samples:
        try:
            sample.load()
        except PictureError:
            continue
        found.append(sample)
        if len(found) == _FEW:
            break
    assert found, "not one picture opens"
    return found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(values: object) -> bool:
    return isinstance(values, tuple) and all(map(_is_text, values))


def _files(ref: str) -> dict[str, tuple[int, int]]:
    """Size and time of each file that `ref`, or a part of it between colons, names: those of a folder and below, or a
    file's own and its neighbours'."""
    cuts = [part for at, letter in enumerate(ref) if letter == ":" for part in (ref[:at], ref[at + 1 :])]
    # False, not an exception, for a name that is too long
    places = [Path(part) for part in (ref, *cuts) if part and os.path.exists(part)]  # noqa: PTH110
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else place.parent.iterdir())]
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()}
