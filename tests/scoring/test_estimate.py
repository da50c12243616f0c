"""What a dry run promises, against what a run then does, counted at the model itself."""

from __future__ import annotations

import pytest
import torch
from headprune_likelihood.gradient import Gradient
from headprune_likelihood.logit import Logit

from headprune import Generation, Outline, load_model
from headprune.edits.heads import Ablate, MeanAblate
from headprune.scoring.algorithm import score_heads
from headprune.scoring.estimate import estimate_score
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.towers.batches import Batch
from headprune.towers.load import outline_model
from headprune.types import DecodePoint, Geometry, Schedule
from tests.support.edits import Look, Swap
from tests.support.samples import Overlap, dataset

OUTLINE = Outline(Geometry(10, 16, 1408, 88, True), 257, 1000, 400, 2, 5000)


def estimated(layers, samples=100, point=DecodePoint.LAYER, schedule=Schedule.ONESHOT, batch=None):
    return estimate_score(OUTLINE, layers, samples, point, schedule, batch or Batch(32, 2))


class Counts:
    """What a run asks of a model: pictures passed, layers run on a row, captions generated, captions asked about."""

    def __init__(self, adapter) -> None:
        self.passes = self.rows = self.decoded = self.forced = 0
        encode, decode, likelihood = adapter.encode, adapter.decode, adapter.likelihood

        def count_pass(pixels: torch.Tensor, form: object) -> None:
            self.passes += len(pixels)
            encode(pixels)

        def count_row(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            # While the model speaks, its layers answer from what they are told.
            if "forward" not in vars(module):
                self.rows += len(args[0])

        def count_words(states: torch.Tensor, generation: Generation, form: object) -> list[str]:
            self.decoded += len(states)
            return decode(states, generation)

        def count_forced(states: torch.Tensor, said: list[str], generation: Generation, form: object):
            self.forced += len(states)
            return likelihood(states, said, generation)

        adapter.encode, adapter.decode, adapter.likelihood = count_pass, count_words, count_forced
        for site in adapter.sites:
            site.layer.register_forward_pre_hook(count_row)


def test_by_hand():
    found = estimated((7, 8, 9))
    assert (found.tower_passes, found.layer_replays, found.decodes) == (100, 100 * 16 * 3, 100 * (16 * 3 + 3))
    assert (found.weight_bytes, found.download_bytes) == (2000, 5000)
    last = estimated((7, 8, 9), point=DecodePoint.LAST)
    # Layer 7 runs itself and two more, layer 8 itself and one, layer 9 itself.
    assert (last.layer_replays, last.decodes) == (100 * 16 * (3 + 2 + 1), 100 * (16 * 3 + 1))
    sequential = estimated((7, 8, 9), schedule=Schedule.SEQUENTIAL)
    assert (sequential.tower_passes, sequential.decodes) == (400, found.decodes)


def test_memory_grows_with_the_batch_and_the_layers():
    small, rows, pictures, layers = (
        estimated(layers, batch=batch).working_bytes
        for layers, batch in (((9,), Batch(32, 2)), ((9,), Batch(64, 2)), ((9,), Batch(32, 4)), ((8, 9), Batch(32, 2)))
    )
    state = 257 * 1408 * 2
    assert rows - small == 8 * 32 * state
    assert pictures - small == 3 * 2 * state == layers - small


@pytest.mark.parametrize("edit", [Ablate, MeanAblate, Swap, Look])
@pytest.mark.parametrize("schedule", Schedule)
@pytest.mark.parametrize("point", DecodePoint)
@pytest.mark.parametrize("scorer", [Overlap(), Logit(), Gradient()], ids=["captions", "logits", "gradients"])
def test_the_counts_are_those_of_the_run(tiny_folders, pictures, scorer, point, schedule, edit):
    folder = str(tiny_folders["blip2-t5"])
    adapter, outline = load_model(folder), outline_model(folder)
    layers, batch = (0, 2), Batch(7, 2)
    expected = estimate_score(outline, layers, len(pictures), point, schedule, batch, edit.needs, scorer.needs)
    settings = ScoreSettings(
        layers, edit(), "edit", scorer, "scorer", batch,
        decode_at=point, schedule=schedule, generation=Generation(max_new_tokens=2),
    )  # fmt: skip
    counts = Counts(adapter)
    data = dataset(pictures)
    result = score_heads(LocalEngine(adapter), data, draw(data, len(pictures), 0), settings)
    assert (expected.decodes, expected.forced) == (counts.decoded, counts.forced)
    assert scorer.needs or result.decoded == counts.decoded
    assert expected.tower_passes == counts.passes
    # Every layer also ran once in each pass of the tower.
    assert expected.layer_replays == counts.rows - counts.passes * outline.geometry.layers
