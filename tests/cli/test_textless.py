"""headprune score with scorers that need no text: end to end, resumed, and refused where captions are compared."""

from __future__ import annotations

import numpy as np
import pytest

from headprune import load_patch
from headprune.runs import RunStore

WORDS = ("score", "model", "--data", "data", "--samples", 2, "--max-new-tokens", 5)
LOGIT = (*WORDS, "--scorer", "logit", "--edit", "ablate")
GRADIENT = (*WORDS, "--scorer", "gradient")
LOCAL = """
import headprune

class Signed(headprune.GradientScorer):
    def score(self, gradients):
        return -gradients

class Worst(headprune.LogitScorer):
    def score(self, rows):
        return (rows.changed - rows.unchanged).abs().flatten(1).amax(1)
    higher_is_better = False
"""


@pytest.mark.parametrize("more", [("--decode-at", "last"), ("--scorer-option", "measure=likelihood")])
def test_logit_from_the_command_to_a_pruned_model(place, more):
    planned = place.document(*LOGIT, *more, "--dry-run")
    document = place.document(*LOGIT, *more, "--out", "run")
    references = 1 if "last" in more else 3
    assert (planned["decodes"], planned["forced"]) == (2 * references, 2 * (12 + references))
    assert document["decoded"] == planned["decodes"] + planned["forced"]
    patch = load_patch(place / "run/patch.safetensors")
    measure = "likelihood" if "measure=likelihood" in more else "kl"
    assert patch.info.scorer == {"name": "logit", "measure": measure}
    assert (patch.info.edit, patch.info.comparable) == ({"name": "ablate"}, "across-layers")
    assert np.isfinite(patch.importance).all() and np.ptp(patch.importance) > 0
    with RunStore.open(place / "run", create=False) as store:
        (scorer,) = store.scorers()
        kept = [store.scores(context, scorer) for context in store.contexts()]
    assert sorted(map(len, kept))[-1] == planned["forced"]
    again = place.document(*LOGIT, *more, "--out", "run")
    assert (again["decoded"], again["reused"]) == (0, document["decoded"])
    pruned = place.document(
        "apply", "model", "run/patch.safetensors", "--scale", "none", "--prune", "fraction=0.25", "--out", "pruned"
    )
    lowest = np.argsort(patch.importance, axis=None, kind="stable")[:3]
    assert pruned["pruned"] == sorted([int(head) // 4, int(head) % 4] for head in lowest)


def test_gradient_end_to_end(place):
    planned = place.document(*GRADIENT, "--dry-run")
    assert (planned["decodes"], planned["tower_passes"], planned["layer_replays"], planned["forced"]) == (2, 4, 0, 2)
    document = place.document(*GRADIENT, "--out", "run")
    info = load_patch(place / "run/patch.safetensors").info
    assert (info.edit, info.decode_at, info.schedule) == ({"name": "derivative"}, "last", "oneshot")
    shown = place.run("patch", "show", "run/patch.safetensors")
    assert "derivative, decoded at last" in shown.stdout
    again = place.document(*GRADIENT, "--out", "run")
    assert (again["decoded"], again["reused"]) == (0, 2 + 2 * 12)
    assert again["layers"] == document["layers"]
    place.document(*LOGIT, "--decode-at", "last", "--out", "other")
    compared = place.document("patch", "diff", "run/patch.safetensors", "other/patch.safetensors")
    assert -1 <= compared["rank_correlation_all"] <= 1


def test_local_files(place):
    (place / "mine.py").write_text(LOCAL)
    place.document(*GRADIENT, "--out", "shipped")
    place.document(*WORDS, "--scorer", "./mine.py:Signed", "--out", "signed")
    shipped, signed = (load_patch(place / name / "patch.safetensors").importance for name in ("shipped", "signed"))
    assert (signed < 0).any() and (np.abs(signed) <= shipped + 1e-6).all()
    place.document(*WORDS, "--scorer", "./mine.py:Worst", "--edit", "ablate", "--out", "worst")
    # Lower is better there: what changes most matters most.
    assert (load_patch(place / "worst/patch.safetensors").importance >= 0).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [(("--edit", "ablate"), "--edit ablate"), (("--schedule", "sequential"), "--schedule sequential")],
)
def test_gradients_are_taken_of_no_edit(place, words, told):
    said = place.refuses(2, *GRADIENT, *words, "--out", "run")
    assert "plays no part" in said and f"leave {told} out" in said
    place.refuses(2, *GRADIENT, *words, "--dry-run")


@pytest.mark.parametrize(("name", "needs"), [("logit", "logits"), ("gradient", "gradients")])
def test_evaluate_compares_captions(place, name, needs):
    words = ("evaluate", "model", "--data", "data", "--scorer", name)
    said = place.refuses(2, *words)
    assert f"scorer '{name}' needs {needs}; captions are compared here" in said and "cider" in said


def test_a_measure_that_is_not_there(place):
    assert "option 'measure' of Logit" in place.refuses(2, *LOGIT, "--scorer-option", "measure=js", "--out", "run")
