"""Models whose vision tower has lost heads: for torch and transformers, and nothing else.

headprune saves this very file beside the weights of a sliced model, with one line more that names the model's family,
so that the folder loads with `AutoModel...from_pretrained(folder, trust_remote_code=True)` where headprune is not
installed. It must therefore import nothing of headprune.

`config.headprune` holds what was done: `heads`, how many each layer had, and `kept`, which of them each layer still
has, as they were counted in the unpruned model.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PREFIX = "headprune-"
"""Stands before the model type of a sliced model's family."""
SLICED = "Sliced"
"""Stands before the name of a sliced model's class."""


@dataclass(frozen=True)
class Tower:
    """Where a family keeps its heads.

    Attributes:
        model_class: its class in transformers.
        heads_field: from its configuration to the number of heads (`vision_config.num_attention_heads`).
        layers: from the model to the list of layers.
        attention: from a layer to its attention.
        qkv: from the attention to the projections of q, k and v: one fused, or three.
        output: from the attention to its output projection.
        heads: the attention's attribute that holds its number of heads.
        inner: the one that holds the width of all its head outputs, where it has one.
    """

    model_class: str
    heads_field: str
    layers: str
    attention: str
    qkv: tuple[str, ...]
    output: str
    heads: str
    inner: str | None = None


@cache
def sliced_classes(tower: Tower) -> tuple[Any, Any]:
    """Configuration and model class of a family's sliced models."""
    base: Any = getattr(transformers, tower.model_class)
    base_config: Any = base.config_class

    class SlicedConfig(base_config):  # type: ignore[misc]
        # A type of its own: nothing takes the folder for an unpruned model.
        model_type = PREFIX + base_config.model_type

        @classmethod
        def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
            # A file holds each layer's number of heads where the family expects one number for all: the family's own
            # configuration refuses such a file, where it would otherwise load, and draw missing weights at random.
            done = config_dict.get("headprune")
            return super().from_dict(
                _with(config_dict, tower.heads_field, done["heads"]) if done else config_dict, **kwargs
            )

        def to_dict(self) -> dict[str, Any]:
            written: dict[str, Any] = super().to_dict()
            done = getattr(self, "headprune", None)
            return _with(written, tower.heads_field, [len(kept) for kept in done["kept"]]) if done else written

    class SlicedModel(base):  # type: ignore[misc]
        config_class = SlicedConfig

        def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(config, *args, **kwargs)
            keep_heads(self, tower, config.headprune["kept"])

    SlicedConfig.__name__ = SlicedConfig.__qualname__ = f"{SLICED}{base_config.__name__}"
    SlicedModel.__name__ = SlicedModel.__qualname__ = f"{SLICED}{base.__name__}"
    return SlicedConfig, SlicedModel


