"""LAVIS models that hold heads of any number: built without their checkpoints, and filled from safetensors.

headprune saves this very file beside the weights of an exported model, as `load_lavis.py`, so that the folder loads
where headprune is not installed: `load(folder)`. It must therefore import nothing but LAVIS, what that needs, and
safetensors.

`lavis.json` in such a folder holds `arch` and `model`, which LAVIS builds the model from, `preprocess`, which it builds
the picture processor from, and of a sliced model `heads`, how many each layer had, and `kept`, which of them each layer
still has, as they were counted in the unpruned model.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import ImageFile
from torch import Tensor, nn
from torch.nn import functional as F

DESCRIPTION = "lavis.json"
CODE = "load_lavis.py"
BERT, LANGUAGE_MODEL = "bert-base-uncased", "language_model"
"""Folders of configurations and tokenizers. LAVIS asks for the first by this very name."""


def load(folder: str | Path, device: str = "cpu") -> tuple[Any, Any]:
    """The model in `folder`, in eval mode, and what turns an RGB picture into its pixels [3, N, N].

    Raises:
        ValueError: the folder's weights are not those of the model that it describes.
    """
    if import_lavis():
        warnings.warn("torchvision lacks its CPU operators here: they were declared, nobody calls them", stacklevel=2)
    description = json.loads((Path(folder) / DESCRIPTION).read_text(encoding="utf-8"))
    with inside(folder):
        model = build(description)
    fill(model, folder)
    return model.to(device), picture_processor(description)


_declared: list[Any] = []


def import_lavis() -> bool:
    """Import LAVIS. True where torchvision, whose CPU operators are missing, had to be helped.

    torchvision built for CUDA beside a torch built for the CPU stops at the fake versions of operators that its own
    library, which does not load, would have declared. BLIP-2 uses none of them.
    """
    helped = False
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        # What it declares lasts as long as the object.
        _declared.append(library)
        helped = True
    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    import lavis.models  # noqa: F401

    # LAVIS has Pillow fill up truncated pictures, in the whole process, with grey.
    ImageFile.LOAD_TRUNCATED_IMAGES = truncated
    return helped


def build(description: Mapping[str, Any]) -> Any:
    """The described model in eval mode, without weights: its parameters are on the meta device.

    Nothing is downloaded but the configurations and tokenizers that LAVIS asks for.
    """
    from lavis.common.registry import registry
    from omegaconf import OmegaConf

    with _no_weights():
        model = registry.get_model_class(description["arch"]).from_config(OmegaConf.create(description["model"]))
    model.eval()
    open_tower(model)
    if description.get("kept") is not None:
        keep_heads(model, description["kept"])
    return model


def picture_processor(description: Mapping[str, Any]) -> Any:
    """What LAVIS prepares a picture with when it does not train."""
    from lavis.models import load_preprocess
    from omegaconf import OmegaConf

    return load_preprocess(OmegaConf.create(description["preprocess"]))[0]["eval"]


def fill(model: Any, folder: str | Path) -> None:
    """Give a built model the weights in `folder`, in the dtypes that they have there.

    Raises:
        ValueError: a weight is missing, or there is one that the model has no place for.
    """
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    for file in sorted(Path(folder).glob("model*.safetensors")):
        weights |= load_file(file)
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        # torch names every weight that is missing: the first few will do.
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder} does not hold the weights of its model: {reason[:300]}") from error
    # One weight with several names is in the file under each of them.
    for first, *others in names.values():
        for other in others:
            parent, _, last = other.rpartition(".")
            setattr(model.get_submodule(parent), last, model.get_parameter(first))


@contextmanager
def inside(folder: str | Path) -> Iterator[None]:
    """Within the context, relative names are those of things in `folder`, which has what LAVIS has from the hub."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _no_weights() -> Iterator[None]:
    """Within the context LAVIS and transformers build models from configurations, and no parameter gets memory."""
    from lavis.models import clip_vit, eva_vit
    from lavis.models.base_model import BaseModel
    from transformers import PreTrainedModel

    registering = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        # One that is there already is tied: another that equals it would not be.
        if parameter is not None and not parameter.is_meta:
            parameter = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
        registering(module, name, parameter)

    def configured(cls: Any, name: str, config: Any = None, torch_dtype: torch.dtype | None = None) -> Any:
        made = cls(config or cls.config_class.from_pretrained(name))
        return made if torch_dtype is None else made.to(torch_dtype)

    with ExitStack() as stack:
        for owner, name, value in (
            (nn.Module, "register_parameter", on_meta),
            (PreTrainedModel, "from_pretrained", classmethod(configured)),
            (BaseModel, "load_checkpoint_from_config", lambda self, cfg: None),
            # The towers' own checkpoints: none is fetched, and it holds nothing.
            (eva_vit, "download_cached_file", lambda url, **options: url),
            (clip_vit, "download_cached_file", lambda url, **options: url),
            (torch, "load", lambda file, **options: {}),
        ):
            stack.enter_context(replaced(owner, name, value))
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


