"""VisionEncoderDecoder: checkpoints with an image processor and a tokenizer, and no processor that has both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoImageProcessor, AutoTokenizer

from headprune_transformers.adapters.crossing import CrossingAdapter


@dataclass
class Pair:
    """An image processor and a tokenizer, each loaded and saved by itself."""

    image_processor: Any
    tokenizer: Any

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> Pair:
        """Read both from a folder or a hub id."""
        return cls(AutoImageProcessor.from_pretrained(name, **options), AutoTokenizer.from_pretrained(name, **options))

    def save_pretrained(self, folder: Path) -> None:
        """Write both into `folder`."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def batch_decode(self, tokens: Any, **options: Any) -> list[str]:
        """As the tokenizer's."""
        said: list[str] = self.tokenizer.batch_decode(tokens, **options)
        return said


class PairedAdapter(CrossingAdapter):
    """An encoder-decoder with a `Pair` for a processor."""

    processor_parts: ClassVar[Mapping[str, str]] = {
        "image_processor": "AutoImageProcessor",
        "tokenizer": "AutoTokenizer",
    }

    @classmethod
    def read_processor(cls, name: str, model_type: str, **options: Any) -> Pair:
        return Pair.from_pretrained(name, **options)
