"""The bounded memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from headprune_bertscore.memory import Memory
from headprune_bertscore.scorer import BertScore


def test_forgets_what_was_used_longest_ago() -> None:
    memory: Memory[str, int] = Memory(10)
    memory.put("a", 1, 4)
    memory.put("b", 2, 4)
    assert memory.get("a") == 1
    memory.put("c", 3, 4)
    assert [memory.get(key) for key in "abc"] == [1, None, 3]


def test_never_holds_more_than_its_limit() -> None:
    memory: Memory[int, int] = Memory(10)
    for number in range(30):
        memory.put(number, number, 3)
    assert [number for number in range(30) if memory.get(number) is not None] == [27, 28, 29]
    memory.put(99, 99, 11)
    assert memory.get(99) is None


def test_a_scorer_that_forgets_scores_the_same(
    make: Callable[..., BertScore], pairs: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = make().precision_recall_f1(pairs)
    monkeypatch.setattr("headprune_bertscore.scorer._PAIRS_AT_ONCE", 2)
    forgetful = make()
    forgetful._embeddings = Memory(1)
    torch.testing.assert_close(
        torch.tensor(forgetful.precision_recall_f1(pairs)), torch.tensor(wanted), atol=1e-6, rtol=0.0
    )
