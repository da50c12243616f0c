"""A pruned model as a folder: folded or sliced, with a record of what was done, seen to load and to say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from headprune.demo.dataset import held_out
from headprune.errors import ModelError, notice
from headprune.files import writing_folder
from headprune.patch.apply import applied
from headprune.patch.card import model_card
from headprune.patch.patch import Array
from headprune.patch.prune import head_list, silent
from headprune.patch.slice import sliced
from headprune.towers.adapter import Adapter, LoadRequest
from headprune.towers.load import load_model
from headprune.types import Generation

RECORD = "headprune.json"
HowRule = Literal["fold", "slice"]

_BUG = "nothing was written; this is a bug in headprune or its adapter"
_PICTURES = 4
_TOKENS = 20
# Captions of as many pictures: what a model that has no words of its own chooses from.
_LABELS = 16
# How far the exported model's numbers may be from the patched one's, of their largest: silent heads are summed in one
# of them and absent in the other, so they differ by rounding.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def export(
    adapter: Adapter,
    coefficients: Array,
    out: str | Path,
    record: Mapping[str, Any],
    how: HowRule = "fold",
    evaluation: Mapping[str, Any] | None = None,
) -> int:
    """Write the model with `coefficients` to `out`; the model in memory is left unchanged.

    The folder is written beside `out` and loaded again, and what it says is compared with the patched model in memory,
    before it gets its name: `out` appears whole and checked, or not at all. That takes room for a second model.

    Args:
        adapter: the model.
        coefficients: s, [L, H].
        out: a folder that does not exist yet, or an empty one.
        record: what else is to be known of it (`patch`, `scale`, `prune`), written to `headprune.json` beside the
            weights with the base model and the pruned heads, and told in the model card.
        how: `fold` multiplies the weights, and the checkpoint loads like any other; `slice` also takes heads whose
            coefficient is 0 out of the model, whose folder then brings the code that loads it.
        evaluation: what `headprune evaluate --json` found of these coefficients, for the model card.

    Returns:
        Parameters of the exported model.

    Raises:
        ModelError: the family cannot be sliced, or the exported model does not say what the patched one says.
    """
    made = sliced(adapter, coefficients) if how == "slice" else None
    record = {
        "base": adapter.ref.name,
        "backend": adapter.ref.backend,
        "base_revision": adapter.ref.revision,
        "how": how,
        "pruned": [list(head) for head in head_list(silent(adapter.geometry, coefficients))],
        **record,
    }
    with writing_folder(out) as beside:
        with nullcontext() if made else applied(adapter, coefficients):
            (made or adapter).save(beside)
        del made
        (beside / RECORD).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        again = load_model(str(beside), _as_loaded(adapter, beside))
        compare(adapter, coefficients, again)
        card = model_card(record, again.loading(), evaluation)
        (beside / "README.md").write_text(card, encoding="utf-8")
        return again.parameter_count()


def _as_loaded(adapter: Adapter, folder: Path) -> LoadRequest:
    dtype, device = str(adapter.dtype).removeprefix("torch."), str(adapter.device)
    return LoadRequest(str(folder), dtype=dtype, device=device, backend=adapter.ref.backend)


def compare(adapter: Adapter, coefficients: Array, again: Adapter) -> None:
    """See that `again` says what `adapter` says with `coefficients`, on a few of the bundled pictures.

    Compared are the tower's last states, the log-probabilities of every next token along the patched model's captions,
    and the captions.
    """
    entries = held_out(_LABELS)
    pictures = [entry.picture(224) for entry in entries[:_PICTURES]]
    generation = Generation(max_new_tokens=_TOKENS, labels=tuple(entry.captions[0] for entry in entries))
    form = adapter.form(pictures[0])
    with applied(adapter, coefficients), torch.no_grad():
        states = adapter.last_states(adapter.prepare(pictures), form)
        said = adapter.decode(states, generation, form)
        logits = adapter.likelihood(states, said, generation, form).log_probs
    with torch.no_grad():
        found = again.last_states(again.prepare(pictures), form)
        says = again.decode(found, generation, form)
        thinks = again.likelihood(found, said, generation, form).log_probs
    _near("last states", states, found, adapter.dtype)
    changed = sum(one != other for one, other in zip(said, says, strict=True))
    if changed and adapter.speech_dtype == torch.float32:
        raise ModelError(f"the exported model says {says!r} where the patched one says {said!r}", _BUG)
    _near("next-token log-probabilities", logits, thinks, adapter.speech_dtype)
    if changed:
        kind = str(adapter.speech_dtype).removeprefix("torch.")
        notice(f"{changed} of {_PICTURES} captions changed by {kind} rounding when heads were taken out")


def _near(what: str, expected: Tensor, found: Tensor, dtype: torch.dtype) -> None:
    """Raise ModelError unless two tensors agree up to rounding in `dtype`, relative to the largest number."""
    size = max(float(expected.abs().max()), torch.finfo(torch.float32).tiny)
    apart = float((found.to(expected.device).float() - expected.float()).abs().max()) / size
    # Written so that NaN fails.
    if not apart <= _TOLERANCE[dtype]:
        raise ModelError(f"the exported model's {what} are {apart:.1e} off the patched one's, of the largest", _BUG)
