"""`clipscore` and `refclipscore`: the contract, CLIP asked one pair at a time, identities, and what is encoded when."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from headprune_clip.scorers import ClipScore
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel, CLIPProcessor

from headprune import Notice, PictureError, ScoreItem, Scorer, UsageError
from headprune.testing import ScorerContract

Make = Callable[..., ClipScore]
CAPTIONS = [
    "a brown dog runs over the wet sand",
    "two men play chess",
    "soup",
    "",
    "a red bus",
    "собака",
    "A  red\nbus!",
]
GOLD = ["a dog is running on a beach", "a red bus waits here"]
ROUNDING = 2e-6
"""A row of a matrix product differs in its last bits with how many there are: by up to 6e-7 in a score, measured."""


@pytest.mark.filterwarnings("ignore::headprune.errors.Notice")
class TestClipScoreContract(ScorerContract):
    tolerance = ROUNDING

    @pytest.fixture
    def scorer(self, make: Make) -> Scorer:
        return make()


@pytest.mark.filterwarnings("ignore::headprune.errors.Notice")
class TestRefClipScoreContract(ScorerContract):
    tolerance = ROUNDING

    @pytest.fixture
    def scorer(self, make_ref: Make) -> Scorer:
        return make_ref()


@pytest.fixture
def items(pictures: list[Image.Image]) -> list[ScoreItem]:
    """Every caption for every picture."""
    loads = [lambda picture=picture: picture for picture in pictures]
    return [ScoreItem(caption, gold=GOLD, picture=load) for load in loads for caption in CAPTIONS]


@pytest.fixture
def one_by_one(tiny_clip: Path) -> Callable[[ScoreItem], tuple[float, float]]:
    """CLIP as its documentation has it used, a pair at a time: the cosine with the picture, and the best with gold."""
    model = CLIPModel.from_pretrained(tiny_clip).eval()
    words = AutoTokenizer.from_pretrained(tiny_clip)
    processor = CLIPProcessor(CLIPImageProcessorPil.from_pretrained(tiny_clip), words)

    def asked(item: ScoreItem) -> tuple[float, float]:
        text = "A photo depicts " + item.caption
        with torch.no_grad():
            pair = processor(text=[text], images=[item.picture()], return_tensors="pt", padding=True)
            logit = model(**pair).logits_per_image / model.logit_scale.exp()
            said = model.get_text_features(**words([text], return_tensors="pt")).pooler_output
            by_gold = [
                torch.cosine_similarity(
                    said,
                    model.get_text_features(**words(["A photo depicts " + gold], return_tensors="pt")).pooler_output,
                )
                for gold in item.gold
            ]
        return float(logit), max(map(float, by_gold))

    return asked


def test_clipscore_is_clip_one_by_one(make: Make, items: list[ScoreItem], one_by_one) -> None:
    cosines = [one_by_one(item)[0] for item in items]
    wanted = [2.5 * max(cosine, 0.0) for cosine in cosines]
    assert min(cosines) < -0.1 and max(cosines) > 0.1 and len({round(score, 4) for score in wanted}) > 12
    assert make().score(items) == pytest.approx(wanted, abs=ROUNDING)
    assert make(batch_size=3).score(items) == pytest.approx(wanted, abs=ROUNDING)
    assert make(w=1).score(items) == pytest.approx([max(cosine, 0.0) for cosine in cosines], abs=ROUNDING)


def test_refclipscore_is_clip_one_by_one(make_ref: Make, items: list[ScoreItem], one_by_one) -> None:
    wanted = []
    for item in items:
        by_picture, by_gold = one_by_one(item)
        both = 2.5 * max(by_picture, 0.0), max(by_gold, 0.0)
        wanted.append(2 / (1 / both[0] + 1 / both[1]) if min(both) > 0 else 0.0)
    assert len({round(score, 4) for score in wanted}) > 12
    assert make_ref().score(items) == pytest.approx(wanted, abs=ROUNDING)


def test_a_caption_that_is_gold_has_a_cosine_of_one_with_it(make: Make, make_ref: Make, items: list[ScoreItem]) -> None:
    said = [ScoreItem(item.caption, gold=[*GOLD, item.caption], picture=item.picture) for item in items]
    wanted = [2 * score / (score + 1) for score in make().score(said)]
    assert make_ref().score(said) == pytest.approx(wanted, abs=ROUNDING)


def changed(folder: Path, to: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    """A copy of the model with other weights."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return str(to)


