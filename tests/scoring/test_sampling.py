"""Which samples are drawn: by the seed alone, and only those that open."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from headprune import Dataset, LeftOut, Sample, draw
from headprune.errors import DataError, PictureError, UsageError
from headprune.scoring.sampling import remaining

BLANK = Image.new("RGB", (4, 4), "red")
PINNED = ["s10", "s18", "s16", "s14", "s0", "s17"]


def data(count: int, broken: tuple[int, ...] = ()) -> Dataset:
    def opener(number: int):
        def load():
            if number in broken:
                raise PictureError(f"s{number} is damaged", "leave it out")
            return BLANK

        return load

    return Dataset("shelf", tuple(Sample(f"s{number}", (), opener(number)) for number in range(count)))


def ids(drawn) -> list[str]:
    return [sample.id for sample in drawn.samples]


def test_a_seed_draws_the_same_ids_on_every_machine():
    # Pinned: a patch names its samples by seed, and the same seed must mean the same samples in years to come.
    assert ids(draw(data(20), 6, 0)) == PINNED
    assert ids(draw(data(20), 6, 0)) == PINNED
    assert ids(draw(data(20), 6, 1)) != PINNED


def test_a_larger_draw_begins_with_the_smaller():
    assert ids(draw(data(20), 20, 3))[:6] == ids(draw(data(20), 6, 3))
    assert sorted(ids(draw(data(20), 20, 3))) == sorted(f"s{number}" for number in range(20))


def test_every_sample_has_the_same_chance():
    counts = np.zeros(10)
    for seed in range(3000):
        for name in ids(draw(data(10), 3, seed)):
            counts[int(name[1:])] += 1
    # Binomial: 900 expected, standard deviation 25.
    assert np.abs(counts - 900).max() < 110


def test_a_broken_picture_is_replaced_by_the_next_and_listed():
    whole = ids(draw(data(20), 20, 0))
    first, third = int(whole[0][1:]), int(whole[2][1:])
    drawn = draw(data(20, broken=(first, third)), 6, 0)
    assert ids(drawn) == [name for name in whole if name not in (whole[0], whole[2])][:6]
    assert drawn.left_out == (
        LeftOut(whole[0], f"{whole[0]} is damaged"), LeftOut(whole[2], f"{whole[2]} is damaged")
    )  # fmt: skip


def test_a_name_that_cannot_be_written_down_is_left_out():
    samples = tuple(Sample(name, (), lambda: BLANK) for name in ("a\udcff", "猫", "b\n"))
    drawn = draw(Dataset("shelf", samples), 2, 0)
    assert sorted(ids(drawn)) == ["b\n", "猫"]
    assert [sample.id for sample in remaining(Dataset("shelf", samples), {"b\n"}).samples] == ["猫"]
    with pytest.raises(UsageError, match="3 samples asked for, 2 of shelf can be opened") as caught:
        draw(Dataset("shelf", samples), 3, 0)
    assert "is not UTF-8" in caught.value.hint


def test_a_broken_picture_that_is_not_met_is_not_opened():
    whole = ids(draw(data(20), 20, 0))
    drawn = draw(data(20, broken=(int(whole[-1][1:]),)), 6, 0)
    assert drawn.left_out == () and ids(drawn) == whole[:6]


@pytest.mark.parametrize("count", [0, -1])
def test_no_samples_are_refused(count):
    with pytest.raises(UsageError, match="none to score"):
        draw(data(3), count, 0)


def test_more_samples_than_there_are():
    with pytest.raises(UsageError, match="4 samples asked for, shelf has 3") as caught:
        draw(data(3), 4, 0)
    assert caught.value.hint == "--samples 3 or fewer"


def test_more_samples_than_open():
    with pytest.raises(UsageError, match="3 samples asked for, 2 of shelf can be opened") as caught:
        draw(data(3, broken=(1,)), 3, 0)
    assert caught.value.hint == "s1: s1 is damaged"


def test_an_error_that_is_not_the_pictures_is_not_swallowed():
    def load():
        raise MemoryError

    with pytest.raises(MemoryError):
        draw(Dataset("shelf", (Sample("a", (), load),)), 1, 0)


def test_a_picture_is_known_by_its_size_and_pixels():
    def digest(name: str, picture: Image.Image) -> str:
        return draw(Dataset("shelf", (Sample(name, (), lambda: picture),)), 1, 0).pictures[name]

    other = Image.new("RGB", (4, 4), "red")
    other.putpixel((0, 0), (254, 0, 0))
    turned = Image.new("RGB", (2, 8), "red")
    digests = {digest("a", BLANK), digest("a", other), digest("a", turned)}
    assert len(digests) == 3
    assert digest("b", BLANK.copy()) == digest("a", BLANK)
    assert digest("a", BLANK.copy()) == hashlib.sha256(b"(4, 4)\0" + BLANK.tobytes()).hexdigest()


def test_a_picture_that_is_another_by_then_is_not_taken_for_the_one_that_was_drawn():
    shelf = [BLANK, BLANK.copy(), Image.new("RGB", (4, 4), "blue"), BLANK]
    (sample,) = draw(Dataset("shelf", (Sample("a", (), lambda: shelf.pop(0)),)), 1, 0).samples
    assert sample.load() == BLANK
    with pytest.raises(PictureError, match="a is another picture than when it was drawn"):
        sample.load()
    assert sample.load() == BLANK


def test_what_remains_is_the_rest_in_its_own_order():
    rest = remaining(data(6, broken=(4,)), {"s1", "s3", "elsewhere"})
    assert ids(rest) == ["s0", "s2", "s5"]
    assert rest.left_out == (LeftOut("s4", "s4 is damaged"),)


@pytest.mark.parametrize(("used", "broken"), [({"s0", "s1"}, ()), ({"s0"}, (1,)), (set(), (0, 1))])
def test_nothing_remains(used, broken):
    with pytest.raises(DataError, match="no sample of shelf is left"):
        remaining(data(2, broken), used)
