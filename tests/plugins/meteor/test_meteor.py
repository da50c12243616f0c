"""`meteor`: the contract, nltk called by itself, values worked out by hand, and a WordNet that is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from headprune_meteor.scorer import Meteor
from nltk.stem.porter import PorterStemmer
from nltk.translate.meteor_score import single_meteor_score

from headprune import ScoreItem, Scorer, UsageError
from headprune.errors import ExitCode
from headprune.testing import ScorerContract

WITHOUT = {"synonyms": "false"}
GOLD = ["A brown dog runs over the wet sand.", "A dog is running on a beach; it's fast!"]
CAPTIONS = ["a dog runs on a shore", "dog", "", "running dogs", "the sand, the dog", "two men play chess", "!?"]
# The example of nltk's documentation, which gives 0.6944 for it.
PUBLISHED = (
    "It is a guide to action which ensures that the military always obeys the commands of the party",
    "It is a guide to action that ensures that the military will forever heed Party commands",
)


class TestMeteorContract(ScorerContract):
    @pytest.fixture
    def scorer(self, tiny_wordnet: Path) -> Scorer:
        return Meteor()


class TestMeteorWithoutSynonymsContract(ScorerContract):
    @pytest.fixture
    def scorer(self, no_wordnet: Path) -> Scorer:
        return Meteor.configured(WITHOUT)


def score(scorer: Scorer, caption: str, *gold: str) -> float:
    return scorer.score([ScoreItem(caption, gold=gold, sample="s1")])[0]


@pytest.mark.usefixtures("tiny_wordnet")
@pytest.mark.parametrize("options", [{}, {"alpha": 0.7, "beta": 1.5, "gamma": 0.3}], ids=["default", "other"])
def test_it_is_nltks_one_by_one(options: dict[str, float]) -> None:
    plain = str.maketrans("", "", ".;!?,")
    for caption in CAPTIONS:
        wanted = max(
            single_meteor_score(
                gold.replace("it's", "it s").translate(plain).split(),
                caption.translate(plain).split(),
                stemmer=PorterStemmer(),
                **options,
            )
            for gold in GOLD
        )
        assert score(Meteor.configured(dict(options)), caption, *GOLD) == wanted
        assert score(Meteor.configured(dict(options)), caption.upper(), *GOLD) == wanted


@pytest.mark.usefixtures("tiny_wordnet")
@pytest.mark.parametrize("options", [{}, WITHOUT], ids=["synonyms", "none"])
def test_nltks_published_example(options: dict[str, str]) -> None:
    # Its "always" and "forever" are no match in nltk, which looks their stems up.
    assert round(score(Meteor.configured(options), *PUBLISHED), 4) == 0.6944


@pytest.mark.usefixtures("tiny_wordnet")
def test_by_hand() -> None:
    # 4 of 5 words matched on either side, in one chunk: P = R = F = 4/5.
    found = score(Meteor(), "a red bus waits quietly", "a red bus waits here")
    assert found == pytest.approx(0.8 * (1 - 0.5 * (1 / 4) ** 3))
    # 2 of 2 words of 4, in two chunks: P = 1, R = 1/2.
    fmean = 1 * 0.5 / (0.9 * 1 + 0.1 * 0.5)
    assert score(Meteor(), "bus red", "a red bus waits") == pytest.approx(fmean * (1 - 0.5))
    assert score(Meteor(), "a red bus", "a red bus") == pytest.approx(1 - 0.5 / 3**3)
    assert score(Meteor(), "bus", "bus") == 0.5


@pytest.mark.usefixtures("tiny_wordnet")
def test_words_stems_and_synonyms_match() -> None:
    without = Meteor.configured(WITHOUT)
    whole, parted = 1 - 0.5 / 3**3, (2 / 3) * (1 - 0.5)
    assert score(Meteor(), "the auto stops", "the car stops") == pytest.approx(whole)
    assert score(without, "the auto stops", "the car stops") == pytest.approx(parted)
    assert score(without, "the cars stopped", "the car stops") == pytest.approx(whole)


def test_a_wordnet_that_is_not_there_is_one_line_with_the_next_step(no_wordnet: Path) -> None:
    with pytest.raises(UsageError, match="WordNet corpus") as caught:
        Meteor()
    assert "python -m nltk.downloader wordnet" in caught.value.hint and "synonyms=false" in caught.value.hint
    assert "\n" not in str(caught.value) and caught.value.exit_code == ExitCode.USAGE
    assert score(Meteor.configured(WITHOUT), "dog", "dogs") == 0.5


def test_half_a_wordnet_is_none(tiny_wordnet: Path) -> None:
    corpora = tiny_wordnet / "corpora"
    (corpora / "wordnet" / "lexnames").unlink()
    with pytest.raises(UsageError, match="cannot be found or read"):
        Meteor()
    shutil.rmtree(corpora / "wordnet")
    (corpora / "wordnet.zip").write_bytes(b"PK, and the connection was lost")
    with pytest.raises(UsageError, match="cannot be found or read"):
        Meteor()


@pytest.mark.usefixtures("no_wordnet")
def test_gold_is_needed() -> None:
    with pytest.raises(UsageError, match="'s1' has no gold"):
        score(Meteor.configured(WITHOUT), "a dog")


@pytest.mark.parametrize("options", [{"alpha": 1.1}, {"beta": -1}, {"beta": "inf"}, {"gamma": "nan"}, {"delta": 1}])
def test_impossible_settings(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Meteor.configured({**WITHOUT, **options})


@pytest.mark.usefixtures("tiny_wordnet")
def test_describe_says_whose_version() -> None:
    described = Meteor().describe()
    assert described.items() >= {"alpha": 0.9, "beta": 3.0, "gamma": 0.5, "synonyms": True}.items()
    assert described["versions"].keys() == {"nltk", "wordnet"} and described["versions"]["wordnet"] == "3.0"
    assert Meteor.configured(WITHOUT).describe()["versions"].keys() == {"nltk"}
