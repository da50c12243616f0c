"""`vqa-exact` and `vqa-f1`: the contract, VQA's rules, its accuracy, and SQuAD's F1."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
from headprune_vqa.answers import normalized
from headprune_vqa.scorers import VqaExact, VqaF1

from headprune import Notice, ScoreItem, Scorer, UsageError
from headprune.testing import ScorerContract


class TestVqaExactContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return VqaExact()


@pytest.mark.filterwarnings("ignore::headprune.errors.Notice")
class TestVqaAccuracyContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return VqaExact.configured({"agreement": "3"})


class TestVqaF1Contract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return VqaF1()


def score(scorer: Scorer, answer: str, *gold: str) -> float:
    return scorer.score([ScoreItem(answer, gold=gold, sample="s1")])[0]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("The red, white and a blue one!", "red white and blue 1"),
        ("red/white", "red white"),
        ("red / white", "red white"),
        ("t-shirt", "t shirt"),
        ("t-shirt - blue", "tshirt blue"),
        ("1,000", "1000"),
        ("1,000 red-white", "1000 redwhite"),
        ("3.5 cm.", "3.5 cm"),
        ("U.S.A.", "usa"),
        ("dont", "don't"),
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yalld've", "yalld've"),
        ("somebody's", "somebody's"),
        ("None", "0"),
        ("Ten\nof\tthem", "10 of them"),
        ("eleven", "eleven"),
        ("(yes)", "yes"),
        ("{no} [it] isnt", "no it isn't"),
        ("A", ""),
        ("", ""),
        ("Ели два", "ели два"),
    ],
)
def test_normalized_as_the_published_evaluation_does(answer: str, wanted: str) -> None:
    assert normalized(answer) == wanted
    assert normalized(wanted) == wanted


def slow_accuracy(answer: str, gold: list[str], agreement: int) -> float:
    """VQA's accuracy as its page tells it: every subset that leaves out one person, one after the other."""
    total = 0.0
    for left_out in range(len(gold)):
        others = gold[:left_out] + gold[left_out + 1 :]
        total += min(sum(other == answer for other in others) / agreement, 1.0)
    return total / len(gold)


@pytest.mark.parametrize("agreement", [2, 3, 7])
def test_accuracy_is_the_mean_over_leaving_one_out(agreement: int) -> None:
    scorer = VqaExact.configured({"agreement": agreement})
    for people in range(1, 12):
        for count in range(people + 1):
            gold = ["blue"] * count + ["red"] * (people - count)
            assert score(scorer, "blue", *gold) == pytest.approx(slow_accuracy("blue", gold, agreement), abs=1e-12)


def test_accuracy_of_ten_people() -> None:
    scorer = VqaExact.configured({"agreement": "3"})
    found = [score(scorer, "blue", *["blue"] * count, *["red"] * (10 - count)) for count in range(11)]
    assert found == pytest.approx([0, 0.3, 0.6, 0.9, *[1.0] * 7])


def test_any_gold_answer_will_do() -> None:
    gold = ["Two", "two dogs", "dont know", "dont know"]
    said = ["2", "the two dogs.", "don't know", "Don't  know!", "3", "dogs", ""]
    assert [score(VqaExact(), answer, *gold) for answer in said] == [1, 1, 1, 1, 0, 0, 0]


def test_too_few_gold_answers_are_told_once_and_before_anything_is_scored() -> None:
    scorer = VqaExact.configured({"agreement": "3"})
    with pytest.warns(Notice, match=r"2 of 3 samples have fewer than 4 gold answers.*agreement=3") as told:
        scorer.fit([["red"], ["red"] * 4, ["red", "blue"]])
        assert score(scorer, "red", *["red"] * 3) == pytest.approx(2 / 3)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer.fit([["red"] * 4, ["blue"] * 10])
        VqaExact().fit([["red"]])


def squad(answer: list[str], gold: list[str]) -> float:
    """Precision, recall and F1 of bags of words, a word at a time."""
    shared = sum(min(answer.count(word), gold.count(word)) for word in Counter(answer))
    if not shared:
        return 0.0
    precision, recall = shared / len(answer), shared / len(gold)
    return 2 * precision * recall / (precision + recall)


def test_f1_is_squads_with_the_best_gold_answer() -> None:
    gold = ["two red red dogs", "a cat"]
    for answer in ("red dogs", "Red, red, red", "2 dogs and cat", "cat", "horse", "the cat", "cat dogs"):
        wanted = max(squad(normalized(answer).split(), normalized(one).split()) for one in gold)
        assert score(VqaF1(), answer, *gold) == pytest.approx(wanted, abs=1e-12)
    assert score(VqaF1(), "red dogs", *gold) == pytest.approx(2 * 1 * (2 / 4) / (1 + 2 / 4))
    assert score(VqaF1(), "THE CAT.", *gold) == 1.0


def test_f1_of_nothing() -> None:
    assert score(VqaF1(), "", "a cat") == 0.0
    assert score(VqaF1(), "cat", "the") == 0.0
    assert score(VqaF1(), "a", "the") == 1.0


@pytest.mark.parametrize("scorer", [VqaExact(), VqaF1()], ids=["vqa-exact", "vqa-f1"])
def test_gold_answers_are_needed(scorer: Scorer) -> None:
    with pytest.raises(UsageError, match="'s1' has no gold answers"):
        score(scorer, "red")


@pytest.mark.parametrize("agreement", ["0", "-1", "many", "1.5"])
def test_impossible_agreement(agreement: str) -> None:
    with pytest.raises(UsageError, match="agreement"):
        VqaExact.configured({"agreement": agreement})
    assert VqaExact.configured({"agreement": "3"}).describe() == {"agreement": 3}