def _with(config: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """A copy of a nested dict with `value` at a dotted path."""
    first, _, rest = field.partition(".")
    return {**config, first: _with(config[first], rest, value) if rest else value}


def keep_heads(model: nn.Module, tower: Tower, kept: Sequence[Sequence[int]]) -> None:
    """Take all heads but `kept`, [L][heads], out of the tower, in place. No other module is touched.

    Raises:
        ValueError: `kept` does not fit the tower.
    """
    layers = list(model.get_submodule(tower.layers).children())
    if len(kept) != len(layers):
        raise ValueError(f"kept heads are given for {len(kept)} layers, the tower has {len(layers)}")
    for layer, heads in zip(layers, kept, strict=True):
        attention = layer.get_submodule(tower.attention)
        total = getattr(attention, tower.heads)
        if not all(type(head) is int and 0 <= head < total for head in heads) or sorted({*heads}) != list(heads):
            raise ValueError(f"{list(heads)} are not heads of a layer that has {total}, each once and in order")
        if len(heads) != total:
            _narrow(attention, tower, heads, total)


def _narrow(attention: nn.Module, tower: Tower, heads: Sequence[int], total: int) -> None:
    output: Any = getattr(attention, tower.output)
    inner = output.in_features
    width = inner // total
    columns = [head * width + offset for head in heads for offset in range(width)]
    for name in tower.qkv:
        linear: Any = getattr(attention, name)
        # Fused projections hold q, k and v one after the other.
        parts = range(0, linear.out_features, inner)
        rows = _index([part + column for part in parts for column in columns], linear.weight)
        bias = None if linear.bias is None else linear.bias.detach()[rows]
        setattr(attention, name, _linear(linear.weight.detach()[rows], bias))
    kept = output.weight.detach()[:, _index(columns, output.weight)]
    # The bias belongs to no head, and stays.
    bias = None if output.bias is None else output.bias.detach()
    setattr(attention, tower.output, _linear(kept, bias))
    setattr(attention, tower.heads, len(heads))
    if tower.inner is not None:
        setattr(attention, tower.inner, len(columns))
    kind: Any = type(attention)
    attention.__class__ = _narrow_class(kind)


def _index(values: list[int], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=like.device)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    with warnings.catch_warnings():
        # A layer may lose all its heads: torch remarks that there is nothing to initialise.
        warnings.simplefilter("ignore", UserWarning)
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        made.bias = nn.Parameter(bias)
    return made


@cache
def _narrow_class(attention: Any) -> Any:
    """The attention class for any number of heads."""
    mixin = _NARROW.get(attention.__name__)
    if mixin is None:
        return attention
    return type(f"Narrow{attention.__name__}", (mixin, attention), {"of": attention})


class _KnowsHeadWidth:
    """The forward of BLIP-2's and InstructBLIP's attention (`of`), with the width of a head as it was built.

    Theirs takes it to be `embed_dim // num_heads` whenever it runs. Once a head is gone that is wrong, and goes
    unnoticed where the division happens to come out the same.
    """

    of: type

    def forward(self: Any, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        batch, tokens, _ = hidden_states.shape
        if not self.num_heads:
            return self.projection(hidden_states.new_zeros(batch, tokens, 0)), None
        mixed = self.qkv(hidden_states).view(batch, tokens, 3, self.num_heads, self.head_dim)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, sys.modules[self.of.__module__].eager_attention_forward
        )
        dropout = self.attention_dropout if self.training else 0.0
        heads, weights = attend(
            self, query, key, value, attention_mask=None, dropout=dropout, scaling=self.scale, **kwargs
        )
        return self.projection(heads.reshape(batch, tokens, -1).contiguous()), weights


class _KnowsHeadWidthByHand:
    """The forward of BLIP's attention, which reckons by hand, with the width of a head as it was built."""

    def forward(self: Any, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
        batch, tokens, _ = hidden_states.shape
        mixed = self.qkv(hidden_states).view(batch, tokens, 3, self.num_heads, self.head_dim)
        query, key, value = mixed.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-1, -2) * self.scale).softmax(dim=-1)
        heads = (self.dropout(weights) @ value).transpose(1, 2)
        return self.projection(heads.reshape(batch, tokens, self.num_heads * self.head_dim)), weights


class _BearsNoHeads:
    """Qwen's attention splits what it projects into as many parts as there are heads: where none is left, it answers
    with the output projection of nothing, its bias."""

    def forward(self: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not self.num_heads:
            return self.proj(hidden_states.new_zeros(len(hidden_states), 0))  # type: ignore[no-any-return]
        return super().forward(hidden_states, *args, **kwargs)  # type: ignore[misc,no-any-return]


_NARROW = {
    "BlipAttention": _KnowsHeadWidthByHand,
    "Blip2Attention": _KnowsHeadWidth,
    "InstructBlipAttention": _KnowsHeadWidth,
    "VisionAttention": _BearsNoHeads,
    "Qwen2_5_VLVisionAttention": _BearsNoHeads,
    "Qwen3VLVisionAttention": _BearsNoHeads,
}
