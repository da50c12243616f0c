"""The judge on the command line: what it would cost, who agrees to it, and that it is not paid twice."""

from __future__ import annotations

import json

import pytest

from headprune.cli import expense
from headprune.perspectives.run import load_run
from tests.cli.conftest import Place
from tests.plugins.judge.conftest import KEY, fails


@pytest.fixture
def place(tmp_path, monkeypatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


@pytest.fixture
def asking(backend) -> tuple[object, ...]:
    """A scorer's options that name the server on this machine, and a store in the current folder."""
    options = (f"base_url={backend.url}", "cache=judge.sqlite", "price_in=2", "price_out=8")
    return ("--scorer", "judge", *(word for option in options for word in ("--scorer-option", option)))


RATE = ("concreteness", "demo", "--data", "demo", "--samples", 2, "--layers", "0,3,-1")
LOOKS = ("layers", "lesion", "convergence")
SCORE = ("score", "demo", "--data", "demo", "--samples", 2, "--layers", "0", "--max-new-tokens", 8)


def test_a_dry_run_says_what_it_would_cost_and_asks_nobody(place, asking, backend):
    document = place.document(*RATE, *asking, "--dry-run")
    cost = document["expense"]
    assert document["layers"] == [0, 3, 7] and cost["calls"] == 2 and backend.url in cost["service"]
    assert cost["cost"] == pytest.approx((2 * cost["tokens_in"] + 8 * cost["tokens_out"]) / 1e6)
    shown = place.run(*RATE, *asking, "--dry-run").stdout
    assert "at most 2" in shown and "tokens" in shown and backend.url in shown
    scored = place.document(*SCORE, *asking, "--dry-run")["expense"]
    assert (
        scored["calls"] == 2 * (8 + 1)
        and "what the scorer would cost" in place.run(*SCORE, *asking, "--dry-run").stdout
    )
    assert not backend.requests and not place.tree()


@pytest.mark.parametrize("command", [RATE, SCORE, *((kind, *RATE[1:]) for kind in LOOKS)])
def test_without_a_terminal_nothing_is_paid_unless_agreed_to(place, asking, backend, command):
    said = place.refuses(2, *command, *asking, "--out", "run")
    assert "--yes" in said and "calls of gpt-4o" in said and not backend.requests


def test_an_evaluation_is_not_paid_unasked_either(place, asking, backend):
    said = place.refuses(2, "evaluate", "demo", "--data", "demo", *asking)
    assert "--yes" in said and "up to 600 calls" in said and not backend.requests


def test_a_second_scorer_is_not_paid_unasked_either(place, asking, backend):
    second = [str(word).replace("--scorer", "--convergence-scorer", 1) for word in asking[:2]]
    options = [str(word).replace("--scorer-option", "--convergence-option") for word in asking[2:]]
    said = place.refuses(2, "convergence", "demo", "--data", "demo", "--samples", 3, *second, *options, "--out", "run")
    assert f"up to {3 * 8} calls" in said and not backend.requests
    both = place.refuses(
        2, "convergence", "demo", "--data", "demo", "--samples", 3, *asking, *second, *options, "--out", "run"
    )
    assert f"up to {2 * 3 * 8} calls" in both and not backend.requests


def test_a_search_for_what_to_prune_is_not_paid_unasked_either(place, asking, backend):
    place.document(*SCORE, "--samples", 40, "--scorer", "exact", "--out", "run")
    words = ("apply", "demo", "run/patch.safetensors", "--prune", "auto", *asking, "--out", "pruned")
    said = place.refuses(2, *words)
    assert "--yes" in said and "calls of gpt-4o" in said and not backend.requests


def test_a_judged_run_is_kept_and_paid_once(place, asking, backend):
    document = place.document(*RATE, *asking, "--yes", "--out", "one")
    assert len(backend.requests) == 2
    run = load_run(place / "one")
    assert run.info.scorer == "judge" and document["before"]["criteria"][0] == "entities"
    assert (run.before.ratings[:, 0, 2] == 3).all() and run.before.ratings.shape == (2, 3, 4)
    again = place.document(*RATE, *asking, "--yes", "--out", "two")
    assert again["before"] == document["before"] and len(backend.requests) == 2


def test_a_run_that_fails_has_paid_for_nothing_twice(place, asking, backend):
    backend.script.extend([fails(401)] * 2)
    one_at_a_time = ("--scorer-option", "concurrency=1", "--yes", "--out", "run")
    result = place.run(*RATE, *asking, *one_at_a_time)
    assert result.exit_code == 3 and "401" in result.stderr and not (place / "run").exists()
    backend.script.clear()
    place.document(*RATE, *asking, *one_at_a_time)
    assert len(backend.requests) == 1 + 2


def test_heads_are_scored_by_the_judge(place, asking, backend):
    document = place.document(*SCORE, *asking, "--yes", "--out", "run")
    captions = {
        (body["messages"][1]["content"][1]["image_url"]["url"], body["messages"][1]["content"][0]["text"])
        for body in backend.requests
    }
    assert len(captions) == len(backend.requests) <= 16
    assert all(0 <= value <= 1 for value in document["layers"][0]["importance"]["mean"])


@pytest.mark.parametrize(("word", "code"), [("y", 0), ("n", 1), ("", 130)])
def test_on_a_terminal_the_user_is_asked(place, asking, backend, monkeypatch, word, code):
    from typer.testing import CliRunner

    from headprune.cli.app import app

    monkeypatch.setattr(expense, "on_terminal", lambda: True)
    words = [str(part) for part in (*RATE, *asking, "--out", "run")]
    result = CliRunner().invoke(app, words, input=f"{word}\n" if word else "")
    assert result.exit_code == code, result.stderr
    assert "Go on?" in result.stderr and "Go on?" not in result.stdout
    assert (len(backend.requests) > 0) == (word == "y") == (place / "run").is_dir()


def test_the_key_stands_in_no_file_and_no_message(place, asking, backend):
    backend.script.append(fails(500, KEY))
    results = [
        place.run(*RATE, *asking, "--yes", "--debug", "--out", "one"),
        place.run(*SCORE, *asking, "--yes", "--debug", "--json", "--out", "two"),
    ]
    backend.script.extend([fails(401, KEY)] * 9)
    results.append(place.run(*RATE, *asking, "--seed", 5, "--yes", "--debug", "--out", "three"))
    assert [result.exit_code for result in results] == [0, 0, 3]
    assert backend.headers[0]["Authorization"] == f"Bearer {KEY}"
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert {"recipe.toml", "result.json", "run.sqlite", "judge.sqlite"} <= {path.name for path in files}
    assert all(KEY.encode() not in path.read_bytes() for path in files)
    assert all(KEY not in result.stdout + result.stderr for result in results)
    assert json.loads(results[1].stdout)["samples"] == 2
