"""One writer a run: who comes second is told who was first, and takes nothing from it."""

from __future__ import annotations

import getpass
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headprune.errors import ExitCode, HeadpruneError
from headprune.runs import RunFolder
from headprune.runs.lock import is_locked
from headprune.runs.overview import State, overview

IDENTITY = {"model": "demo"}
WORKING = """
import sys
from headprune.runs import RunFolder
with RunFolder.claim(sys.argv[1], {"model": "demo"}, "") as run:
    context = run.store.context({})
    with run.store.log.stage("captions", 10, 0):
        run.store.add_captions(context, {("a", 0, 0): "first"})
        print("ready", flush=True)
        sys.stdin.readline()
        run.store.add_captions(context, {("b", 0, 0): "second"})
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process at work on `run`; it goes on when it is sent a line."""
    command = [sys.executable, "-c", WORKING, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_the_second_process_is_told_whose_run_it_is(tmp_path: Path, worker: subprocess.Popen[bytes]) -> None:
    run = tmp_path / "run"
    assert is_locked(run)
    with pytest.raises(HeadpruneError) as caught:
        RunFolder.claim(run, IDENTITY, "")
    owner = f"process {worker.pid} of {getpass.getuser()} on {socket.gethostname()}"
    time_ = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.fullmatch(rf"{re.escape(f'{run} is in use by {owner}, since ')}{time_}", caught.value.message)
    assert "wait until that run ends" in caught.value.hint
    assert caught.value.exit_code == ExitCode.FAILED == 1
    assert overview(run).state is State.RUNNING
    assert overview(run).progress == (1, 10)

    assert worker.stdin
    worker.stdin.write(b"\n")
    worker.stdin.close()
    assert worker.wait(timeout=60) == 0
    assert not is_locked(run)
    with RunFolder.claim(run, IDENTITY, "") as mine:
        assert mine.store.captions(mine.store.context({})) == {("a", 0, 0): "first", ("b", 0, 0): "second"}


def test_a_killed_process_lets_go_and_is_not_taken_for_a_running_one(
    tmp_path: Path, worker: subprocess.Popen[bytes]
) -> None:
    run = tmp_path / "run"
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=60)
    assert not is_locked(run)
    found = overview(run)
    assert found.state is State.STOPPED
    assert found.sessions[0].state == "running" and found.sessions[0].ended is None
    # What it did until then is known.
    assert [(stage.made, stage.total) for stage in found.sessions[0].stages] == [(1, 10)]
    with RunFolder.claim(run, IDENTITY, "") as mine:
        assert mine.store.captions(mine.store.context({})) == {("a", 0, 0): "first"}
    assert overview(run).state is State.FINISHED


def test_a_child_of_a_process_does_not_hold_its_lock(tmp_path: Path) -> None:
    """A worker that outlives the run it was started for."""
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        run.store.add_captions(run.store.context({}), {("a", 0, 0): "a cat"})
        child = subprocess.Popen(["sleep", "60"])
    try:
        assert not is_locked(tmp_path / "run")
    finally:
        child.kill()
        child.wait()


def test_to_ask_hinders_nobody(tmp_path: Path) -> None:
    """Whoever asks holds the lock for a moment: a run that begins just then waits for it."""
    with RunFolder.claim(tmp_path / "run", IDENTITY, "") as run:
        run.store.add_captions(run.store.context({}), {("a", 0, 0): "a cat"})
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            is_locked(tmp_path / "run")

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            with RunFolder.claim(tmp_path / "run", IDENTITY, ""):
                time.sleep(0.001)
    finally:
        ended.set()
        asking.join()


def test_a_lock_of_someone_else_can_be_asked_for(tmp_path: Path, worker: subprocess.Popen[bytes]) -> None:
    """In a folder that others share to be read."""
    asking = (
        "import fcntl, os; from pathlib import Path; from headprune.runs.lock import is_locked; "
        "os.getuid() or os.setuid(65534); print(is_locked(Path('.')))"
    )
    os.chmod(tmp_path / "run" / "run.lock", 0o444)  # noqa: PTH101
    done = subprocess.run(
        [sys.executable, "-c", asking], cwd=tmp_path / "run", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "True\n", done.stderr


def test_where_no_run_is_there_is_no_lock(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []
