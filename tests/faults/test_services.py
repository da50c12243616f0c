"""A scorer's service that is away for a while, for good, or was never there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from tests.faults.harness import PATCH, ForkServer, rows, share
from tests.plugins.judge.conftest import Backend, fails, well

ASKING = """
from pathlib import Path
import headprune

class Asking(headprune.Scorer):
    '''Words two captions share; its service is away as often as `away` has letters, and forever where it says so.'''
    answered = False

    def score(self, batch):
        away = Path("away")
        left = away.read_text() if away.is_file() else ""
        if left == "forever" or left and (Asking.answered or "never" in left):
            away.write_text(left if left in ("forever", "never") else left[1:])
            raise headprune.ServiceError("the service does not answer", "start it", answered=Asking.answered)
        Asking.answered = True
        pairs = [({*item.caption.split()}, {*item.reference.split()}) for item in batch]
        return [len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]
"""
RECIPE = """
model = "demo"
data = "demo"
samples = 4
layers = "2-4"
scorer = "./asking.py:Asking"
patience = {patience}
"""
WORDS = ("score", "--recipe", "recipe.toml", "--allow-local-plugins", "--out", "run")


@pytest.fixture
def asking(place: Path) -> Path:
    (place / "asking.py").write_text(ASKING)
    (place / "recipe.toml").write_text(RECIPE.format(patience=0.3))
    return place


@pytest.fixture
def whole(server: ForkServer, asking: Path) -> bytes:
    """The patch of a run that always got an answer."""
    done = server.run((*WORDS[:-1], "whole"), asking)
    assert done.code == 0, done.said
    return (asking / "whole" / PATCH).read_bytes()


@pytest.mark.parametrize(("away", "survives"), [("a", True), ("aaaa", False), ("forever", False), ("never", False)])
def test_a_scorers_service(server: ForkServer, tally, asking: Path, whole: bytes, away: str, survives: bool):
    """Once away it is waited for; longer than patience lasts, or never seen, it ends the run, which goes on later."""
    counted = tally("service")
    (asking / "away").write_text(away)
    done = server.run(WORDS, asking)
    stored = rows(asking / "run")
    waited = "asking again in" in done.said
    well = done.code == 0 and waited if survives else done.refuses(3) and waited == (away == "aaaa")
    (asking / "away").unlink()
    rest = server.run(WORDS, asking)
    wrong = rest.code == 0 and (asking / "run" / PATCH).read_bytes() != whole
    lost = len(stored - rows(asking / "run"))
    counted.fault(well and rest.code == 0, f"{done.code} {done.said}\nthen {rest.code} {rest.said}", lost, wrong)
    counted.check()


def away(request: Any) -> Any:
    return fails(503, "the judge is out for lunch")(request)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with HTTPServer(host="127.0.0.1", threaded=True) as server:
        yield Backend(server)


def judged(place: Path, backend: Backend, cache: str) -> Callable[[str], tuple[object, ...]]:
    """The command that scores by the judge, into a run folder."""
    (place / "judge.toml").write_text(
        """
model = "demo"
data = "demo"
samples = 3
layers = "3"
scorer = "judge"
patience = 0.3
scorer_options = { retries = 0, concurrency = 1 }
"""
    )
    where = ("--scorer-option", f"base_url={backend.url}", "--scorer-option", f"cache={place / cache}")
    return lambda out: ("score", "--recipe", "judge.toml", *where, "--yes", "--out", out)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9] if share(1, 0) else [0.5])
@pytest.mark.parametrize("failures", [1, 99])
def test_the_judges_server(server: ForkServer, tally, place: Path, backend: Backend, at: float, failures: int):
    """It goes away after some answers; back after one question it is waited for, away for good it ends the run."""
    counted = tally("service")
    done = server.run(judged(place, backend, "one.sqlite")("whole"), place)
    assert done.code == 0, done.said
    questions = len(backend.requests)
    backend.requests.clear()
    backend.script.extend([well] * max(1, int(questions * at)) + [away] * failures)
    words = judged(place, backend, "two.sqlite")("run")
    done = server.run(words, place)
    survives = failures == 1
    as_meant = done.code == 0 if survives else done.refuses(3)
    backend.script.clear()
    rest = server.run(words, place)
    wrong = rest.code == 0 and (place / "run" / PATCH).read_bytes() != (place / "whole" / PATCH).read_bytes()
    # What was answered is not asked again: only the questions that got no answer are there twice.
    asked = len(backend.requests) == questions + (1 if survives else 2)
    counted.fault(as_meant and rest.code == 0 and asked, f"{done.code} {done.said}\nthen {rest.said}", wrong=wrong)
    counted.check()


def test_a_judge_that_was_never_there(server: ForkServer, tally, place: Path, backend: Backend):
    """Its address may be wrong: nobody waits for it."""
    counted = tally("service")
    backend.script.extend([away] * 99)
    done = server.run(judged(place, backend, "one.sqlite")("run"), place)
    counted.fault(done.refuses(3) and "asking again" not in done.said, done.said, wrong=done.code == 0)
    counted.check()
    shutil.rmtree(place / "run")
