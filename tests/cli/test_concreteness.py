"""headprune concreteness without a server."""

from __future__ import annotations

import re

import pytest

import headprune
from headprune.perspectives.run import load_run

RATE = ("concreteness", "model", "--data", "data", "--max-new-tokens", 5)


def test_a_run_folder_holds_ratings_by_the_offline_measure(place):
    document = place.document(*RATE, "--samples", 3, "--out", "seen")
    run = load_run(place / "seen")
    assert (run.info.kind, run.info.scorer, run.info.layers) == ("concreteness", "concreteness", (0, 1, 2))
    assert (place / "seen" / "concreteness.png").stat().st_size > 10_000
    again = headprune.concreteness(
        headprune.load_model("model"), headprune.open_dataset("data"), samples=3, generation={"max_new_tokens": 5}
    )
    assert run.before.captions == again.captions and (run.before.ratings == again.ratings).all()
    assert document["before"]["ratings"] == again.ratings.tolist()
    assert document["before"]["by_criterion"].keys() == {"entities", "specificity", "information", "agreement"}
    assert [one["mean"] for one in document["before"]["score"]] == pytest.approx(again.scores.mean(axis=0).tolist())


def test_any_scorer_of_captions_rates(place):
    words = ("--scorer", "./overlap.py:Overlap", "--scorer-option", "power=2", "--samples", 2, "--layers", "1-2")
    document = place.document(*RATE, *words, "--out", "seen")
    assert document["before"]["criteria"] == ["Overlap"] and document["before"]["score"][1]["mean"] == 1.0
    table = place.run(*RATE, *words, "--out", "told").stdout
    assert re.search(r"^1 +\d\.\d\d \[.+word", table, re.M) and "what it says of" in table


def test_before_and_after_a_patch(scored):
    words = ("--samples", 2, "--patch", "run/patch.safetensors", "--prune", "count=2", "--out", "seen")
    result = scored.run(*RATE, *words)
    assert result.exit_code == 0 and "before the patch" in result.stdout and "with the patch" in result.stdout
    run = load_run(scored / "seen")
    assert run.before.captions != run.after.captions
    assert run.before.references == run.after.references, "both sides are compared with the unchanged model's words"


def test_its_recipe_repeats_it(place):
    place.document(*RATE, "--samples", 2, "--layers", "1", "--out", "one")
    place.document("concreteness", "--recipe", "one/recipe.toml", "--out", "two")
    one, two = load_run(place / "one"), load_run(place / "two")
    assert one.before.captions == two.before.captions and two.info.scorer == "concreteness"


def test_a_dry_run_writes_nothing(place):
    before = place.tree()
    document = place.document(*RATE, "--samples", 3, "--layers", "last:2", "--dry-run")
    assert document == {"pictures": 3, "available": 5, "layers": [1, 2], "expense": None}
    assert "3 of 5" in place.run(*RATE, "--samples", 3, "--dry-run").stdout
    assert place.tree() == before


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, (), "concreteness needs a run folder"),
        (2, ("--samples", "99", "--dry-run"), "99 samples"),
        (2, ("--samples", 2, "--layers", "7", "--dry-run"), "layers '7'"),
        (2, ("--scorer", "gradient", "--out", "seen"), "needs gradients"),
        (2, ("--scorer-option", "model=x", "--out", "seen"), "option 'model'"),
        (3, ("--scorer", "nosuch", "--out", "seen"), "nosuch"),
    ],
)
def test_refusals_leave_nothing(place, code, words, said):
    assert said in place.refuses(code, *RATE, *words)
