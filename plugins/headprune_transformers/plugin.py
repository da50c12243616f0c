"""Registers the back end; imports nothing heavy."""

from __future__ import annotations

from headprune import AdapterSpec, hookimpl


@hookimpl
def headprune_adapters() -> list[AdapterSpec]:
    """The transformers back end."""
    summary = "Hugging Face models: BLIP-2 (T5, OPT), InstructBLIP, Qwen2-VL, Qwen2.5-VL, Qwen3-VL"
    return [
        AdapterSpec("transformers", "headprune_transformers.backend:TransformersBackend", summary, ("transformers>=5",))
    ]
