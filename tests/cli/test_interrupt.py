"""A run that is interrupted, and goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from headprune.errors import HeadpruneError
from headprune.runs import RunStore

PICTURES = 12


def captions_in(run: Path) -> int:
    """How many captions the run holds by now."""
    if not (run / "run.sqlite").is_file():
        return 0
    try:
        with RunStore.open(run, create=False) as store:
            return sum(len(store.captions(context)) for context in store.contexts())
    except HeadpruneError:  # the other process is just making it
        return 0


def test_an_interrupted_run_goes_on_to_the_same_bytes(place, score):
    rows = (place / "data/metadata.jsonl").read_text()
    for number in range(5, PICTURES):
        (place / f"data/p{number}.png").write_bytes((place / f"data/p{number % 5}.png").read_bytes())
        rows += f'{{"file_name": "p{number}.png", "caption": "word1"}}\n'
    (place / "data/metadata.jsonl").write_text(rows)
    words = [*score, "--samples", PICTURES]
    command = [sys.executable, "-c", "from headprune.cli.app import main; main()", *map(str, words)]
    # One caption at a time, so that there is time to interrupt it.
    process = subprocess.Popen(
        [*command, "--out", "cut", "--batch-size", "1"],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread here
    )
    try:
        while captions_in(place / "cut") == 0 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "error: interrupted" in said and "  next: give the same command again" in said and "Traceback" not in said
    assert not (place / "cut/patch.safetensors").exists()

    rest = place.document(*words, "--out", "cut")
    whole = place.document(*words, "--out", "whole")
    assert 0 < rest["reused"] < whole["decoded"] == rest["reused"] + rest["decoded"]
    assert rest["layers"] == whole["layers"]
    cut, uncut = (place / name / "patch.safetensors" for name in ("cut", "whole"))
    assert cut.read_bytes() == uncut.read_bytes()


def test_an_interruption_before_the_first_caption_leaves_nothing(place, score):
    (place / "stop.py").write_text("raise KeyboardInterrupt")
    words = (*score, "--samples", 2, "--out", "run", "--scorer", "./stop.py:Stop")
    assert "interrupted" in place.refuses(130, *words)
