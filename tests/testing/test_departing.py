"""A promise of a contract is overridden or skipped with a stated reason, or it fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from headprune.testing import ScorerContract, departs

SUITE = """
import pytest
from headprune.testing import ScorerContract, departs
from headprune_ngram.exact import Exact

class TestExact(ScorerContract):
    @pytest.fixture
    def scorer(self):
        return Exact()

    {more}
"""


def run(tmp_path, more: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_it.py").write_text(SUITE.format(more=more))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "deterministic", "test_it.py"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("def test_deterministic(self): pass", "overrides a promise of the contract"),
        ("test_deterministic = None", "overrides a promise of the contract"),
        ("pytestmark = pytest.mark.skip", "skipped without a reason"),
        ("pytestmark = pytest.mark.xfail(run=False)", "skipped without a reason"),
        ("@pytest.fixture(autouse=True)\n    def never(self): pytest.skip('')", "skipped without a reason"),
    ],
)
def test_without_a_reason_it_fails(tmp_path, more, said):
    done = run(tmp_path, more)
    assert done.returncode != 0 and said in done.stdout, done.stdout


@pytest.mark.parametrize(
    "more",
    [
        "@departs('draws at random')\n    def test_deterministic(self): pass",
        "pytestmark = pytest.mark.skip(reason='no such machine')",
        "",
    ],
)
def test_with_a_reason_it_passes(tmp_path, more):
    done = run(tmp_path, more)
    assert done.returncode == 0 and ("passed" in done.stdout or "skipped" in done.stdout), done.stdout


def test_a_reason_has_words():
    with pytest.raises(ValueError, match="reason"):
        departs("  ")


def test_new_tests_are_no_departure():
    class More(ScorerContract):
        def test_more(self):
            pass

    assert More.test_more
