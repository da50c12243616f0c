"""What a sweep costs: passes, attention calls and decodes are counted, not timed."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from headprune import Generation
from headprune.hooks.catalogue import catalogue
from headprune.scoring.sweep import SweepPlan, sweep
from headprune.towers.batches import Batch
from headprune.types import DecodePoint
from tests.support.samples import dataset

PICTURES, LAYERS, HEADS = 5, 3, 4


@pytest.mark.parametrize(("point", "replays"), [(DecodePoint.LAYER, 3), (DecodePoint.LAST, 3 + 2 + 1)])
def test_one_tower_pass_a_picture_and_full_decode_batches(tiny, pictures, monkeypatch, point, replays):
    calls: Counter[str] = Counter()
    rows: list[int] = []

    def count_layer(module, args, output):
        # While the model speaks, its layers answer from what they are told.
        if "forward" not in vars(module):
            calls.update(layer=len(args[0]))

    tiny.tower.register_forward_hook(lambda module, args, output: calls.update(tower=len(output.last_hidden_state)))
    for site in tiny.sites:
        site.qkv[0].register_forward_hook(lambda module, args, output: calls.update(attention=len(args[0])))
        site.layer.register_forward_hook(count_layer)
    decode = tiny.decode
    monkeypatch.setattr(tiny, "decode", lambda states, *how: rows.append(len(states)) or decode(states, *how))

    edit = catalogue().load("edit", "ablate").configured({})
    batch = Batch(rows=16, pictures=2)
    plan = SweepPlan((0, 1, 2), (0, 1, 2), edit, point, Generation(max_new_tokens=2), batch)
    said: dict[tuple[str, int, int], str] = {}
    sweep(tiny, dataset(pictures).samples, plan, said.update)

    captions = PICTURES * LAYERS * (HEADS + 1)
    assert len(said) == sum(rows) == captions
    assert len(rows) == math.ceil(captions / batch.rows) and set(rows[:-1]) == {batch.rows}
    variants = PICTURES * HEADS
    # A decode asks the tower once more, whose embeddings and encoder then answer from memory: no layer runs for it.
    assert calls["tower"] == PICTURES + sum(rows)
    assert calls["layer"] == PICTURES * LAYERS + variants * replays
    # Attention runs in the tower pass and in the layers behind the edited one, never on the edited layer's variants.
    assert calls["attention"] == PICTURES * LAYERS + variants * (replays - LAYERS)
