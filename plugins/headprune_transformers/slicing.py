"""Slicing a loaded model, and the folder of a sliced one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig

from headprune_transformers import sliced
from headprune_transformers.family import Family
from headprune_transformers.sliced import keep_heads, sliced_classes

CODE = "modeling_headprune"


def slice_model(model: Any, family: Family, kept: Sequence[Sequence[int]]) -> nn.Module:
    """A copy of `model` whose tower has only the `kept` heads, [L][heads]; every other weight is shared with it."""
    shared = {id(tensor): tensor for tensors in (model.parameters(), model.buffers()) for tensor in tensors}
    made = copy.deepcopy(model, shared)
    name = family.class_among([type(model).__name__])
    keep_heads(made, family.sliceable(name), kept)
    config_class, model_class = classes(family, name)
    made.__class__ = model_class
    config = made.config
    before = getattr(config, "headprune", None)
    if before is None:
        heads: int = config
        for part in family.heads_field.split("."):
            heads = getattr(heads, part)
        before = {"heads": heads, "kept": [list(range(heads))] * len(kept)}
        config.__class__ = config_class
        config.auto_map = {
            "AutoConfig": f"{CODE}.{config_class.__name__}",
            family.auto_class: f"{CODE}.{model_class.__name__}",
        }
    # Sliced again: the heads are still called what they were in the unpruned model.
    names = [[there[head] for head in heads] for there, heads in zip(before["kept"], kept, strict=True)]
    config.headprune = {"heads": before["heads"], "kept": names}
    sliced_model: nn.Module = made
    return sliced_model


def save_code(model: nn.Module, family: Family, folder: Path) -> None:
    """Write the code that loads a sliced model where headprune is not installed."""
    source = inspect.getsource(sliced)
    name = family.class_among([type(model).__name__])
    names = ", ".join(made.__name__ for made in classes(family, name))
    last = f"\n\n{names} = sliced_classes({family.sliceable(name)!r})\n"
    (folder / f"{CODE}.py").write_text(source + last, encoding="utf-8")


def classes(family: Family, model_class: str) -> tuple[Any, Any]:
    """Configuration and model class of sliced models of a class of the family's, known to transformers from now on."""
    config_class, made_class = sliced_classes(family.sliceable(model_class))
    # The processor's loader asks transformers for the configuration.
    AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
    return config_class, made_class
