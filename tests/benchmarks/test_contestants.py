"""Every contestant makes the same captions, or their times could not be compared."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.contestants import traced
from benchmarks.contestants.floor import floor
from benchmarks.contestants.loop import loop, loop_single
from benchmarks.contestants.ours import ours
from benchmarks.contestants.rows import rows
from benchmarks.task import DisagreementError, Task, same_captions
from headprune import DecodePoint, load_model

PEERS = {
    "floor": partial(floor, size=5, step=3),
    "B1": partial(loop, size=2),
    "B1-single": loop_single,
    "B2": traced.traced,
    "B3": partial(rows, size=8),
}


@pytest.fixture(params=["blip2-t5", "blip2-opt"])
def task(request, tiny_folders, pictures) -> Task:
    adapter = load_model(str(tiny_folders[request.param]))
    return Task(adapter, tuple(pictures), (0, 2), DecodePoint.LAYER, max_new_tokens=6)


@pytest.mark.parametrize("decode_at", DecodePoint)
@pytest.mark.parametrize("name", PEERS)
def test_says_what_ours_says(task, name, decode_at):
    if name == "B2" and not traced.available():
        pytest.skip("nnsight is not installed (pip install -e '.[bench]')")
    asked = Task(task.adapter, task.pictures, task.layers, decode_at, task.max_new_tokens)
    wanted = ours(asked)
    assert len(wanted) == asked.captions and len(set(wanted.values())) > 5
    same_captions("ours", wanted, name, PEERS[name](asked))
    whole = task.adapter.model.vision_model.encoder.layers
    assert len(whole) == 3 and not any(layer.self_attn.projection._forward_pre_hooks for layer in whole)


def test_a_difference_is_named():
    with pytest.raises(DisagreementError, match=r"picture 1 without head 2\.3: ours says 'a', floor says 'b'"):
        same_captions("ours", {(0, 0, 0): "x", (1, 2, 3): "a"}, "floor", {(0, 0, 0): "x", (1, 2, 3): "b"})
