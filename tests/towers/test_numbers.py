"""What is no number is not put into words: by whatever step, in whatever row and beam it comes up."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from headprune import Generation, NumberCheck, load_model, open_dataset
from headprune.errors import NumberError, SampleError
from headprune.evaluation.table1 import EvaluateSettings, evaluate_model
from headprune.perspectives.convergence import Convergence
from headprune.perspectives.linguistic import captions_by_layer, captions_of_head
from headprune.towers.batches import Batch, DecodeQueue, Decoder
from tests.support.samples import GoldOverlap, Overlap, dataset

WRONG = {"nan": torch.nan, "infinite": torch.inf}


def slow_row(steps: list[Tensor], overs: list[Tensor], rows: int) -> int | None:
    """The first row one of whose beams, at a step at which it goes on, has no likeliest word."""
    for row in range(rows):
        for logits, over in zip(steps, overs, strict=True):
            beams = len(logits) // rows
            for beam in range(row * beams, (row + 1) * beams):
                numbers = logits[beam].tolist()
                no_number = any(value != value for value in numbers) or max(numbers) in (torch.inf, -torch.inf)
                if no_number and not over[beam]:
                    return row
    return None


def drawn(seed: int, rows: int, beams: int) -> tuple[list[Tensor], list[Tensor]]:
    """Five steps' logits, some of which are no numbers, and what has ended by then."""
    random = torch.Generator().manual_seed(seed)
    steps, overs, over = [], [], torch.zeros(rows * beams, dtype=torch.bool)
    for _ in range(5):
        logits = torch.randn(rows * beams, 6, generator=random)
        logits[torch.rand(logits.shape, generator=random) < 0.3] = -torch.inf
        logits[:, 0] = 0
        for value in WRONG.values():
            hit, word = (int(torch.randint(size, (), generator=random)) for size in logits.shape)
            if torch.rand((), generator=random) < 0.15:
                logits[hit, word] = value
        hit = int(torch.randint(len(logits), (), generator=random))
        if torch.rand((), generator=random) < 0.1:
            logits[hit] = -torch.inf
        over = over | (torch.rand(rows * beams, generator=random) < 0.3)
        steps.append(logits)
        overs.append(over)
    return steps, overs


@pytest.mark.parametrize("beams", [1, 3])
def test_equals_its_slow_twin(beams):
    found, rows = [], 4
    for seed in range(60):
        steps, overs = drawn(seed, rows, beams)
        check = NumberCheck(rows)
        for logits, over in zip(steps, overs, strict=True):
            check.see(logits, over)
        try:
            check.refuse()
        except NumberError as error:
            found.append(error.row)
        else:
            found.append(None)
        assert found[-1] == slow_row(steps, overs, rows), seed
    assert {*found} == {None, *range(rows)}


@pytest.mark.parametrize("what", WRONG)
def test_a_caption_is_refused_by_the_steps_that_it_took_and_no_other(what):
    """A caption that has ended is gone on with beside longer ones: what is made of that is in no caption."""
    model = load_model("demo")
    states = model.last_states(model.prepare([sample.load() for sample in open_dataset("demo").samples[:20]]))
    said = model.decode(states, Generation())
    steps = model.likelihood(states, said, Generation()).mask.sum(-1)
    short, long = int(steps.argmin()), int(steps.argmax())
    assert steps[short] < steps[long]
    language_model, poisoned = model.model.language_model, {}

    def poison(module, args, answer):
        poisoned["step"] = step = poisoned.get("step", -1) + 1
        logits = answer.logits.clone()
        logits[short, -1, 3] = WRONG[what] if step >= poisoned["from"] else logits[short, -1, 3]
        answer.logits = logits
        return answer

    language_model.register_forward_hook(poison)
    poisoned["from"] = int(steps[short])
    assert model.decode(states, Generation()) == said
    poisoned.update({"from": int(steps[short]) - 1, "step": -1})
    with pytest.raises(NumberError) as refused:
        model.decode(states, Generation())
    assert refused.value.row == short


@pytest.mark.parametrize("beams", [1, 3])
def test_a_row_is_named_however_many_fit_at_once(tiny, pictures, beams):
    generation = Generation(max_new_tokens=4, num_beams=beams)
    states = tiny.last_states(tiny.prepare(pictures))
    states[3] = torch.nan
    for rows in (1, 2, 8):
        with pytest.raises(NumberError) as refused:
            Decoder(tiny, generation, Batch(rows, 1)).decode(states)
        assert refused.value.row == 3
    queue = DecodeQueue(Decoder(tiny, generation, Batch(2, 1)), lambda key, caption: None)
    with pytest.raises(SampleError, match="sample d: the model says what is no number") as lost:
        queue.put([(name, 0, 0) for name in "abcde"], states)
    assert lost.value.sample == "d"


EVALUATE = EvaluateSettings(GoldOverlap(), Generation(max_new_tokens=4), Batch(7, 2), Convergence(Overlap(), tau=0.4))
LOOKS = {
    "evaluate": lambda model, samples: evaluate_model(model, samples, EVALUATE),
    "a head": lambda model, samples: captions_of_head(model, samples, 1, 2, EVALUATE.generation, EVALUATE.batch),
    "layers": lambda model, samples: captions_by_layer(model, samples, [0, 2], EVALUATE.generation, EVALUATE.batch),
}


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_asks_is_told_of_which_sample(tiny, pictures, monkeypatch, look):
    samples, prepare = dataset(pictures).samples, tiny.prepare
    lost = samples[3].load()

    def poisoned(given):
        pixels = prepare(given)
        pixels[[row for row, picture in enumerate(given) if picture is lost]] = torch.nan
        return pixels

    monkeypatch.setattr(tiny, "prepare", poisoned)
    with pytest.raises(SampleError) as told:
        LOOKS[look](tiny, samples)
    assert told.value.sample == samples[3].id


def test_it_crosses_processes():
    error = pickle.loads(pickle.dumps(NumberError(3, "torch.float16")))
    assert (error.row, error.dtype, error.message) == (3, "torch.float16", NumberError(3, "torch.float16").message)
