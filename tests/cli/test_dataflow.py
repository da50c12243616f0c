"""headprune dataflow: run folder, figures, tokens, before and after, refusals."""

from __future__ import annotations

import re

import numpy as np
import pytest

import headprune
from headprune.perspectives.run import load_run
from tests.support.zoo import ZOO

DATAFLOW = ("dataflow", "model", "--data", "data")
FIGURES = ("dataflow.png", "sources.png")


def test_a_run_folder_holds_all_that_was_found(place):
    document = place.document(*DATAFLOW, "--samples", 3, "--out", "seen")
    assert sorted(path.name for path in (place / "seen").iterdir()) == [
        *("dataflow.png", "pictures", "recipe.toml", "result.json", "sources.png", "tensors.safetensors"),
    ]
    run = load_run(place / "seen")
    assert run.info.kind == "dataflow" and run.info.layers == (0, 1, 2) and run.after is None
    again = headprune.dataflow(headprune.load_model("model"), headprune.open_dataset("data"), samples=3)
    for kind in ("norm", "projection", "share"):
        for part in ("heads", "bias", "mlp"):
            kept, expected = (getattr(getattr(found.at, kind), part) for found in (run.before, again))
            np.testing.assert_array_equal(kept, expected)
            told = document["before"][kind][part]
            np.testing.assert_allclose(told["mean"], kept.mean(axis=0))
            assert (np.array(told["low"]) <= told["mean"]).all() and (told["mean"] <= np.array(told["high"])).all()
    np.testing.assert_array_equal(run.before.sources[2].projection, again.sources[2].projection)
    assert run.before.sources[0].grids == again.sources[0].grids != ()
    assert document["before"]["token"] == 0 and document["before"]["error"] < 1e-5
    assert document["samples"] == list(run.before.samples)


def test_the_token_is_asked_for_and_repeated_by_the_recipe(place):
    shares = {}
    for token in ("cls", "mean", "5"):
        document = place.document(*DATAFLOW, "--samples", 2, "--token", token, "--out", f"at-{token}")
        again = place.document("dataflow", "--recipe", f"at-{token}/recipe.toml", "--out", f"again-{token}")
        assert again["before"] == document["before"]
        shares[document["before"]["token"]] = document["before"]["share"]["mlp"]["mean"]
    assert shares.keys() == {0, None, 5} and len({*map(str, shares.values())}) == 3
    found = load_run(place / "at-mean").before
    assert found.at is None and found.chosen is found.mean
    plain = place.document(*DATAFLOW, "--samples", 2, "--out", "plain")
    assert plain["before"]["share"]["mlp"]["mean"] == shares[0]


def test_a_patch_gives_before_and_after(scored):
    words = ("--samples", 2, "--patch", "run/patch.safetensors", "--prune", "count=2", "--out", "seen")
    document = scored.document(*DATAFLOW, *words)
    run = load_run(scored / "seen")
    assert document["before"] != document["after"]
    assert all((scored / "seen" / name).is_file() for name in (*FIGURES, "sources-after.png"))
    silent = np.array(run.info.patch.silent)
    assert len(silent) == 6
    for flow in (run.after.at, run.after.mean):
        assert not flow.norm.heads[:, silent[:, 0], silent[:, 1]].any()
    assert run.before.at.norm.heads.all()


def test_a_sliced_model_has_no_numbers_where_it_has_no_heads(place):
    s = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 1]], np.float32)
    headprune.export(headprune.load_model("model"), s, place / "small", {}, how="slice")
    result = place.run("dataflow", "small", "--data", "data", "--samples", 2, "--out", "seen")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"^1 +\d+\.\d\d +0\.000 \[0\.000, 0\.000\] +- ", result.stdout, re.M)
    document = place.document("dataflow", "small", "--data", "data", "--samples", 2, "--out", "again")
    for end in ("mean", "low", "high"):
        heads = document["before"]["share"]["heads"][end]
        assert [[share is not None for share in row] for row in heads] == [[True, True, False], [False] * 3, [True] * 3]


def test_a_table_for_people(place):
    result = place.run(*DATAFLOW, "--samples", 2, "--layers", "1-2", "--out", "seen")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"^1 +\d+\.\d\d +-?\d\.\d{3} \[.*\] +\d: \d\.\d{3}", result.stdout, re.M)
    assert not re.search(r"^0 ", result.stdout, re.M) and "(CLS), 2 pictures" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "2 of 2 samples" in result.stderr and "wrote run: seen" in result.stderr


def test_a_tower_without_cls_is_averaged_over_which_is_said(place):
    ZOO["pix2struct"].build(place / "flat")
    words = ("dataflow", "flat", "--data", "data", "--samples", 2)
    result = place.run(*words, "--out", "seen")
    assert result.exit_code == 0, result.stderr
    assert "no CLS token: contributions are averaged over all tokens" in result.stderr
    assert "(mean over tokens)" in result.stdout
    assert load_run(place / "seen").before.token is None
    quiet = place.run(*words, "--token", "mean", "--out", "asked")
    assert quiet.exit_code == 0 and "no CLS token" not in quiet.stderr
    assert "has no CLS token" in place.refuses(2, *words, "--token", "cls", "--out", "refused")


@pytest.mark.parametrize(
    ("token", "said"),
    [("first", "'first' is no token"), ("1.5", "'1.5' is no token"), ("17", "no token 17"), ("٣", "is no token")],
)
def test_tokens_that_are_none(place, token, said):
    assert said in place.refuses(2, *DATAFLOW, "--samples", 2, "--token", token, "--out", "seen")
