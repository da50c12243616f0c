"""Processors of models that take videos too: read without that part, which needs torchvision and is never asked."""

from __future__ import annotations

from functools import cache
from typing import Any

import transformers
from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES
from transformers.models.auto.video_processing_auto import get_video_processor_config


def read_processor(name: str, model_type: str, revision: str | None, **options: Any) -> Any:
    """The processor of a model: transformers' own, for pictures and words.

    Args:
        name: a folder or a hub id.
        model_type: of the model's family.
        revision: of the hub's files.
        options: what else `from_pretrained` takes.
    """
    kind = getattr(transformers, PROCESSOR_MAPPING_NAMES.get(model_type) or "", None)
    if kind is None or "video_processor" not in kind.get_attributes():
        return AutoProcessor.from_pretrained(name, revision=revision, **options)
    processor = _without_videos(kind).from_pretrained(name, revision=revision, **options)
    processor.videos = get_video_processor_config(name, revision=revision)
    return processor


@cache
def _without_videos(kind: Any) -> Any:
    # Under the family's own name, which is written into what is saved.
    return type(kind.__name__, (_PicturesOnly, kind), {})


class _PicturesOnly:
    """What a processor becomes that neither builds its video part nor asks for torchvision, and saves it all the same.

    Attributes:
        videos: the settings of the video part, as they were found.
    """

    videos: dict[str, Any] = {}  # noqa: RUF012 - replaced, never filled

    @classmethod
    def get_attributes(cls) -> list[str]:
        """The parts of the processor that are built."""
        parts: list[str] = super().get_attributes()  # type: ignore[misc]
        return [part for part in parts if part != "video_processor"]

    def to_dict(self) -> dict[str, Any]:
        """What is written into `processor_config.json`."""
        written: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        return {**written, "video_processor": self.videos} if self.videos else written
