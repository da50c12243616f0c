"""Memory that runs out, by torch's own allocator: less is done at once, and the results are the same."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest
import torch

from headprune import Generation, ModelError, Notice
from headprune.hooks.catalogue import catalogue
from headprune.perspectives.linguistic import captions_by_layer
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Batch, Decoder
from headprune.towers.memory import Room, measured, out_of_memory
from headprune.types import DecodePoint
from tests.support.samples import dataset

GENERATION = Generation(max_new_tokens=4)


def run_out() -> None:
    """Ask the allocator for more than any machine has."""
    torch.empty(1 << 60, dtype=torch.uint8)


def full_above(limit: int, rows: int) -> None:
    if rows > limit:
        run_out()


def test_the_allocators_error_is_known():
    with pytest.raises(RuntimeError) as caught:
        run_out()
    assert out_of_memory(caught.value) and out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert not out_of_memory(RuntimeError("shapes do not match"))


@pytest.mark.parametrize(("size", "each", "steps"), [(8, 1, [2, 2, 2, 2, 1]), (9, 1, [2, 2, 2, 2, 1]), (5, 3, [1] * 9)])
def test_pieces_are_halved_for_good_and_nothing_is_lost(size, each, steps):
    room = Room(size, "rows")
    tried = []

    def work(start: int, stop: int) -> list[int]:
        tried.append(stop - start)
        full_above(2, stop - start)
        return list(range(start, stop))

    with pytest.warns(Notice, match="out of memory") if each == 1 else nullcontext():
        done = list(room.pieces(9, work, each))
    assert [stop - start for start, stop, _ in done] == steps
    assert [number for _, _, numbers in done for number in numbers] == list(range(9))
    assert len([rows for rows in tried if rows > 2]) <= 2


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="meant"):
        list(Room(4, "rows").pieces(4, lambda start, stop: (_ for _ in ()).throw(RuntimeError("meant"))))


def test_not_even_one_fits():
    with pytest.raises(ModelError, match="does not hold 1 rows"), pytest.warns(Notice):
        list(Room(4, "rows").pieces(4, lambda start, stop: run_out()))


@pytest.mark.parametrize("point", DecodePoint)
def test_a_sweep_that_runs_out_everywhere_says_the_same(tiny, pictures, monkeypatch, point):
    edit = catalogue().load("edit", "mean-ablate").configured({})
    plan = SweepPlan((0, 2), (0, 2), edit, point, GENERATION, Batch(rows=16, pictures=4))
    samples = dataset(pictures).samples

    def said() -> dict:
        found = {}
        sweep(tiny, samples, plan, found.update)
        return found

    whole = said()
    assert len(set(whole.values())) > 5
    decode, full = tiny.decode, []

    def narrow(states, generation, form=None):
        full.append(len(states) > 3)
        full_above(3, len(states))
        return decode(states, generation)

    monkeypatch.setattr(tiny, "decode", narrow)
    for site in tiny.sites:
        # Five rows: two pictures at a time pass, and of their variants not more than two heads'.
        site.layer.register_forward_pre_hook(lambda module, args: full_above(5, len(args[0])))
    tiny.sites[0].layer.register_forward_pre_hook(lambda module, args: full_above(5, len(args[0])))
    with pytest.warns(Notice, match="out of memory"):
        assert said() == whole
    # Halved a few times, and then for good.
    assert 1 <= sum(full) <= 4


def test_words_of_layers_survive_too(tiny, pictures):
    samples = dataset(pictures).samples
    whole = captions_by_layer(tiny, samples, [0, 1, 2], GENERATION, Batch(64, 5))
    tiny.sites[0].layer.register_forward_pre_hook(lambda module, args: full_above(2, len(args[0])))
    with pytest.warns(Notice):
        assert captions_by_layer(tiny, samples, [0, 1, 2], GENERATION, Batch(64, 5)) == whole


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts a process's peak and lets it be reset")
def test_memory_is_measured_at_its_peak():
    size = 256 << 20
    # Written to: pages that nobody touched are not there.
    for _ in range(2):
        length, grown = measured(torch.device("cpu"), lambda: len(torch.ones(size, dtype=torch.uint8)))
        assert length == size and grown is not None and 0.8 * size < grown < 1.5 * size


def test_a_peak_below_what_was_there_before_is_no_growth(tiny, pictures, tmp_path, monkeypatch):
    """Linux counts a process's pages a little late: CI once saw a peak as far below as the queue's states take."""
    states = tiny.trace(tiny.prepare(pictures * 14), depths=[3]).states[3]
    decoder = Decoder(tiny, GENERATION, Batch(rows=64, pictures=1, probing=True))
    status = tmp_path / "status"
    decode = tiny.decode

    def shrinking(*args):
        status.write_text(f"VmHWM:\t{(1 << 20) - 2 * states[:32].nbytes // 1024} kB\n")
        return decode(*args)

    status.write_text(f"VmHWM:\t{1 << 20} kB\n")
    monkeypatch.setattr("headprune.towers.memory._STATUS", status)
    monkeypatch.setattr("headprune.towers.memory._CLEAR", tmp_path / "cleared")
    monkeypatch.setattr(tiny, "decode", shrinking)
    assert len(decoder.decode(states)) == len(states)
    assert decoder.rows > 32


def test_a_batch_size_that_was_found_changes_nothing(tiny, pictures):
    pixels = tiny.prepare(pictures * 14)
    states = tiny.trace(pixels, depths=[3]).states[3]
    decoder = Decoder(tiny, GENERATION, Batch(rows=64, pictures=1, probing=True))
    assert decoder.rows == 32
    assert decoder.decode(states) == Decoder(tiny, GENERATION, Batch(7, 1)).decode(states)
    # Tiny rows take next to nothing: as many as there may be, a power of two.
    assert decoder.rows > 32 and decoder.rows & (decoder.rows - 1) == 0
