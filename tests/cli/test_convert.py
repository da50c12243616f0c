"""headprune convert where LAVIS is not: tests/plugins/lavis has it."""

from __future__ import annotations


def test_a_transformers_model_is_one_already(place):
    for model in ("demo", "model"):
        said = place.refuses(1, "convert", model, "--to", "out")
        assert f"{model} is a transformers model, and has no other form" in said
        assert "lavis:ARCH/TYPE" in said


def test_a_place_that_holds_something_is_refused_before_anything_is_loaded(place):
    assert "data is not empty" in place.refuses(2, "convert", "no-such-model", "--to", "data")


def test_a_model_that_is_not_there(place):
    assert "/no/model is not there" in place.refuses(1, "convert", "/no/model", "--to", "out")
