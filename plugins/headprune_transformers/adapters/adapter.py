"""A loaded transformers model as headprune sees it, whatever it makes of what its tower says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from headprune import Adapter, Attention, Form, Grid, ModelError, ModelRef, answering, showing
from headprune_transformers.attending import attention_of
from headprune_transformers.grids import shown, straight
from headprune_transformers.processors import read_processor
from headprune_transformers.slicing import save_code, slice_model
from headprune_transformers.towers import patch_grid

if TYPE_CHECKING:
    from PIL.Image import Image

    from headprune_transformers.family import Family


class TransformersAdapter(Adapter):
    """Pictures through the model's own processor; how words come out, a subclass says.

    Early exit rewrites nothing: while the model speaks, its tower's embeddings and layers answer from the states that
    are to be put into words; what stands behind them (final norm, connector, language model) is the model's own code.
    """

    processor_parts: ClassVar[Mapping[str, str]] = {"processor": "AutoProcessor"}
    """What reads the processor where headprune is not installed: variable -> class in `transformers`."""

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, family.layout_of(model.config), ref)
        self.processor = processor
        self.family = family

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.model.config

    @classmethod
    def read_processor(cls, name: str, model_type: str, **options: Any) -> Any:
        """The processor in a folder or of a hub id."""
        return read_processor(name, model_type, **options)

    @classmethod
    def image_part(cls, processor: Any) -> Any:
        """The part of a processor that is given pictures."""
        return processor.image_processor

    @property
    def image_processor(self) -> Any:
        """The part of this model's processor that is given pictures."""
        return self.image_part(self.processor)

    @property
    def tokens(self) -> int:
        return self.family.tokens(self.config, lambda: self.image_processor)

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        pixels: Tensor = self.image_processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return pixels.to(self.device, self.dtype)

    def grids(self, picture: Image) -> tuple[Grid, ...]:
        height, width, box = shown(self.image_processor, picture)
        rows, columns = patch_grid(self.tower.config, height, width)
        before = self.tokens - rows * columns
        if before < self.geometry.cls:
            raise ModelError(
                f"the image processor makes {height} x {width} pixels, {rows} x {columns} patches, of a picture, "
                f"and the tower has {self.tokens} tokens",
                "see the size in preprocessor_config.json",
            )
        return (straight(rows, columns, before, self.geometry.cls, box),)

    def encode(self, pixels: Tensor, form: Form = None) -> None:
        self.tower(pixels)

    def attention(self, pixels: Tensor, layers: Collection[int], form: Form = None) -> dict[int, Attention]:
        width = self.geometry.head_width
        return attention_of(self.sites, layers, lambda: self.encode(pixels, form), len(pixels), width)

    def save(self, folder: Path) -> None:
        is_sliced = hasattr(self.config, "headprune")
        # transformers converts the names of its own classes' weights only: those of a sliced one stay as they are.
        self.model.save_pretrained(folder, save_original_format=not is_sliced)  # type: ignore[operator]
        self.processor.save_pretrained(folder)
        if is_sliced:
            save_code(self.model, self.family, folder)

    def loading(self) -> str:
        code = ", trust_remote_code=True" if hasattr(self.config, "headprune") else ""
        auto, parts = self.family.auto_class, self.processor_parts
        lines = [f"{name} = {kind}.from_pretrained(FOLDER{code})" for name, kind in parts.items()]
        if hasattr(self.processor, "videos"):
            lines[0] += "  # needs torchvision, for videos"
        return "\n".join(
            [
                f"from transformers import {', '.join([auto, *parts.values()])}",
                "",
                f"model = {auto}.from_pretrained(FOLDER{code})",
                *lines,
            ]
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
