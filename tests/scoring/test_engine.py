"""Tasks: in pieces each result is asked for once; what one found out of memory, the next knows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from headprune_likelihood.logit import Logit
from hypothesis import given
from hypothesis import strategies as st

from headprune import Generation
from headprune.hooks.catalogue import catalogue
from headprune.jobs.engines.pieces import in_pieces
from headprune.scoring import sweep
from headprune.scoring.algorithm import score_heads
from headprune.scoring.engine import Kind, Task
from headprune.scoring.sampling import draw
from headprune.scoring.settings import ScoreSettings
from headprune.scoring.worker import LocalEngine
from headprune.towers.batches import UNCHANGED, Batch
from tests.support.samples import Overlap, dataset

HEADS = 2


def asked(task: Task) -> list[tuple[str, int, int]]:
    """Everything that a task asks for."""
    heads = [(layer, UNCHANGED) for layer in task.references]
    heads += [(layer, head) for layer in task.layers for head in range(HEADS)]
    return [(sample, *head) for sample in task.samples for head in heads]


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 11), min_size=0, max_size=8, unique=True),
    st.lists(st.integers(0, 11), max_size=8, unique=True),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_pieces_ask_for_everything_once(samples, layers, references, size, groups):
    ones = np.ones((12, HEADS), np.float32)
    ids = tuple(f"s{number}" for number in range(samples))
    task = Task(Kind.CAPTIONS, ids, tuple(sorted(layers)), ones, tuple(sorted(references)))
    pieces = [part for piece in task.pieces(size) for part in piece.by_layers(groups)]
    assert Counter(key for piece in pieces for key in asked(piece)) == Counter(asked(task))
    assert all(len(piece.samples) <= size for piece in pieces)
    assert len(pieces) <= -(-samples // size) * groups


@given(
    st.integers(1, 9),
    st.lists(st.integers(0, 11), min_size=0, max_size=8, unique=True),
    st.lists(st.integers(0, 11), max_size=8, unique=True),
    *(st.integers(1, 30) for _ in range(3)),
    st.booleans(),
)
def test_pieces_for_several_workers_ask_for_everything_once(samples, layers, references, wanted, most, together, apart):
    ones = np.ones((12, HEADS), np.float32)
    ids = tuple(f"s{number}" for number in range(samples))
    task = Task(Kind.CAPTIONS, ids, tuple(sorted(layers)), ones, tuple(sorted(references)))
    for pictures in (together, None):
        pieces = in_pieces([task], [HEADS] * 12, wanted, most, pictures, apart)
        assert Counter(key for piece in pieces for key in asked(piece)) == Counter(asked(task))
        assert all(len(piece.samples) <= (pictures or samples) for piece in pieces)
        if not apart:
            assert all(piece.layers == task.layers for piece in pieces)
        elif pictures:
            # By whole layers; unchanged captions of layers that are not edited go with the first.
            layer = len(task.samples) * (HEADS + 1)
            assert all(
                len(asked(piece)) <= most + layer or len(piece.layers) < 2 for piece in pieces if others(piece) == 0
            )


def others(task: Task) -> int:
    """How many unchanged layers a task speaks of whose heads it does not edit."""
    return len({*task.references} - {*task.layers})


@pytest.mark.filterwarnings("ignore:out of memory")
def test_how_many_variants_fit_is_found_out_once(tiny, pictures, monkeypatch):
    replay, failures = sweep.replay, []

    def tight(site, capture, residual, heads):
        if len(heads) > 2:
            failures.append(len(heads))
            raise torch.OutOfMemoryError("full")
        return replay(site, capture, residual, heads)

    monkeypatch.setattr(sweep, "replay", tight)
    edit = catalogue().load("edit", "ablate").configured({})
    settings = ScoreSettings(
        (1,), edit, "ablate", Overlap(), "overlap", Batch(4, 1), generation=Generation(max_new_tokens=3)
    )
    samples = dataset(pictures).samples
    task = Task(Kind.CAPTIONS, tuple(sample.id for sample in samples), (1,), np.ones((3, 4), np.float32), (1,))
    captions = {}
    LocalEngine(tiny).perform(task.pieces(1), samples, settings, captions.update)
    assert len(captions) == len(samples) * 5 and len(samples) > 1
    assert failures == [4]


@pytest.mark.filterwarnings("ignore:out of memory")
def test_memory_that_ran_out_in_one_task_is_known_in_the_next(tiny, pictures, monkeypatch):
    """A task is one picture here: its variants do not fit together, which is found out for all of them once."""
    likelihood, failures = tiny.likelihood, []

    def tight(states, *how):
        if len(states) > 2:
            failures.append(len(states))
            raise torch.OutOfMemoryError("full")
        return likelihood(states, *how)

    monkeypatch.setattr(tiny, "likelihood", tight)
    edit = catalogue().load("edit", "ablate").configured({})
    generation = Generation(max_new_tokens=3)
    settings = ScoreSettings((1,), edit, "ablate", Logit(), "logit", Batch(4, 1), generation=generation)
    data = dataset(pictures)
    result = score_heads(LocalEngine(tiny), data, draw(data, len(pictures), 0), settings)
    assert np.isfinite(result.per_sample).all()
    assert failures == [4]
