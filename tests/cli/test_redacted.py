"""A key that ends up in an error is shown and stored by nobody."""

from __future__ import annotations

import json

import pytest

KEY, SECOND = "c0ffee-and-other-letters", "another-word"
TELLTALE = f"""
import os
import headprune
from overlap import Overlap

class Telltale(Overlap):
    def score(self, batch):
        headprune.notice("sent " + os.environ["JUDGE_API_KEY"])
        raise OSError("https://me:{SECOND}@host refused " + os.environ["JUDGE_API_KEY"])
"""


@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_an_error_of_a_scorer_shows_no_key(place, score, monkeypatch, debug):
    monkeypatch.setenv("JUDGE_API_KEY", KEY)
    monkeypatch.syspath_prepend(place.folder)
    (place / "telltale.py").write_text(TELLTALE)
    words = (*score, "--scorer", "./telltale.py:Telltale", "--samples", 2, "--out", "run", "--listener", "jsonl")
    done = place.run(*words, "--listener-option", "path=run.jsonl", *debug)
    assert done.exit_code == 3 and "refused ***" in done.stderr and "note: sent ***" in done.stderr
    assert ("Traceback" in done.stderr) == bool(debug)
    failed = json.loads((place / "run.jsonl").read_text().splitlines()[-1])
    assert "refused ***" in failed["reason"]
    written = [file for file in place.folder.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
    for secret in (KEY, SECOND):
        assert secret not in done.stdout + done.stderr
        assert not [file for file in written if secret.encode() in file.read_bytes()]
