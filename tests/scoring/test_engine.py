"""A task in pieces: each of its results is asked for once, whatever it is cut into."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headprune.scoring.engine import Kind, Task
from headprune.towers.batches import UNCHANGED

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
