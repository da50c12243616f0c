"""headprune evaluate: table 1 as a document and as a table."""

from __future__ import annotations

import pytest

from headprune import load_patch
from headprune.types import Interval

INTERVAL = set(Interval.__slots__)


def words(*more: object) -> tuple[object, ...]:
    return ("evaluate", "model", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5, *more)


EXACT = '[evaluate]\nconvergence = true\nconvergence_scorer = "exact"\n'


def test_the_document(scored):
    (scored / "recipe.toml").write_text('model = "model"\n' + EXACT)
    document = scored.document(
        *words("--patch", "run/patch.safetensors", "--recipe", "recipe.toml", "--random", 4, "--prune", "count=1")
    )
    assert document.keys() == {"samples", "excluded", "scorer", "before", "after", "difference", "control"}
    assert (document["samples"], document["excluded"], document["scorer"]) == (3, 2, "rouge")
    for side in ("before", "after"):
        row = document[side]
        assert row.keys() == {"score", "convergence_layer", "parameters", "seconds_per_image"}
        assert row["score"].keys() == row["convergence_layer"].keys() == INTERVAL
        assert row["score"]["low"] <= row["score"]["mean"] <= row["score"]["high"]
        assert 0 <= row["convergence_layer"]["mean"] <= 2
        assert row["parameters"] == 97504 and row["seconds_per_image"] > 0
    assert document["difference"].keys() == INTERVAL
    difference = document["after"]["score"]["mean"] - document["before"]["score"]["mean"]
    assert document["difference"]["mean"] == pytest.approx(difference, abs=1e-12)
    control = document["control"]
    assert len(control["scores"]) == 4
    assert control["beaten"] == sum(document["after"]["score"]["mean"] > score for score in control["scores"])
    assert control["better_than_chance"] == (control["beaten"] == 4)


def test_without_a_patch_there_is_one_side(place):
    document = place.document(*words())
    assert (document["samples"], document["excluded"]) == (5, 0)
    assert document["before"]["score"].keys() == INTERVAL and document["before"]["convergence_layer"] is None
    assert document["after"] is document["difference"] is document["control"] is None


def test_excluding_a_run_leaves_its_samples_out(scored):
    used = set(load_patch(scored / "run/patch.safetensors").info.sample_ids)
    excluded = scored.document(*words("--exclude", "run"))
    assert (excluded["samples"], excluded["excluded"]) == (3, 2)
    rows = (scored / "data/metadata.jsonl").read_text().splitlines()
    kept = [row for row in rows if not any(name in row for name in used)]
    (scored / "data/metadata.jsonl").write_text("\n".join(kept))
    assert scored.document(*words())["before"]["score"] == excluded["before"]["score"]


def test_the_patchs_own_samples_are_left_out_only_on_its_own_data(scored):
    (scored / "data").rename(scored / "photos")
    result = scored.run(
        "evaluate", "model", "--data", "photos", *words()[4:], "--patch", "run/patch.safetensors", "--random", 0
    )
    assert result.exit_code == 0
    assert "5 samples, 0 scored ones left out" in " ".join(result.stdout.split())
    assert "note: the patch was scored on data, not on photos, but 2 of its samples have a namesake" in result.stderr


def test_a_patch_that_does_nothing_makes_no_difference(scored):
    scored.document("patch", "blend", "run/patch.safetensors", "--weight", 0, "--out", "nothing")
    document = scored.document(*words("--patch", "nothing", "--random", 2))
    assert document["difference"] == {"mean": 0, "low": 0, "high": 0}
    assert document["before"]["score"] == document["after"]["score"]
    assert document["control"]["beaten"] == 0 and document["control"]["better_than_chance"] is False


def test_the_table(scored):
    result = scored.run(*words("--patch", "run/patch.safetensors", "--random", 2))
    text = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "table 1: 3 samples, 2 scored ones left out" in text
    assert "before" in text and "after" in text and "paired over images" in text
    assert "control: 2 random head sets" in text
    stage = "3 samples, 2 random head sets"
    assert stage in result.stderr and stage not in result.stdout


def test_a_local_scorer_serves_here_too(place):
    document = place.document("evaluate", "model", "--data", "data", "--scorer", "./overlap.py:Overlap")
    assert document["before"]["score"] == {"mean": 1, "low": 1, "high": 1}
    assert document["scorer"] == "./overlap.py:Overlap"


def test_quiet_says_nothing(place):
    assert place.run(*words("--quiet")).stderr == ""
