"""`headprune.score` and `headprune.evaluate`: the commands without files."""

from __future__ import annotations

import numpy as np
import pytest

import headprune
from headprune.errors import PatchError, UsageError
from tests.support.patches import patch_for
from tests.support.samples import dataset

SCORING = {"samples": 2, "layers": "-1", "scorer": "rouge", "edit": "ablate", "generation": {"max_new_tokens": 5}}


@pytest.fixture
def model(tiny_folders):
    return headprune.load_model(str(tiny_folders["blip2-t5"]))


def test_score_then_evaluate_on_the_rest(model, pictures):
    data = dataset(pictures)
    result = headprune.score(model, data, **SCORING)
    info = result.patch.info
    assert (result.layers, info.dataset, info.scorer["name"]) == ((2,), "noise", "rouge")
    assert info.sample_ids == tuple(sample.id for sample in headprune.draw(data, 2, 0).samples)
    assert info.generation["max_new_tokens"] == 5
    table = headprune.evaluate(model, data, result.patch, prune="count=1", scorer="rouge", random=2)
    assert table.samples == 3 and len(table.control.scores) == 2
    only = next(sample.id for sample in data.samples if sample.id not in info.sample_ids)
    others = [sample.id for sample in data.samples if sample.id not in info.sample_ids and sample.id != only]
    assert headprune.evaluate(model, data, result.patch, exclude=others, scorer="rouge", random=0).samples == 1


def test_evaluate_without_a_patch(model, pictures):
    table = headprune.evaluate(model, dataset(pictures), scorer="rouge", convergence=True, convergence_scorer="exact")
    assert table.samples == len(pictures) and table.after is None
    assert 0 <= table.before.convergence_layer.mean <= 2


def test_a_patch_that_does_not_fit(model, pictures):
    patch = patch_for(model, np.zeros((3, 4)))
    model.sites[0].output.weight.data[0, 0] += 1
    with pytest.raises(PatchError, match="other weights"):
        headprune.evaluate(model, dataset(pictures), patch, scorer="rouge")


@pytest.mark.parametrize("wrong", [{"sample": 2}, {"samples": "two"}, {"layers": "9"}])
def test_settings_are_checked(model, pictures, wrong):
    with pytest.raises(UsageError):
        headprune.score(model, dataset(pictures), **{**SCORING, **wrong})
    with pytest.raises(UsageError):
        headprune.evaluate(model, dataset(pictures), scorer="rouge", tau=2)
