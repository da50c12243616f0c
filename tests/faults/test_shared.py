"""Another process in the run folder, and clocks that jump."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests.faults.harness import DEMO, ENVIRONMENT, PATCH, STORE, Truth, rows, share


def captioning(run: Path) -> bool:
    """Whether a process that is at work in a run folder has made a caption."""
    try:
        return any(row[0] == "caption" for row in rows(run))
    except sqlite3.DatabaseError:  # copied while it was being written
        return False


def test_a_folder_in_use(truth: Truth, tally, place: Path):
    """A process that stands still in the middle of its run has it; when it is done, or killed, it has not."""
    counted = tally("shared")
    for end in (signal.SIGCONT, signal.SIGKILL)[: share(2, 1)]:
        other = subprocess.Popen(
            [sys.executable, "-c", "from headprune.cli.app import main; main()", *map(str, DEMO), "--out", "run"],
            cwd=place,
            env={**os.environ, **ENVIRONMENT},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            while not captioning(place / "run"):
                assert other.poll() is None
                time.sleep(0.01)
            other.send_signal(signal.SIGSTOP)
            stored = rows(place / "run")
            done = truth.again(place)
            named = f"in use by process {other.pid} of " in done.said
            other.send_signal(end)
            other.wait(60)
        finally:
            other.kill()
        rest = truth.again(place)
        wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
        lost = len(stored - rows(place / "run"))
        counted.fault(done.refuses(1) and named and rest.code == 0, done.said + rest.said, lost, wrong)
        shutil.rmtree(place / "run")
    counted.check()


def test_a_clock_that_jumps(truth: Truth, tally, place: Path):
    """Each time somebody looks it is earlier, or far later; the run is killed once and gone on with."""
    counted = tally("shared")
    for seconds in (3600.0, -86400.0 * 365):
        first = truth.again(place, jumps=seconds, kill_behind=truth.decoded // 2)
        stored = rows(place / "run")
        rest = truth.again(place, jumps=-seconds)
        wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != truth.patch
        lost = len(stored - rows(place / "run"))
        counted.fault((first.code, rest.code) == (-9, 0), first.said + rest.said, lost, wrong)
        shutil.rmtree(place / "run")
    counted.check()


def test_files_from_the_future(truth: Truth, tally, place: Path):
    """The run's files are newer than the clock."""
    counted = tally("shared")
    run = truth.started(place)
    for file in (run / STORE, run / PATCH):
        os.utime(file, (4e9, 4e9))
    done = truth.again(place)
    counted.fault(done.code == 0, done.said, wrong=(run / PATCH).read_bytes() != truth.patch)
    counted.check()
