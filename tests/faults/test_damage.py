"""Files that are damaged: what is whole is kept, the rest is made again, and nothing wrong is taken for true."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from headprune.errors import PatchError
from headprune.patch.file import load_patch
from tests.faults.harness import PATCH, STORE, Truth, flipped, rows, share

RECIPE, LOCK = "recipe.toml", "run.lock"


@pytest.fixture(scope="module")
def cut(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in the middle of its captions, with a write-ahead log."""
    place = tmp_path_factory.mktemp("cut")
    done = truth.again(place, kill_behind=truth.decoded // 2)
    assert done.code == -9 and (place / "run" / f"{STORE}-wal").stat().st_size > 4096
    return place / "run"


def gone_on_with(counted, truth: Truth, place: Path, note: str) -> None:
    """Give the command again and look at what is there then."""
    done = truth.again(place)
    run = place / "run"
    wrong = done.code == 0 and (run / PATCH).read_bytes() != truth.patch
    whole = done.code == 0 and (run / RECIPE).read_bytes() == (truth.folder / RECIPE).read_bytes()
    found = rows(run) if whole else frozenset()
    counted.tell("said that it is damaged", "damaged" in done.said)
    counted.tell("rows under a damaged name", len(found - truth.rows))
    counted.fault(whole, f"{note}: {done.code} {done.said}", len(truth.rows - found) if whole else 0, wrong)
    shutil.rmtree(run)


def test_bits_of_a_finished_store(truth: Truth, tally, place: Path):
    counted, chance = tally("store"), random.Random(1)
    data = (truth.folder / STORE).read_bytes()
    for number in range(share(90, 3)):
        # The header and the schema are small, and matter most.
        spoilt = flipped(data[:8192], chance) + data[8192:] if number % 3 == 0 else flipped(data, chance)
        (truth.started(place) / STORE).write_bytes(spoilt)
        at = next(i for i, (a, b) in enumerate(zip(data, spoilt, strict=True)) if a != b)
        gone_on_with(counted, truth, place, f"byte {at}: {data[at]:#04x} -> {spoilt[at]:#04x}")
    counted.check()


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
def test_bits_of_an_unfinished_store(truth: Truth, tally, cut: Path, place: Path, suffix: str):
    counted, chance = tally("store"), random.Random(f"unfinished{suffix}")
    data = (cut / f"{STORE}{suffix}").read_bytes()
    for _ in range(share(20, 1)):
        shutil.copytree(cut, place / "run")
        spoilt = flipped(data, chance)
        (place / "run" / f"{STORE}{suffix}").write_bytes(spoilt)
        at = next(i for i, (a, b) in enumerate(zip(data, spoilt, strict=True)) if a != b)
        gone_on_with(counted, truth, place, f"{suffix} byte {at}: {data[at]:#04x} -> {spoilt[at]:#04x}")
    counted.check()


def test_pages_of_the_store_that_are_zero(truth: Truth, tally, place: Path):
    """As a file system leaves them that lost its power."""
    counted = tally("store")
    data = (truth.folder / STORE).read_bytes()
    for page in range(0, len(data) // 4096, share(1, 14)):
        spoilt = data[: page * 4096] + bytes(4096) + data[(page + 1) * 4096 :]
        if spoilt == data:
            continue
        (truth.started(place) / STORE).write_bytes(spoilt)
        gone_on_with(counted, truth, place, f"page {page}")
    counted.check()


@pytest.mark.parametrize("name", [STORE, PATCH, RECIPE, LOCK])
def test_files_cut_short(truth: Truth, tally, place: Path, name: str):
    counted, chance = tally("cut"), random.Random(name)
    data = (truth.folder / name).read_bytes()
    # The lock is empty: there is nothing to cut, but it may hold what somebody wrote.
    lengths = [0, *(chance.randrange(len(data)) for _ in range(share(20, 1)))] if data else [0]
    for length in lengths:
        (truth.started(place) / name).write_bytes(data[:length] if data else b"\0" * 99)
        gone_on_with(counted, truth, place, f"{name} at {length}")
    counted.check()


def test_logs_cut_short(truth: Truth, tally, cut: Path, place: Path):
    counted, chance = tally("cut"), random.Random(5)
    data = (cut / f"{STORE}-wal").read_bytes()
    for _ in range(share(20, 1)):
        shutil.copytree(cut, place / "run")
        (place / "run" / f"{STORE}-wal").write_bytes(data[: chance.randrange(len(data))])
        gone_on_with(counted, truth, place, "wal")
    counted.check()


def test_bits_of_a_patch(truth: Truth, tally, place: Path):
    """Read by the library: two bits of every byte of the file, one at a time."""
    counted = tally("patch")
    file = place / PATCH
    good = load_patch(truth.folder / PATCH)
    for at in range(0, len(truth.patch), share(1, 7)):
        for bit in (at % 8, (at + 3) % 8):
            file.write_bytes(truth.patch[:at] + bytes([truth.patch[at] ^ (1 << bit)]) + truth.patch[at + 1 :])
            try:
                same = load_patch(file).digest() == good.digest()
            except PatchError:
                counted.fault(True)
                continue
            # A letter of a name's escape that is written large means the same.
            counted.fault(same, f"byte {at} bit {bit} was not seen", wrong=not same)
    counted.check()


def test_commands_refuse_a_damaged_patch(truth: Truth, tally, place: Path):
    counted, chance = tally("patch"), random.Random(3)
    for words in (
        ("patch", "show", PATCH),
        ("apply", "demo", PATCH, "--out", "applied"),
        ("evaluate", "demo", "--data", "demo", "--patch", PATCH),
    ):
        for cut_short in (False, True) * share(5, 1):
            length = chance.randrange(len(truth.patch))
            (place / PATCH).write_bytes(truth.patch[:length] if cut_short else flipped(truth.patch, chance))
            done = truth.server.run(words, place)
            there = (place / "applied").exists()
            counted.fault(done.refuses(4) and not there, done.said, wrong=done.code == 0)
    counted.check()
