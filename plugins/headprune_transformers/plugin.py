"""Registers the back end; imports nothing heavy."""

from __future__ import annotations

from headprune import AdapterSpec, hookimpl


@hookimpl
def headprune_adapters() -> list[AdapterSpec]:
    """The transformers back end."""
    summary = "Hugging Face models: BLIP-2 (T5, OPT), InstructBLIP"
    return [
        AdapterSpec(
            "transformers",
            "headprune_transformers.backend:TransformersBackend",
            summary,
            ("transformers>=5",),
            advice="LAVIS needs transformers 4.25: use another environment, where pip install headprune gives 5",
        )
    ]
