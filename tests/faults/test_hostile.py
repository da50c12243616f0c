"""Hostile files, through the whole command line: done, or refused in one line; in bounded time and memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import headprune
from tests.faults.harness import ForkServer, fresh, share
from tests.faults.hostile import Good, hostile

MEMORY = 1 << 30
SECONDS = 60


@pytest.fixture(scope="module")
def good(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Good:
    folder = tmp_path_factory.mktemp("good")
    (folder / "pictures").mkdir()
    for number, sample in enumerate(headprune.open_dataset("demo").samples[:4]):
        sample.load().save(folder / "pictures" / f"p{number:02d}.png")
    words = ("score", "demo", "--data", "demo", "--samples", 2, "--layers", 3, "--out", "run")
    assert server.run(words, folder).code == 0
    return Good(folder / "pictures", folder / "run")


def test_hostile_inputs(server: ForkServer, tally, good: Good, place: Path):
    counted = tally("hostile")
    for folder, each in hostile(share(500, 20), place, good):
        done = server.run(each.words, folder)
        bounded = done.seconds < SECONDS and done.memory < MEMORY
        note = f"{folder.name} {each.what}, {each.words}: {done.code} in {done.seconds:.1f} s, {done.memory >> 20} MB"
        counted.fault(done.ended_well() and bounded, f"{note}\n{done.said[-2000:]}")
        counted.tell(f"{each.what.partition(' (')[0]}: {'done' if done.code == 0 else 'refused'}")
        shutil.rmtree(folder)
    counted.check()


def test_some_of_them_to_whole_processes(tally, good: Good, place: Path):
    counted = tally("hostile")
    for number, (folder, each) in enumerate(hostile(share(500, 4), place, good)):
        if number % share(21, 4) == 0:
            done = fresh(each.words, folder)
            counted.fault(
                done.ended_well() and done.seconds < SECONDS, f"{folder.name} {each}: {done.code} {done.said}"
            )
        shutil.rmtree(folder)
    counted.check()
