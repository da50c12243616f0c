"""Runs that are killed: nothing that was stored is gone, and what comes out in the end is what would have."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.harness import BATCH, DEMO, PATCH, SAMPLES, STORE, Rows, Truth, count, fresh, rows, share

KILLS = share(100, 7)


def phase(run: Path, before: Rows, truth: Truth) -> str:
    """Where a run was when it was killed, by what it left."""
    if (run / PATCH).exists():
        return "behind the patch"
    if not (run / STORE).exists():
        return "before the store"
    if any(row[0] == "importance" for row in before):
        return "at the patch"
    captions = sum(row[0] == "caption" for row in before)
    if captions == 0:
        return "before the first caption"
    return "captioning" if captions < sum(row[0] == "caption" for row in truth.rows) else "scoring"


def test_killed_at_random_moments(truth: Truth, tally, place: Path):
    """A run is gone on with until it is done, then the next one begins, until there were enough kills."""
    counted, chance = tally("kill"), random.Random(7)
    decoded, finished, stored = place / "decoded", 0, frozenset()
    while counted.tried < KILLS or stored:
        at = chance.uniform(0.001, truth.seconds) if counted.tried < KILLS else None
        done = truth.again(place, kill=at, decoded=str(decoded))
        now = rows(place / "run")
        lost = len(stored - now)
        stored = now
        if done.code == 0:
            wrong = (place / "run" / PATCH).read_bytes() != truth.patch or now != truth.rows
            counted.wrong += wrong
            counted.lost += lost
            finished += 1
            shutil.rmtree(place / "run")
            stored = frozenset()
            continue
        counted.fault(done.code == -9, f"ended by itself with {done.code}: {done.said}", lost)
        counted.tell(phase(place / "run", now, truth))
        if done.code != -9:
            break
    counted.tell("runs finished", finished)
    counted.tell("captions decoded", count(decoded))
    counted.tell("captions needed", finished * truth.decoded)
    counted.check()
    # A kill costs the captions of the picture that was in work, and a batch's, at most.
    assert count(decoded) <= finished * truth.decoded + counted.tried * (truth.decoded // SAMPLES + BATCH)


def test_killed_at_each_file_operation(truth: Truth, tally, place: Path):
    """Just before the run's n-th operation on a file, for each n; what is left is gone on with."""
    counted = tally("kill at file")
    for moment in range(1, 400, share(1, 7)):
        done = truth.again(place, at_file=moment, within=str(place / "run"))
        if done.code == 0:
            break
        stored = rows(place / "run")
        rest = truth.again(place)
        well = done.code == -9 and rest.code == 0
        wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
        counted.fault(well, done.said + rest.said, len(stored - rows(place / "run")), wrong)
        left = {file.name for file in (place / "run").iterdir()} - {file.name for file in truth.folder.iterdir()}
        for name in left:
            counted.tell(f"left behind: {name.rpartition('.')[2]}")
        shutil.rmtree(place / "run")
    else:
        pytest.fail("there was no end to it")
    counted.check()


def test_killed_while_it_repairs(truth: Truth, tally, place: Path):
    """The same of a run that finds its store damaged: whatever is whole is still there at the end."""
    counted = tally("kill at file")
    whole = (truth.folder / STORE).read_bytes()
    # The middle of the file: a page of captions or of an index.
    broken = whole[: len(whole) // 2] + bytes(4096) + whole[len(whole) // 2 + 4096 :]
    for moment in range(1, 600, share(2, 60)):
        (truth.started(place) / STORE).write_bytes(broken)
        done = truth.again(place, at_file=moment, within=str(place / "run"))
        rest = truth.again(place) if done.code else done
        wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
        lost = len(truth.rows - rows(place / "run"))
        shutil.rmtree(place / "run")
        if done.code == 0:
            break
        counted.fault(rest.code == 0, done.said + rest.said, lost, wrong)
    else:
        pytest.fail("there was no end to it")
    counted.check()


def test_fresh_processes_killed(truth: Truth, tally, place: Path):
    """Without the fork server, from the first moments of Python on."""
    counted, chance = tally("kill fresh"), random.Random(11)
    words = (*DEMO, "--out", "run")
    (place / "whole").mkdir()
    whole = fresh(words, place / "whole")
    assert whole.code == 0 and (place / "whole" / "run" / PATCH).read_bytes() == truth.patch
    for _ in range(share(6, 1)):
        before = rows(place / "run")
        done = fresh(words, place, kill=chance.uniform(0.1, whole.seconds / 2))
        if done.code == 0:  # the machine has become quicker
            whole = done
            shutil.rmtree(place / "run")
            continue
        counted.fault(done.code == -9, done.said, len(before - rows(place / "run")))
    stored, done = rows(place / "run"), truth.again(place)
    counted.lost += len(stored - rows(place / "run"))
    counted.wrong += done.code != 0 or (place / "run" / PATCH).read_bytes() != truth.patch
    counted.check()
