"""A disk that fills up: one clear line, nothing half-written, and with more space the same command ends as it would."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.harness import PATCH, STORE, Done, Truth, rows, share

KB = 1024
FULL_SIZES = (*range(4, 128, 8), *range(128, 1024, 48))
"""Kilobytes; the store is made in the first few."""


def sizes(*quick: int) -> tuple[int, ...]:
    """What to try, and one that is enough."""
    return (*share(FULL_SIZES, quick), 4096)


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[None]:
    """A tmpfs of that size at `place`."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Where a small disk may be mounted."""
    made = tmp_path / "disk"
    made.mkdir()
    tried = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", made], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip("no disk can be mounted here; test_files_may_not_grow tries the same with a limit on files")
    subprocess.run(["umount", made], check=True)
    return made


def where(place: Path) -> str:
    """What there was no space for, by what is there."""
    run = place / "run"
    if not (run / STORE).exists():
        return "before the store"
    kinds = {row[0] for row in rows(run)}
    if "importance" in kinds:
        return "at the patch"
    return f"behind {'scores' if 'score' in kinds else 'captions' if 'caption' in kinds else 'the store'}"


def half_written(place: Path) -> list[str]:
    """Files that nobody should find: parts of others, a patch that is none."""
    if not (place / "run").exists():
        return []
    names = [file.name for file in (place / "run").iterdir()]
    return [name for name in names if name.startswith(".") or name == PATCH]


def judge(counted, truth: Truth, place: Path, done: Done, grown) -> bool:
    """Look at a run that should have found its disk full, and go on with it; False where it had space enough."""
    if done.code == 0:
        assert (place / "run" / PATCH).read_bytes() == truth.patch
        return False
    counted.tell(where(place))
    stored, half = rows(place / "run"), half_written(place)
    grown()
    rest = truth.again(place)
    wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
    lost = len(stored - rows(place / "run")) if rest.code == 0 else len(stored)
    clear = done.refuses(1) and "space" in done.said + rest.said
    counted.fault(
        clear and not half and rest.code == 0, f"{done.code} {half} {done.said}\nthen {rest.said}", lost, wrong
    )
    return True


def test_the_disk_is_full(truth: Truth, tally, disk: Path):
    counted = tally("disk")
    for size in sizes(8, 300):
        with small_disk(disk, size):
            if not judge(counted, truth, disk, truth.again(disk), lambda: grow(disk)):
                break
    counted.check()


def test_files_may_not_grow(truth: Truth, tally, place: Path):
    """The same by a limit on each file's size, which hits the largest: the store and its log."""
    counted = tally("disk")
    for number, size in enumerate(sizes(40, 180)):
        folder = place / str(number)
        folder.mkdir()
        if not judge(counted, truth, folder, truth.again(folder, largest=size * KB), lambda: None):
            break
    counted.check()
