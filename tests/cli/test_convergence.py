"""headprune convergence: its options, what it writes, and that it says what the library says."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image

import headprune
from headprune.perspectives.run import load_run

CONVERGENCE = ("convergence", "model", "--data", "data", "--max-new-tokens", 5, "--convergence-scorer", "exact")
OVERLAP = ("--convergence-scorer", "./overlap.py:Overlap")


def library(samples: int, **evaluate: object):
    adapter, dataset = headprune.load_model("model"), headprune.open_dataset("data")
    settings = {"generation": {"max_new_tokens": 5}, "evaluate": {"convergence_scorer": "exact", **evaluate}}
    return headprune.convergence(adapter, dataset, samples=samples, **settings)


def test_it_writes_what_the_library_finds(place):
    document = place.document(*CONVERGENCE, "--samples", 4, "--scorer", "bleu", "--out", "seen")
    run, found = load_run(place / "seen"), library(4, scorer="bleu")
    assert run.info.scorer == document["scorer"] == "bleu" and run.info.layers == (0, 1, 2)
    assert run.before.captions == found.captions and (run.before.scores == found.scores).all()
    assert (run.before.convergence_layers == found.convergence_layers).all()
    told = document["before"]
    assert told["layers"] == [0, 1, 2] and told["scores"] == found.scores.tolist()
    assert [one["mean"] for one in told["curve"]] == pytest.approx(found.scores.mean(axis=0))
    assert told["plateau"]["layer"] == found.plateau and told["tau"] is None and told["tol"] == 0.02
    assert told["convergence_layers"] == found.convergence_layers.tolist()
    assert told["convergence_layer"]["mean"] == np.mean(told["convergence_layers"])
    assert Image.open(place / "seen" / "convergence.png").size == (800, 700)


def test_its_options(place):
    words = (*OVERLAP, "--convergence-option", "power=0.5", "--tau", 0.3, "--tol", 0.4, "--scorer", "bleu")
    told = place.document(*CONVERGENCE, *words, "--samples", 4, "--out", "seen")["before"]
    chosen = {"convergence_scorer": "./overlap.py:Overlap", "convergence_options": {"power": 0.5}, "tau": 0.3}
    found = library(4, scorer="bleu", tol=0.4, **chosen)
    assert told["convergence_layers"] == found.convergence_layers.tolist()
    assert (told["tau"], told["tol"], told["plateau"]["layer"]) == (0.3, 0.4, found.plateau)
    assert told["scores"] == found.scores.tolist()
    again = place.document("convergence", "--recipe", "seen/recipe.toml", *OVERLAP, "--out", "again")
    assert again["before"] == told
    plain = place.document(*CONVERGENCE, "--samples", 4, "--out", "plain")
    assert plain["scorer"] == "cider"
    plain = plain["before"]
    assert plain["scores"] != told["scores"] and plain["convergence_layers"] != told["convergence_layers"]


def test_some_layers_with_the_last_among_them(place):
    told = place.document(*CONVERGENCE, "--samples", 3, "--layers", "0,-1", "--out", "seen")["before"]
    assert told["layers"] == [0, 2] and set(told["convergence_layers"]) <= {0.0, 2.0}
    said = place.refuses(2, *CONVERGENCE, "--samples", 3, "--layers", "0-1", "--out", "refused")
    assert "last layer" in said and "add 2 to --layers" in said


def test_a_patch_gives_before_and_after(scored):
    words = ("--samples", 2, "--patch", "run/patch.safetensors", "--prune", "count=2", "--out", "seen")
    document = scored.document(*CONVERGENCE, *words)
    plain = scored.document(*CONVERGENCE, "--samples", 2, "--out", "plain")
    assert document["before"] == plain["before"] != document["after"]
    run = load_run(scored / "seen")
    assert document["after"]["captions"] == [list(row) for row in run.after.captions]


def test_a_table_for_people(place):
    result = place.run(*CONVERGENCE, "--samples", 4, "--out", "seen")
    assert result.exit_code == 0, result.stderr
    found = load_run(place / "seen").before
    assert found.plateau is None and "last score: none, the last score is 0" in result.stdout
    assert f"convergence layer: {found.convergence_layer.mean:.2f} [" in result.stdout
    counts = [int(count) for count in re.findall(r"^\d +[\d.]+ \[[\d., ]+\] +(\d+)$", result.stdout, re.M)]
    assert len(counts) == 3 and sum(counts) == 4
    result = place.run(*CONVERGENCE, "--samples", 4, "--scorer", "bleu", "--out", "other")
    found = load_run(place / "other").before
    assert f"plateau, within 2 % of the last score: layer {found.plateau} [" in result.stdout


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, ("--tau", "1.5"), "tau"),
        (2, ("--tol", "0"), "tol"),
        (3, ("--convergence-scorer", "nosuch"), "nosuch"),
        (2, ("--scorer", "logit"), "needs logits"),
        (2, ("--layers", "5"), "layers '5'"),
    ],
)
def test_refusals_leave_nothing(place, code, words, said):
    assert said in place.refuses(code, *CONVERGENCE, "--samples", 2, *words, "--out", "seen")
