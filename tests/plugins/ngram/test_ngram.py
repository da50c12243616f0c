"""`bleu` and `rouge`: the contract, values worked out by hand, and the guards."""

from __future__ import annotations

import math

import pytest
from headprune_ngram.bleu import Bleu
from headprune_ngram.rouge import NoWordsWarning, Rouge
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu

from headprune import ScoreItem, Scorer, UsageError
from headprune.testing import ScorerContract

GOLD = ["A brown dog runs over the wet sand.", "A dog is running on a beach."]
CAPTIONS = ["a dog runs on a beach", "dog", "", "the brown dog runs over wet sand", "Two men play chess."]


class TestBleuContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Bleu()


@pytest.mark.filterwarnings("ignore::headprune_ngram.rouge.NoWordsWarning")
class TestRougeContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Rouge()


class TestRougeUnicodeContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Rouge.configured({"tokenizer": "unicode"})


def score(scorer: Scorer, caption: str, gold: list[str]) -> float:
    return scorer.score([ScoreItem(caption, gold=gold, sample="s1")])[0]


def test_bleu_by_hand() -> None:
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; as long as the gold caption.
    wanted = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert score(Bleu(), "a red bus waits quietly", ["a red bus waits here"]) == pytest.approx(wanted)
    # 3 words where 5 were wanted: no quadruple exists and none counts; brevity penalty exp(1 - 5/3).
    assert score(Bleu(), "a red bus", ["a red bus waits here"]) == pytest.approx(math.exp(1 - 5 / 3))


def test_bleu_is_sacrebleus() -> None:
    for caption in CAPTIONS:
        wanted = sentence_bleu(caption, GOLD, lowercase=True, use_effective_order=True).score / 100
        assert score(Bleu(), caption, GOLD) == pytest.approx(wanted, abs=1e-12)


def test_bleu_settings_reach_sacrebleu() -> None:
    assert score(Bleu.configured({"lowercase": "false"}), "A DOG", ["a dog"]) == 0.0
    assert score(Bleu(), "A DOG", ["a dog"]) == 1.0
    assert score(Bleu.configured({"smooth_method": "none"}), "a dog sat over there", ["a dog is here again"]) == 0.0


def test_rouge_by_hand() -> None:
    # "a red waits": 3 of 4 words said, of 5 wanted.
    wanted = 2 * (3 / 4) * (3 / 5) / (3 / 4 + 3 / 5)
    assert score(Rouge(), "A red car waits!", ["a red bus waits here", "nothing alike"]) == pytest.approx(wanted)


def test_rouge_is_rouge_scores_best_gold_caption() -> None:
    theirs = RougeScorer(["rougeL"])
    for caption in CAPTIONS:
        wanted = max(theirs.score(gold, caption)["rougeL"].fmeasure for gold in GOLD)
        assert score(Rouge(), caption, GOLD) == pytest.approx(wanted, abs=1e-12)


def test_rouge_stems_when_asked() -> None:
    assert score(Rouge.configured({"use_stemmer": "true"}), "dogs running", ["dog runs"]) == 1.0
    assert score(Rouge(), "dogs running", ["dog runs"]) == 0.0


def test_rouge_says_when_it_knows_no_word() -> None:
    gold = ["собака бежит по пляжу"]
    with pytest.warns(NoWordsWarning, match="'s1'.*tokenizer=unicode"):
        assert score(Rouge(), gold[0], gold) == 0.0
    assert score(Rouge.configured({"tokenizer": "unicode"}), "собака бежит", gold) == pytest.approx(2 / 3)


def test_rouge_has_no_stemmer_for_other_alphabets() -> None:
    with pytest.raises(UsageError, match="use_stemmer"):
        Rouge.configured({"tokenizer": "unicode", "use_stemmer": "true"})


@pytest.mark.parametrize("scorer", [Bleu(), Rouge()], ids=["bleu", "rouge"])
class TestBoth:
    def test_a_copy_scores_exactly_one_and_nothing_nought(self, scorer: Scorer) -> None:
        assert score(scorer, GOLD[1], GOLD) == 1.0
        assert score(scorer, "", GOLD) == 0.0

    def test_gold_is_needed(self, scorer: Scorer) -> None:
        with pytest.raises(UsageError, match="'s1' has no gold"):
            score(scorer, "a dog", [])

    def test_describe_says_whose_version(self, scorer: Scorer) -> None:
        described = scorer.describe()
        assert described.items() >= scorer.settings.model_dump().items()
        assert all(described["versions"].values()) and len(described["versions"]) == 1
