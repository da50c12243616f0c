"""Section 6: what slicing heads out of a tower buys: measured time beside the operations that went away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import headprune
from benchmarks import vit_g
from benchmarks.effort import Effort
from benchmarks.flops import shape_of, tower_flops
from benchmarks.results import Row, Section, Target, compared
from benchmarks.rounds import interleaved
from benchmarks.task import DisagreementError, synchronise
from headprune import Adapter, LoadRequest, load_model, open_dataset

SHARES = (0.25, 0.5, 0.75)
WITHIN = 0.9
DEMO_PICTURES, VIT_G_PICTURES, VIT_G_LAYERS = 256, 2, 4
TOLERANCE = 1e-3
WHOLE = "the original"


def run(effort: Effort) -> Section:
    """The demo's tower with a large batch, and a few layers of ViT-g's geometry."""
    cpu = torch.device("cpu")
    demo = load_model("demo", LoadRequest("demo", dtype="float32", device="cpu"))
    many = [sample.load() for sample in open_dataset("demo").samples[: 4 if effort.quick else DEMO_PICTURES]]
    large = vit_g.build(1 if effort.quick else VIT_G_LAYERS, cpu)
    few = vit_g.pictures(1 if effort.quick else VIT_G_PICTURES)
    rows = _measure("the demo's tower", demo, demo.prepare(many), effort.rounds)
    rows += _measure(
        f"{large.geometry.layers} of ViT-g's {vit_g.REAL_LAYERS} layers", large, large.prepare(few), effort.rounds
    )
    notes = (
        "the ratio is the speed-up; the target is the one that the operations left would give, within 10 %",
        "heads are taken evenly from all layers; outputs are checked against the original with those heads silenced",
    )
    return Section("sliced", "tower time with heads sliced out", tuple(rows), notes)


def _measure(name: str, adapter: Adapter, pixels: Tensor, rounds: int) -> list[Row]:
    """Pictures a second of the original and of sliced towers, in turns on the same pixels [B, 3, side, side]."""
    geometry = adapter.geometry
    shape = shape_of(adapter.model.config.vision_config)  # type: ignore[union-attr]
    whole = tower_flops(shape, [geometry.heads] * geometry.layers)
    contestants: dict[str, Callable[[], None]] = {WHOLE: partial(_encode, adapter, pixels)}
    against: dict[str, tuple[str, Target | None]] = {}
    for share in SHARES:
        gone = round(share * geometry.heads)
        coefficients = np.ones((geometry.layers, geometry.heads), dtype=np.float32)
        coefficients[:, :gone] = 0
        smaller = headprune.sliced(adapter, coefficients)
        _check(adapter, smaller, coefficients, pixels)
        left = tower_flops(shape, [geometry.heads - gone] * geometry.layers) / whole
        label = f"{share:.0%} of heads gone, {1 - left:.1%} of operations gone"
        contestants[label] = partial(_encode, smaller, pixels)
        against[label] = (WHOLE, Target(WITHIN / left, least=True))
    for run in contestants.values():
        run()
    seconds: Mapping[str, list[float]] = interleaved(
        contestants, rounds, _checked_before, finish=partial(synchronise, adapter.device)
    )
    rates = {name: [len(pixels) / taken for taken in values] for name, values in seconds.items()}
    return compared(f"{name}, pictures: {len(pixels)}", rates, "pictures/s", against)


@torch.no_grad()
def _encode(adapter: Adapter, pixels: Tensor) -> None:
    adapter.encode(pixels)


def _check(adapter: Adapter, smaller: Adapter, coefficients: NDArray[np.float32], pixels: Tensor) -> None:
    """A sliced tower must say what the original says with the same heads silenced.

    Raises:
        DisagreementError: it does not, or nothing was sliced out.
    """
    if smaller.parameter_count() >= adapter.parameter_count():
        raise DisagreementError("the sliced model is not smaller than the original")
    with headprune.applied(adapter, coefficients):
        wanted = adapter.last_states(pixels)
    found = smaller.last_states(pixels)
    difference = float((wanted - found).abs().max() / wanted.abs().max())
    if not difference <= TOLERANCE:
        raise DisagreementError(f"the sliced tower's output is off by {difference:.1e} of the largest number")


def _checked_before(first: str, wanted: None, other: str, found: None) -> None:
    """`_check` has compared their outputs; the runs on the clock return nothing."""
