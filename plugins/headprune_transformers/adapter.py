"""A loaded transformers model as headprune sees it, whatever it makes of what its tower says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from headprune import Adapter, Form, ModelError, ModelRef, answering, showing
from headprune_transformers.attending import attention_weights
from headprune_transformers.slicing import save_code, slice_model

if TYPE_CHECKING:
    from PIL.Image import Image

    from headprune_transformers.family import Family


class TransformersAdapter(Adapter):
    """Pictures through the model's own processor; how words come out, a subclass says.

    Early exit rewrites nothing: while the model speaks, its tower's embeddings and layers answer from the states that
    are to be put into words; what stands behind them (final norm, connector, language model) is the model's own code.
    """

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, family.layout_of(model.config), ref)
        self.processor = processor
        self.family = family

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    @property
    def tokens(self) -> int:
        return self.family.tokens(self.config)

    @property
    def image_processor(self) -> Any:
        """The part of the processor that is given pictures."""
        return self.processor.image_processor

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        pixels: Tensor = self.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return pixels.to(self.device, self.dtype)

    def encode(self, pixels: Tensor, form: Form = None) -> None:
        self.tower(pixels)

    def attention(self, pixels: Tensor, layers: Collection[int], form: Form = None) -> dict[int, Tensor]:
        return attention_weights(self.sites, layers, lambda: self.encode(pixels, form), len(pixels))

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)  # type: ignore[operator]
        self.processor.save_pretrained(folder)
        if hasattr(self.config, "headprune"):
            save_code(self.model, self.family, folder)

    def loading(self) -> str:
        code = ", trust_remote_code=True" if hasattr(self.config, "headprune") else ""
        auto, processor = self.family.auto_class, self.family.processor
        return (
            f"from transformers import {auto}, {processor}\n\n"
            f"model = {auto}.from_pretrained(FOLDER{code})\n"
            f"processor = {processor}.from_pretrained(FOLDER{code})"
        )

    def without_heads(self, kept: Sequence[Sequence[int]]) -> TransformersAdapter:
        reason = self.family.unsliceable(self.config)
        if reason is not None:
            raise ModelError(f"heads of {self.ref} cannot be taken out: {reason}", "use --how fold")
        return type(self)(slice_model(self.model, self.family, kept), self.processor, self.family, self.ref)

    def laid_out(self, states: Tensor, form: Form) -> Tensor:
        """States [R, T, width] as the tower lays them out."""
        return states

    @contextmanager
    def _showing(self, states: Tensor, form: Form) -> Iterator[None]:
        """Within the context the tower says `states`, [R, T, n*d], whatever pixels it is given."""
        laid_out = self.laid_out(states, form)
        first = laid_out[..., : self.geometry.width]
        with (
            answering(self.tower.get_submodule(self.family.embeddings), first),
            showing(self.sites, self.layout, laid_out),
        ):
            yield
