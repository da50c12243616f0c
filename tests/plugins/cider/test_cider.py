"""CIDEr-D: against a slow, direct version, against pycocoevalcap, and against published-style corpus values."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from headprune_cider.scorer import Cider, FewDocumentsWarning

from headprune import DataError, ScoreItem, Scorer, UsageError
from headprune.testing import ScorerContract

few = pytest.mark.filterwarnings("ignore::headprune_cider.scorer.FewDocumentsWarning")


@few
class TestContract(ScorerContract):
    @pytest.fixture
    def scorer(self) -> Scorer:
        return Cider()


Corpus = list[tuple[str, list[str]]]


@pytest.fixture
def corpus() -> Corpus:
    """Captions and references of a small vocabulary, so that n-grams of every order meet, with odd ones at the end."""
    words = random.Random(0)
    vocabulary = ["a", "the", "dog", "man", "red", "on", "bus", "runs", "sits"]

    def sentence() -> str:
        return " ".join(words.choices(vocabulary, k=words.randint(1, 14)))

    images = [(sentence(), [sentence() for _ in range(words.randint(1, 6))]) for _ in range(16)]
    same = "a man sits on the red bus"
    return [
        *images,
        ("", [same]),
        (same, [same]),
        ("dog", ["dog", ""]),
        ("never seen before words", [same, sentence()]),
    ]


def slow_cider_d(caption: str, references: Sequence[str], corpus: Corpus) -> float:
    """The definition, written out: nothing prepared, nothing remembered."""

    def grams(text: str, n: int) -> list[tuple[str, ...]]:
        words = text.split()
        return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    def weights(text: str, n: int) -> dict[tuple[str, ...], float]:
        found = grams(text, n)
        documents = {
            gram: max(1, sum(any(gram in grams(one, n) for one in refs) for _, refs in corpus)) for gram in found
        }
        return {gram: found.count(gram) * math.log(len(corpus) / documents[gram]) for gram in found}

    total = 0.0
    for reference in references:
        length = len(grams(caption, 2)) - len(grams(reference, 2))
        for n in (1, 2, 3, 4):
            ours, theirs = weights(caption, n), weights(reference, n)
            dot = sum(min(ours[gram], theirs[gram]) * theirs[gram] for gram in ours.keys() & theirs.keys())
            norms = math.hypot(*ours.values()) * math.hypot(*theirs.values())
            total += (dot / norms if norms else 0.0) * math.exp(-(length**2) / (2 * 6.0**2)) / 4
    return 10 * total / len(references)


def fitted(corpus: Corpus, **options: object) -> Cider:
    scorer = Cider.configured({"tokenizer": "none", **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewDocumentsWarning)
        scorer.fit([references for _, references in corpus])
    return scorer


def scores(scorer: Cider, corpus: Corpus) -> list[float]:
    return scorer.score([ScoreItem(caption, gold=references) for caption, references in corpus])


def test_equals_the_definition(corpus: Corpus) -> None:
    found = scores(fitted(corpus), corpus)
    assert found == pytest.approx([slow_cider_d(*image, corpus) for image in corpus], abs=1e-12)
    assert max(found) > 1.0


def test_equals_pycocoevalcap(corpus: Corpus) -> None:
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason="pycocoevalcap is not installed")
    numbered = dict(enumerate(corpus))
    gold = {number: references for number, (_, references) in numbered.items()}
    _, wanted = cider.Cider().compute_score(gold, {number: [caption] for number, (caption, _) in numbered.items()})
    assert scores(fitted(corpus), corpus) == pytest.approx(wanted.tolist(), abs=1e-12)


def test_a_copy_of_the_only_reference_scores_ten(corpus: Corpus) -> None:
    same = corpus[-3]
    assert same[0] == same[1][0]
    assert scores(fitted(corpus), [same]) == pytest.approx([10.0])


@few
@pytest.mark.parametrize(("tokenizer", "within"), [("ptb", 1e-3), ("ptb-java", 1e-9)])
def test_corpus_value_of_coco(
    coco: dict[str, Any], tokenizer: str, within: float, request: pytest.FixtureRequest
) -> None:
    if tokenizer == "ptb-java":
        request.getfixturevalue("java")
    images = coco["images"]
    scorer = Cider.configured({"tokenizer": tokenizer})
    scorer.fit([image["references"] for image in images])
    found = scorer.score([ScoreItem(image["candidate"], gold=image["references"]) for image in images])
    assert sum(found) / len(found) == pytest.approx(coco["corpus"]["CIDEr"], abs=within)


def test_frequencies_come_from_all_gold_and_not_from_the_batch(corpus: Corpus) -> None:
    everything = scores(fitted(corpus), corpus)
    assert scores(fitted(corpus), corpus[:5]) == everything[:5]
    assert scores(fitted(corpus[:8]), corpus[:5]) != pytest.approx(everything[:5], abs=1e-3)


def test_a_second_fit_replaces_the_first(corpus: Corpus) -> None:
    scorer = fitted(corpus[:8])
    scores(scorer, corpus)
    with pytest.warns(FewDocumentsWarning):
        scorer.fit([references for _, references in corpus])
    assert scores(scorer, corpus) == scores(fitted(corpus), corpus)


def test_scoring_before_fit() -> None:
    with pytest.raises(UsageError, match="`fit`"):
        Cider().score([ScoreItem("a dog", gold=["a dog"])])


@pytest.mark.parametrize("gold", [[["a dog", "the dog"]], [["a dog"], []]], ids=["one", "one-and-none"])
def test_frequencies_of_a_single_image_are_refused(gold: list[list[str]]) -> None:
    with pytest.raises(UsageError, match="single image"):
        Cider().fit(gold)


def test_a_dataset_without_gold_is_refused() -> None:
    with pytest.raises(UsageError, match="has none"):
        Cider().fit([[], []])


def test_an_item_without_gold_is_refused(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="'picture 7' has no gold"):
        fitted(corpus).score([ScoreItem("a dog", sample="picture 7")])


@pytest.mark.parametrize(("images", "warned"), [(499, True), (500, False)])
def test_few_images_are_warned_about(images: int, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Cider().fit([["a dog", f"dog {number}"] for number in range(images)])
    assert [warning.category for warning in caught] == [FewDocumentsWarning] * warned


@few
def test_frequencies_from_a_file(corpus: Corpus, tmp_path: Path) -> None:
    first = fitted(corpus)
    first.save_frequencies(tmp_path / "df.json")
    second = Cider.configured({"tokenizer": "none", "df": str(tmp_path / "df.json")})
    assert scores(second, corpus) == scores(first, corpus)
    second.fit([["something else"], ["altogether"]])
    assert scores(second, corpus) == scores(first, corpus)
    described = {scorer.describe()["df"]["source"]: scorer.describe()["df"] for scorer in (first, second)}
    assert set(described) == {"gold captions of the dataset", "df.json"}
    assert {(df["documents"], df["sha256"]) for df in described.values()} == {
        (len(corpus), first.describe()["df"]["sha256"])
    }


def test_nothing_to_save_before_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no document frequencies"):
        Cider().save_frequencies(tmp_path / "df.json")


@few
def test_describe_tells_frequencies_apart(corpus: Corpus) -> None:
    assert fitted(corpus).describe()["df"] == fitted(corpus[::-1]).describe()["df"]
    assert fitted(corpus).describe()["df"]["sha256"] != fitted(corpus[:-1]).describe()["df"]["sha256"]


WRONG = {
    "not JSON": "{",
    "a list": [1],
    "no documents": {"ngrams": {"a": 1}},
    "no ngrams": {"documents": 5},
    "documents of text": {"documents": "5", "ngrams": {}},
    "more than all": {"documents": 5, "ngrams": {"a": 6}},
    "count of nought": {"documents": 5, "ngrams": {"a": 0}},
    "count of a fraction": {"documents": 5, "ngrams": {"a": 1.5}},
    "five words": {"documents": 5, "ngrams": {"a b c d e": 1}},
    "another tokenizer": {"documents": 5, "tokenizer": "spacy", "ngrams": {"a": 1}},
}


@few
@pytest.mark.parametrize("held", WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused(held: object, tmp_path: Path) -> None:
    file = tmp_path / "df.json"
    file.write_text(held if isinstance(held, str) else json.dumps(held))
    with pytest.raises(DataError, match=r"df\.json"):
        Cider.configured({"df": str(file)})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        Cider.configured({"df": str(tmp_path / "gone.json")})


def test_a_file_of_one_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "df.json").write_text('{"documents": 1, "ngrams": {"a": 1}}')
    with pytest.raises(UsageError, match="single image"):
        Cider.configured({"df": str(tmp_path / "df.json")})
