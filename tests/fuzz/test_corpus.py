"""The inputs that fuzzing has found worth keeping, without a fuzzer."""

from __future__ import annotations

import tracemalloc
from importlib import import_module
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.rglob("*") if path.is_file())
MOST = 2**24
"""Bytes that reading an input of 4 KiB may take."""


@pytest.mark.parametrize("kept", INPUTS, ids=lambda kept: f"{kept.parent.name}-{kept.name[:12]}")
def test_an_input_is_read_or_refused(kept: Path, tmp_path: Path) -> None:
    fuzzed = import_module(f"tests.fuzz.{kept.parent.name}").fuzzed
    fuzzed(kept.read_bytes(), tmp_path)  # what is imported on the way is not counted
    tracemalloc.start()
    try:
        fuzzed(kept.read_bytes(), tmp_path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("target", ["patch", "recipe"])
def test_the_corpus_stays_small_and_reaches_the_end(target: str, tmp_path: Path) -> None:
    files = [path for path in INPUTS if path.parent.name == target]
    assert 0 < len(files) < 100 and all(path.stat().st_size <= 4096 for path in files)
    fuzzed, written = import_module(f"tests.fuzz.{target}").fuzzed, 0
    for path in files:
        fuzzed(path.read_bytes(), tmp_path)
        written += sum(again.unlink() is None for again in tmp_path.glob("again.*"))
    assert 0 < written < len(files), "some are read, and some are refused"
