"""`python -m tests.fuzz patch --seconds 60`: atheris on one target, for a bounded time, from the corpus that is kept.

What it finds stays in `.fuzz/TARGET`: inputs that reach new code, and with `crash-`, `timeout-` or `oom-` before their
name those that fail. Repair the reader, then move the failing input to `tests/fuzz/corpus/TARGET`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path

import atheris

HERE = Path(__file__).parent
TARGETS = ("patch", "recipe")
LONGEST = 4096
MEGABYTES = 2048
"""What the process may hold: some 250 to begin with, and 1.6 more for each 1,000 inputs, which are atheris's own."""
SECONDS_EACH = 10


def main() -> None:
    """Fuzz until the time is over or an input fails; libFuzzer ends the process itself."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with atheris.instrument_imports(include=["headprune", "tests.fuzz", "tomllib", "tomli_w", "json", "safetensors"]):
        fuzzed = import_module(f"tests.fuzz.{given.target}").fuzzed
    found, kept = Path(".fuzz") / given.target, HERE / "corpus" / given.target
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEGABYTES}", f"-timeout={SECONDS_EACH}"]
    options += [f"-artifact_prefix={found}/", f"-dict={HERE / given.target}.dict"]
    options += [f"-max_total_time={given.seconds}", "-print_final_stats=1"]
    with tempfile.TemporaryDirectory() as folder:
        atheris.Setup([sys.argv[0], *options, str(found), str(kept)], lambda data: fuzzed(data, Path(folder)))
        atheris.Fuzz()


main()
