"""A run that is interrupted, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headprune.errors import HeadpruneError, Notice
from headprune.jobs.interrupts import finishing
from headprune.runs import RunStore
from headprune.runs.overview import State, overview

PICTURES = 12
# Says what it is doing on stdout, and takes its time.
SLOW = """
import sys, time
from headprune.cli.app import main
from headprune.towers.batches import Decoder
decode = Decoder.decode
def slowly(self, *given, **more):
    print("decoding", flush=True)
    time.sleep(0.3)
    found = decode(self, *given, **more)
    print("decoded", flush=True)
    return found
Decoder.decode = slowly
main()
"""


def captions_in(run: Path) -> int:
    """How many captions the run holds by now."""
    if not (run / "run.sqlite").is_file():
        return 0
    try:
        with RunStore.open(run, create=False) as store:
            return sum(len(store.captions(context)) for context in store.contexts())
    except HeadpruneError:  # the other process is just making it
        return 0


@contextmanager
def process_of(code: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a command, and can be interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def many(place):
    """A place with a dozen pictures."""
    rows = (place / "data/metadata.jsonl").read_text()
    for number in range(5, PICTURES):
        (place / f"data/p{number}.png").write_bytes((place / f"data/p{number % 5}.png").read_bytes())
        rows += f'{{"file_name": "p{number}.png", "caption": "word1"}}\n'
    (place / "data/metadata.jsonl").write_text(rows)
    return place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_to_the_same_bytes(many, score, number):
    """Once: what is worked on is finished and stored, and how to go on is said."""
    words = [*score, "--samples", PICTURES]
    with process_of(SLOW, *words, "--out", "cut", "--batch-size", 4) as process:
        assert process.stdout
        for _ in range(3):  # one batch is done, and the next is being worked on
            process.stdout.readline()
        before = captions_in(many / "cut")
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "note: interrupted: the batch that is worked on is finished and stored first" in said
    end = ["error: interrupted", f"  next: headprune runs resume {many / 'cut'} goes on with it"]
    assert said.splitlines()[-2:] == end and "Traceback" not in said
    # Not another one was begun.
    assert out.split() == ["decoded"]
    assert captions_in(many / "cut") > before > 0
    assert not (many / "cut/patch.safetensors").exists()
    assert overview(many / "cut").state is State.INTERRUPTED

    rest = many.document("runs", "resume", "cut", "--allow-local-plugins")
    whole = many.document(*words, "--out", "whole")
    assert 0 < rest["reused"] < whole["decoded"] == rest["reused"] + rest["decoded"]
    assert rest["layers"] == whole["layers"]
    cut, uncut = (many / name / "patch.safetensors" for name in ("cut", "whole"))
    assert cut.read_bytes() == uncut.read_bytes()


def test_a_second_interruption_stops_at_once(many, score):
    words = [*score, "--samples", PICTURES, "--out", "cut", "--batch-size", 4]
    with process_of(SLOW.replace("0.3", "3600"), *words) as process:
        assert process.stdout and process.stdout.readline() == "decoding\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr
        said = ""
        while "once more stops at once" not in said:
            said = process.stderr.readline()
            assert said, "it ended"
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), said
    end = ["error: interrupted", "  next: nothing was made yet: give the same command again"]
    assert said.splitlines()[-2:] == end and "Traceback" not in said
    # Nothing was stored yet: nothing is left.
    assert not (many / "cut").exists()


LOADING = """
import time
import headprune.jobs.engines as engines
from headprune.cli.app import main
def load(recipe):
    print("loading", flush=True)
    time.sleep(60)
engines.load_for = load
main()
"""


def test_an_interruption_while_the_model_is_loaded_ends_at_once(place, score):
    before = place.tree()
    with process_of(LOADING, *score, "--samples", 2, "--out", "run") as process:
        assert process.stdout and process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "error: interrupted" in said and "is finished and stored first" not in said and "Traceback" not in said
    assert place.tree() == before


def test_an_interruption_before_the_first_caption_leaves_nothing(place, score):
    (place / "stop.py").write_text("raise KeyboardInterrupt")
    words = (*score, "--samples", 2, "--out", "run", "--scorer", "./stop.py:Stop")
    assert "interrupted" in place.refuses(130, *words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_handler_of_before_is_back_afterwards(number):
    before = signal.getsignal(number)
    with pytest.warns(Notice, match="once more stops at once"), finishing() as interrupted:
        signal.raise_signal(number)
        assert interrupted.asked
        with pytest.raises(KeyboardInterrupt):
            interrupted.stop_if_asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_handler_of_someone_else_stays():
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with finishing() as interrupted:
            signal.raise_signal(signal.SIGINT)
        assert heard == [signal.SIGINT] and not interrupted.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_than_the_main_one_leaves_signals_alone():
    seen = []

    def work() -> None:
        with finishing() as interrupted:
            seen.append((interrupted.asked, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, signal.getsignal(signal.SIGINT))]