# Towers: EVA as LAVIS has it; CLIP-L with an attention whose heads can be seen, and states [B, T, d].


def open_tower(model: Any) -> None:
    """Let the heads of a CLIP tower be seen. It computes what it did, and its weights keep their names.

    `nn.MultiheadAttention` never calls its output projection, and CLIP's blocks hand on states [T, B, d].
    """
    transformer = getattr(model.visual_encoder, "transformer", None)
    if transformer is not None:
        transformer.__class__ = BatchFirst
        for block in transformer.resblocks:
            block.attn.__class__ = OpenAttention


class BatchFirst(nn.Module):
    """CLIP's list of blocks, [T, B, d] -> [T, B, d], which hand on [B, T, d] among themselves."""

    def forward(self, x: Tensor) -> Tensor:
        blocks: Any = self.resblocks
        states: Tensor = blocks(x.transpose(0, 1))
        return states.transpose(0, 1)


class OpenAttention(nn.MultiheadAttention):
    """Self-attention [B, T, d] -> [B, T, d] of any number of heads, by way of the output projection's own call."""

    def forward(self, query: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        batch, tokens, _ = query.shape
        heads = query.new_zeros(batch, tokens, 0)
        if self.num_heads:
            mixed = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            q, k, v = mixed.view(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
            heads = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, -1)
        return self.out_proj(heads), None

    @property
    def in_proj(self) -> nn.Linear:
        """The projection of q, k and v, [3*H*dh, d], as the linear layer that it is."""
        return _linear(self.in_proj_weight, self.in_proj_bias)


class _Headless(nn.Module):
    """EVA's attention when all heads are gone: only its output projection's bias is left to be said."""

    def forward(self, x: Tensor, rel_pos_bias: None = None) -> Tensor:
        proj: Any = self.proj
        said: Tensor = proj(x.new_zeros(*x.shape[:2], 0))
        return said


def blocks(model: Any) -> list[Any]:
    """The tower's layers."""
    tower = model.visual_encoder
    return list(tower.transformer.resblocks if hasattr(tower, "transformer") else tower.blocks)


def keep_heads(model: Any, kept: Sequence[Sequence[int]]) -> None:
    """Take all heads but `kept`, [L][heads], out of the tower, in place. No other module is touched.

    Raises:
        ValueError: `kept` does not fit the tower.
    """
    layers = blocks(model)
    if len(kept) != len(layers):
        raise ValueError(f"kept heads are given for {len(kept)} layers, the tower has {len(layers)}")
    for block, heads in zip(layers, kept, strict=True):
        total = block.attn.num_heads
        if not all(type(head) is int and 0 <= head < total for head in heads) or sorted({*heads}) != list(heads):
            raise ValueError(f"{list(heads)} are not heads of a layer that has {total}, each once and in order")
        if len(heads) != total:
            _narrow(block.attn, heads)


def _narrow(attention: Any, heads: Sequence[int]) -> None:
    clip = isinstance(attention, OpenAttention)
    output = "out_proj" if clip else "proj"
    projection = getattr(attention, output)
    inner = projection.in_features
    width = inner // attention.num_heads
    columns = [head * width + offset for head in heads for offset in range(width)]
    # Fused projections hold q, k and v one after the other.
    rows = [part + column for part in (0, inner, 2 * inner) for column in columns]
    if clip:
        attention.in_proj_weight = _taken(attention.in_proj_weight, rows)
        attention.in_proj_bias = _taken(attention.in_proj_bias, rows)
    else:
        attention.qkv = _linear(_taken(attention.qkv.weight, rows), None)
        for name in ("q_bias", "v_bias"):
            if getattr(attention, name) is not None:
                setattr(attention, name, _taken(getattr(attention, name), columns))
        if not heads:
            attention.__class__ = _Headless
    setattr(attention, output, _linear(_taken(projection.weight, columns, dim=1), projection.bias))
    attention.num_heads = len(heads)


def _taken(parameter: Tensor, numbers: list[int], dim: int = 0) -> nn.Parameter:
    index = torch.tensor(numbers, dtype=torch.long, device=parameter.device)
    return nn.Parameter(parameter.detach().index_select(dim, index), requires_grad=parameter.requires_grad)


def _linear(weight: Any, bias: Any) -> nn.Linear:
    with warnings.catch_warnings():
        # A layer may lose all its heads: torch remarks that there is nothing to initialise.
        warnings.simplefilter("ignore", UserWarning)
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight, made.bias = weight, bias
    return made
