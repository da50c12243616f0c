"""The adapter `placeholder`: what headprune must know of our model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import headprune
import torch
from PIL.Image import Image
from torch import Tensor, nn

from headprune_placeholder.model import (
    CONFIG,
    END,
    Captioner,
    Config,
    build,
    hollow,
    load,
    read_config,
    save,
    tiny,
)

LAYOUT = headprune.TowerLayout(
    tower="tower",
    layers="layers",
    attention="attention",
    qkv=("qkv",),
    output="output",
    heads="heads",
    mlp="mlp",
    cls=True,
)
"""Where the model keeps the parts of its tower: attribute paths, each from the last."""


class PlaceholderAdapter(headprune.Adapter):
    """The loaded model. headprune reads its tower by hooks, and never writes it again.

    B pictures, T tokens each, width d, H heads of width dh; R rows of states, S steps,
    V words. A model that cuts up pictures by their size says how by its `form`.
    """

    def __init__(self, model: Captioner, ref: headprune.ModelRef) -> None:
        super().__init__(model, LAYOUT, ref)
        self.captioner = model

    @property
    def tokens(self) -> int:
        """Return T, tokens of one picture in the tower."""
        return _tokens(self.captioner.config)

    def grids(self, picture: Image) -> tuple[headprune.Grid, ...]:
        """Return which part of the picture each token stands for."""
        side = self.captioner.config.side // self.captioner.config.patch
        whole = (0.0, 0.0, 1.0, 1.0)
        return (headprune.Grid(side, side, tuple(range(1, self.tokens)), 0, whole),)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        """Return pixels, [B, ...], where the tower wants them."""
        return self.captioner.pixels(pictures).to(self.device, self.dtype)

    def encode(self, pixels: Tensor, form: headprune.Form = None) -> None:
        """Run the tower, once. Return nothing: the hooks have heard it."""
        self.captioner.tower(pixels)

    def attention(
        self, pixels: Tensor, layers: Collection[int], form: headprune.Form = None
    ) -> dict[int, headprune.Attention]:
        """Return each layer's attention weights and values, of one tower pass."""
        found: dict[int, headprune.Attention] = {}

        def keep(module: Any, given: tuple[Tensor]) -> None:
            weights, values = module.attend(given[0])
            layer = attentions.index(module)
            found[layer] = headprune.Attention(weights.float(), values)

        attentions = [site.attention for site in self.sites]
        handles = [
            attentions[layer].register_forward_pre_hook(keep) for layer in layers
        ]
        try:
            with torch.no_grad():
                self.encode(pixels)
        finally:
            for handle in handles:
                handle.remove()
        return found

    def decode(
        self,
        states: Tensor,
        generation: headprune.Generation,
        form: headprune.Form = None,
    ) -> list[str]:
        """Return one caption for each row of states, [R, T, d], of whatever layer."""
        _check(generation)
        check, most = headprune.NumberCheck(len(states)), generation.max_new_tokens
        said = self.captioner.captions(states, most, check.see)
        # Of NaN some word is the likeliest, too: it must not pass for a caption.
        check.refuse()
        return said

    def distributions(self, generation: headprune.Generation) -> tuple[int, int]:
        """Return (S, V): the longest caption's tokens, and how many there are."""
        return generation.max_new_tokens, len(self.captioner.config.words)

    def likelihood(
        self,
        states: Tensor,
        captions: Sequence[str],
        generation: headprune.Generation,
        form: headprune.Form = None,
    ) -> headprune.TeacherForced:
        """Return how likely each token of given captions is, and its end."""
        _check(generation)
        said = [[*self.captioner.tokens(caption), END] for caption in captions]
        # A caption of as many tokens as may be was cut: no end was ever chosen.
        rows = [torch.tensor(row[: generation.max_new_tokens]) for row in said]
        tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=END)
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        mask = torch.arange(tokens.shape[1]) < lengths
        tokens, mask = tokens.to(states.device), mask.to(states.device)
        before = nn.functional.pad(tokens[:, :-1], (1, 0), value=END)
        logits = self.captioner.logits(states, before)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return headprune.TeacherForced(exact.log_softmax(-1), tokens, mask)

    def without_heads(self, kept: Sequence[Sequence[int]]) -> PlaceholderAdapter:
        """Return the same model with only these heads of each layer, all else shared.

        Where heads cannot be taken out, raise headprune.ModelError: `--how fold` works.
        """
        weights = self.captioner.state_dict()
        config = self.captioner.config
        for layer, heads in enumerate(kept):
            before = torch.arange(config.heads[layer] * config.head_width)
            columns = before.view(-1, config.head_width)[list(heads)].flatten()
            # q, k and v, one behind the other.
            rows = torch.cat([part * len(before) + columns for part in range(3)])
            at = f"tower.layers.{layer}.attention"
            for name in (f"{at}.qkv.weight", f"{at}.qkv.bias"):
                weights[name] = weights[name][rows]
            weights[f"{at}.output.weight"] = weights[f"{at}.output.weight"][:, columns]
        fewer = replace(config, heads=tuple(len(heads) for heads in kept))
        return PlaceholderAdapter(build(fewer, weights), self.ref)

    def save(self, folder: Path) -> None:
        """Write what `loading` loads."""
        save(self.captioner, folder)

    def loading(self) -> str:
        """Return lines of Python that load FOLDER without headprune, into `model`."""
        return f"from {load.__module__} import load\n\nmodel = load(FOLDER)"


