"""Pictures are opened one batch ahead, and no further."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headprune import PictureError
from headprune.errors import SampleError
from headprune.towers.batches import picture_batches
from tests.support.samples import dataset


def counted(samples, opened: list[str]):
    def load(sample):
        opened.append(sample.id)
        return sample.load()

    return [replace(sample, load=lambda sample=sample: load(sample)) for sample in samples]


def test_one_batch_ahead_and_in_order(tiny, pictures):
    opened: list[str] = []
    samples = counted(dataset(pictures * 4).samples, opened)
    for number, found in enumerate(picture_batches(tiny, samples, 3)):
        some, pixels = found.samples, found.pixels
        assert [sample.id for sample in some] == [sample.id for sample in samples[3 * number : 3 * number + 3]]
        assert pixels.equal(tiny.prepare([sample.load() for sample in some]))
        # What the loop itself opened comes on top.
        assert len(opened) <= 3 * (number + 2) + 3 * (number + 1)
    assert number == 6


def test_no_pictures_no_batches(tiny):
    assert list(picture_batches(tiny, [], 3)) == []


def test_a_picture_that_does_not_open_is_said(tiny, pictures):
    def broken():
        raise PictureError("torn")

    first, second, *rest = dataset(pictures).samples
    batches = picture_batches(tiny, [first, replace(second, load=broken), *rest], 1)
    assert len(next(batches).samples) == 1
    with pytest.raises(SampleError, match=f"sample {second.id}: torn"):
        next(batches)
