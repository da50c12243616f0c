"""Registers the back end; imports nothing heavy."""

from __future__ import annotations

from headprune import AdapterSpec, hookimpl


@hookimpl
def headprune_adapters() -> list[AdapterSpec]:
    """The transformers back end."""
    summary = "Hugging Face models: BLIP-2, LLaVA, Qwen-VL, CLIP and more (README lists them)"
    return [
        AdapterSpec(
            "transformers",
            "headprune_transformers.backend:TransformersBackend",
            summary,
            ("transformers>=5.23",),
            advice="LAVIS needs transformers 4.25: use another environment, where pip install headprune gives it",
        )
    ]