class PlaceholderBackend(headprune.Backend):
    """Loads `placeholder:FOLDER`. MODEL `placeholder:tiny` is made of chance."""

    def load(self, request: headprune.LoadRequest) -> PlaceholderAdapter:
        """Return the loaded model, in eval mode, on the device that is asked for."""
        folder = _folder(request)
        model = tiny() if folder is None else load(folder)
        model.to(_device(request), _dtype(request))
        ref = headprune.ModelRef("placeholder", request.name)
        return PlaceholderAdapter(model, ref)

    def outline(self, request: headprune.LoadRequest) -> headprune.Outline:
        """Return the model's sizes. Read no weights: this is asked before `load`."""
        folder = _folder(request)
        config = Config() if folder is None else read_config(folder)
        model = hollow(config)
        return headprune.Outline(
            geometry=headprune.measure(headprune.find_sites(model, LAYOUT), LAYOUT),
            tokens=_tokens(config),
            parameters=sum(part.numel() for part in model.parameters()),
            tower_parameters=sum(part.numel() for part in model.tower.parameters()),
            bytes_per_parameter=_dtype(request).itemsize,
            download=0,
        )


def _tokens(config: Config) -> int:
    return 1 + (config.side // config.patch) ** 2


def _check(generation: headprune.Generation) -> None:
    if generation.num_beams != 1 or generation.prompt is not None:
        raise headprune.ModelError(
            "a placeholder model takes the likeliest word, and no prompt",
            "leave --num-beams and --prompt out",
        )


def _folder(request: headprune.LoadRequest) -> Path | None:
    """Where the model lies; None for `tiny`."""
    if request.revision or request.device_map:
        raise headprune.ModelError(
            "--revision and --device-map mean nothing to placeholder",
            "leave them out",
        )
    if request.name == "tiny":
        return None
    folder = Path(request.name)
    if not (folder / CONFIG).is_file():
        raise headprune.ModelError(
            f"{request.name} is no folder with a {CONFIG}",
            "placeholder:tiny needs none",
        )
    return folder


def _device(request: headprune.LoadRequest) -> torch.device:
    if request.device != "auto":
        return torch.device(request.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(request: headprune.LoadRequest) -> torch.dtype:
    name = "float32" if request.dtype == "auto" else request.dtype
    dtype: torch.dtype = getattr(torch, name)
    return dtype
