"""What was measured of a patch is kept in its run, and told in the model card of what is exported from it."""

from __future__ import annotations

import json
import shutil

import pytest

PATCH = "run/patch.safetensors"
KEPT = "run/patch.evaluation-mean-one-none.json"
NOT_YET = "Not evaluated when this was exported"


def evaluate(*more: object) -> tuple[object, ...]:
    words = ("evaluate", "model", "--data", "data", "--scorer", "rouge", "--max-new-tokens", 5, "--random", 2)
    return (*words, "--patch", PATCH, *more)


def card(place, *settings: object, patch: str = PATCH, how: str = "slice") -> str:
    """The model card of what these settings export."""
    place.document("apply", "model", patch, "--out", "out", "--how", how, *settings)
    text = (place / "out/README.md").read_text(encoding="utf-8")
    shutil.rmtree(place / "out")
    return text


@pytest.mark.parametrize("how", ["fold", "slice"])
def test_the_card_tells_what_was_measured_of_just_this(scored, how):
    assert NOT_YET in card(scored, "--prune", "count=1", how=how)
    found = scored.document(*evaluate("--prune", "count=1"))
    told = card(scored, "--prune", "count=1", how=how)
    assert NOT_YET not in told and "On 3 pictures" in told
    for side in ("before", "after"):
        score = found[side]["score"]
        assert f"| {side} | {score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}] | 97,504 |" in told
    difference = found["difference"]
    assert f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]" in told
    assert f"It beats {found['control']['beaten']} of 2 random head sets" in told
    for other in ((), ("--prune", "count=2"), ("--prune", "fraction=0.25"), ("--prune", "count=1", "--scale", "none")):
        assert NOT_YET in card(scored, *other, how=how), other


def test_each_change_keeps_its_last_evaluation(scored):
    scored.document(*evaluate("--prune", "count=1"))
    scored.document(*evaluate("--scale", "none", "--prune", "count=2"))
    last = scored.document(*evaluate("--prune", "count=1", "--scorer", "bleu"))
    told = card(scored, "--prune", "count=1")
    assert "`bleu` [95 %]" in told and f"{last['after']['score']['mean']:.3f}" in told
    assert "`rouge` [95 %]" in card(scored, "--scale", "none", "--prune", "count=2")
    assert NOT_YET in card(scored)


def test_where_it_was_kept_is_said(scored):
    result = scored.run(*evaluate())
    assert (
        result.exit_code == 0
        and "wrote evaluation: run/patch.evaluation-mean-one-none.json" in result.stderr.splitlines()
    )
    assert "wrote evaluation" not in result.stdout
    assert scored.run(*evaluate("--quiet")).stderr == ""


def test_another_patch_has_not_been_evaluated(scored):
    """Beside the run's own patch: kept by the patch's digest, not by where it lies."""
    scored.document(*evaluate())
    scored.document("patch", "blend", PATCH, "--weight", 0.3, "--out", "run/half.safetensors")
    assert NOT_YET in card(scored, patch="run/half.safetensors")
    words = (*evaluate()[:-1], "run/half.safetensors")
    scored.document(*words)
    assert NOT_YET not in card(scored, patch="run/half.safetensors") and NOT_YET not in card(scored)


def test_a_patch_outside_a_run_keeps_nothing(scored):
    shutil.copy(scored / PATCH, scored / "loose.safetensors")
    before = scored.tree()
    result = scored.run(*evaluate()[:-1], "loose.safetensors")
    assert result.exit_code == 0 and "wrote" not in result.stderr and "note" not in result.stderr
    assert scored.tree() == before
    assert NOT_YET in card(scored, patch="loose.safetensors")


def test_the_model_alone_keeps_nothing(scored):
    result = scored.run(*evaluate()[:-2], "--exclude", "run")
    assert result.exit_code == 0 and "wrote" not in result.stderr


def test_an_evaluation_leaves_the_runs_captions_alone(scored, score):
    first = (scored / PATCH).read_bytes()
    scored.document(*evaluate("--prune", "count=1"))
    again = scored.document(*score, "--samples", 2, "--out", "run")
    assert (again["decoded"], again["reused"]) == (0, 2 * 3 * (4 + 1))
    assert (scored / PATCH).read_bytes() == first


def test_an_evaluation_that_cannot_be_kept_is_a_note_only(scored):
    (scored / KEPT).mkdir()
    result = scored.run(*evaluate("--json"))
    assert result.exit_code == 0, result.stderr
    assert "note: the evaluation is not kept in the run" in result.stderr
    assert "wrote" not in result.stderr and "Traceback" not in result.stderr
    assert json.loads(result.stdout)["samples"] == 3


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", '{"patch": 3}'])
def test_an_evaluation_that_cannot_be_read_is_a_note_only(scored, content):
    (scored / KEPT).write_text(content)
    result = scored.run("apply", "model", PATCH, "--out", "out", "--how", "slice")
    assert result.exit_code == 0, result.stderr
    assert f"note: {KEPT} cannot be read, so the model card tells no evaluation" in result.stderr
    assert NOT_YET in (scored / "out/README.md").read_text()
    assert (scored / KEPT).read_text() == content
