"""Which samples are scored: drawn by a seed, each seen to open; the others are left for evaluation."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from headprune.errors import DataError, PictureError, UsageError
from headprune.hooks.checks import opened
from headprune.types import Dataset, LeftOut, Sample

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Drawn:
    """Samples whose pictures open.

    Attributes:
        samples: in the order drawn; each opens as the picture that it was when it was drawn, or not at all.
        left_out: samples met on the way whose pictures do not open, or whose names are no text.
        pictures: sha256 of each sample's pixels, by its id, so that a picture changed under the same name is another.
    """

    samples: tuple[Sample, ...]
    left_out: tuple[LeftOut, ...]
    pictures: Mapping[str, str]

    def without(self, sample: str, reason: str) -> Drawn:
        """The same without a sample that turned out to be of no use."""
        return Drawn(
            tuple(other for other in self.samples if other.id != sample),
            (*self.left_out, LeftOut(sample, reason)),
            {id_: digest for id_, digest in self.pictures.items() if id_ != sample},
        )


def draw(dataset: Dataset, count: int, seed: int) -> Drawn:
    """Draw `count` samples by `seed`; a picture that does not open is left out and the next one takes its place.

    Raises:
        UsageError: the dataset has fewer samples, or fewer that open.
    """
    if count < 1:
        raise UsageError(f"{count} samples are none to score", "--samples 100 is the paper's number")
    if count > len(dataset):
        raise UsageError(
            f"{count} samples asked for, {dataset.ref} has {len(dataset)}", f"--samples {len(dataset)} or fewer"
        )
    order = list(dataset.samples)
    random.Random(seed).shuffle(order)  # noqa: S311 - a draw to be repeated, not a secret
    drawn = _openable(iter(order), count)
    if len(drawn.samples) < count:
        raise UsageError(
            f"{count} samples asked for, {len(drawn.samples)} of {dataset.ref} can be opened",
            f"{drawn.left_out[0].id}: {drawn.left_out[0].reason}",
        )
    return drawn


def remaining(dataset: Dataset, used: Collection[str]) -> Drawn:
    """Every sample whose id is not in `used` and whose picture opens, in the dataset's order.

    Raises:
        DataError: nothing remains.
    """
    unused = set(used)
    drawn = _openable((sample for sample in dataset.samples if sample.id not in unused), len(dataset))
    if not drawn.samples:
        raise DataError(
            f"no sample of {dataset.ref} is left to evaluate on", "give data with samples that were not scored on"
        )
    return drawn


def _openable(candidates: Iterator[Sample], count: int) -> Drawn:
    chosen: list[Sample] = []
    left_out: list[LeftOut] = []
    pictures: dict[str, str] = {}
    for sample in candidates:
        if len(chosen) == count:
            break
        if not _is_text(sample.id):
            left_out.append(LeftOut(sample.id, "its name is not UTF-8, and cannot be written down"))
            continue
        try:
            picture = opened(sample)
        except PictureError as error:
            left_out.append(LeftOut(sample.id, error.message))
            continue
        digest = pictures[sample.id] = _digest(picture)
        chosen.append(replace(sample, load=partial(_unchanged, sample, digest)))
    return Drawn(tuple(chosen), tuple(left_out), pictures)


def _digest(picture: Image) -> str:
    return hashlib.sha256(f"{picture.size}\0".encode() + picture.tobytes()).hexdigest()


def _unchanged(sample: Sample, digest: str) -> Image:
    """The sample's picture: what is said of another one must not be stored under the digest of this."""
    picture = opened(sample)
    if _digest(picture) != digest:
        raise PictureError(
            f"{sample.id} is another picture than when it was drawn", "leave pictures alone while a run works on them"
        )
    return picture


def _is_text(name: str) -> bool:
    """Whether a name can be stored: Python takes up what is not UTF-8 of a file's name as half characters."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