def test_embeddings_on_one_line_score_w_or_nothing(
    make: Make, make_ref: Make, tiny_clip: Path, tmp_path: Path, items: list[ScoreItem]
) -> None:
    def flatten(weights: dict[str, torch.Tensor]) -> None:
        # Both projections of rank one, to the same vector: every embedding is it, or its opposite. By these rows there
        # are pictures and captions of either kind.
        line = torch.arange(1.0, 25.0)[:, None]
        for name, row in {"visual_projection.weight": 1, "text_projection.weight": 5}.items():
            weights[name] = line @ weights[name][row : row + 1]

    flat = changed(tiny_clip, tmp_path / "flat", flatten)
    scores, by_gold = make(model=flat).score(items), make_ref(model=flat).score(items)
    assert {round(score, 5) for score in scores} == {0.0, 2.5}
    # The harmonic mean of 2.5 and 1; of 2.5 and nothing, for a caption that lies opposite to all gold captions.
    pairs = {(round(score, 5), round(other, 5)) for score, other in zip(scores, by_gold, strict=True)}
    assert pairs == {(0.0, 0.0), (2.5, 0.0), (2.5, round(5 / 3.5, 5))}


def test_pictures_turned_around_score_what_was_below_nought(make: Make, tiny_clip: Path, tmp_path: Path, items) -> None:
    def turn(weights: dict[str, torch.Tensor]) -> None:
        weights["visual_projection.weight"] *= -3.0

    scores, turned = make().score(items), make(model=changed(tiny_clip, tmp_path / "turned", turn)).score(items)
    assert all(min(pair) == 0.0 < max(pair) for pair in zip(scores, turned, strict=True))


def test_prefix(make: Make, items: list[ScoreItem]) -> None:
    whole = [ScoreItem(f"A photo depicts {item.caption}", picture=item.picture) for item in items]
    assert make(prefix="").score(whole) == pytest.approx(make().score(items), abs=ROUNDING)
    assert make(prefix="").score(items) != pytest.approx(make().score(items), abs=1e-3)


def test_each_picture_is_opened_once_and_each_text_read_once(make_ref: Make, pictures: list[Image.Image]) -> None:
    opened: list[int] = []
    loads = [lambda number=number: opened.append(number) or pictures[number] for number in range(len(pictures))]
    items = [ScoreItem(caption, gold=GOLD, picture=load) for load in loads for caption in CAPTIONS]
    scorer = make_ref(batch_size=2)
    read: list[int] = []
    text_model = scorer._clip._model.text_model
    text_model.register_forward_pre_hook(lambda _, __, given: read.append(len(given["input_ids"])), with_kwargs=True)
    scores = scorer.score(items)
    assert opened == [0, 1, 2, 3, 4] and sum(read) == len({*CAPTIONS, *GOLD}) and max(read) == 2
    assert scorer.score(items[::-1])[::-1] == scores
    assert opened == [0, 1, 2, 3, 4] and sum(read) == len({*CAPTIONS, *GOLD})


def test_what_is_forgotten_is_encoded_again(make: Make, items: list[ScoreItem], monkeypatch) -> None:
    monkeypatch.setattr("headprune_clip.scorers._REMEMBERED", 0)
    scorer = make()
    assert scorer.score(items[:9]) + scorer.score(items[9:]) == pytest.approx(make().score(items), abs=ROUNDING)


def test_a_long_caption_is_scored_by_its_beginning_and_that_is_said_once(make: Make, items: list[ScoreItem]) -> None:
    # 77 tokens hold a beginning, an end, 13 letters of the prefix and 62 words of a letter.
    fits, long = (ScoreItem("a " * words, picture=items[0].picture) for words in (62, 63))
    scorer = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = scorer.score([fits])
    with pytest.warns(Notice, match="tiny-clip reads 77 tokens") as told:
        assert scorer.score([long]) == pytest.approx(wanted, abs=ROUNDING)
        scorer.score([ScoreItem("b " * 400, picture=items[0].picture)])
    assert len(told) == 1


def test_a_caption_cannot_end_itself(make: Make, items: list[ScoreItem]) -> None:
    load = items[-1].picture
    captions = ["a red bus", "a red bus<|endoftext|> and soup", "a red bus<|endoftext|> and a dog"]
    scores = make().score([ScoreItem(caption, picture=load) for caption in captions])
    assert all(abs(one - other) > 1e-3 for one, other in [scores[:2], scores[1:], scores[::2]])


def test_pictures_and_gold_are_needed(make: Make, make_ref: Make, items: list[ScoreItem]) -> None:
    with pytest.raises(UsageError, match="no picture"):
        make().score([*items, ScoreItem("a dog", sample="s1")])
    with pytest.raises(UsageError, match="'s1' has no gold"):
        make_ref().score([*items, ScoreItem("a dog", picture=items[0].picture, sample="s1")])


def test_a_picture_that_does_not_open_keeps_its_own_error(make: Make) -> None:
    def load() -> Image.Image:
        raise PictureError("cat.jpg is damaged", "fetch it again")

    with pytest.raises(PictureError, match=r"cat\.jpg"):
        make().score([ScoreItem("a cat", picture=load)])
