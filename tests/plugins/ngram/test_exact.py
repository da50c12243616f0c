"""`exact`: the contract, and what counts as the same."""

from __future__ import annotations

import pytest
from headprune_ngram.exact import Exact

from headprune import ScoreItem, Scorer, UsageError
from headprune.testing import ScorerContract


class TestExactContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Exact()


class TestExactReferenceContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Exact.configured({"against": "reference"})


def test_case_and_space_do_not_count_and_words_do() -> None:
    gold = ["a  Dog\n", "STRASSE"]
    captions = ["A dog", " a dog ", "straße", "a dog.", "dog", ""]
    items = [ScoreItem(caption, "a cat", gold, sample="s") for caption in captions]
    assert Exact().score(items) == [1, 1, 1, 0, 0, 0]


def test_the_reference_is_compared_where_it_is_asked_for() -> None:
    scorer = Exact.configured({"against": "reference"})
    items = [ScoreItem("a dog", "A dog", ["a cat"]), ScoreItem("a cat", "a dog", ["a cat"])]
    assert scorer.score(items) == [1, 0] and not scorer.needs
    assert Exact().needs == {"gold"}
    with pytest.raises(UsageError):
        Exact.configured({"against": "words"})
