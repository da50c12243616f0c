"""Registers the back end; imports nothing heavy."""

from __future__ import annotations

from headprune import AdapterSpec, hookimpl


@hookimpl
def headprune_adapters() -> list[AdapterSpec]:
    """The LAVIS back end."""
    return [
        AdapterSpec(
            "lavis",
            "headprune_lavis.backend:LavisBackend",
            "Salesforce LAVIS: BLIP-2 (T5, OPT, first stage) with the EVA or the CLIP-L tower",
            ("salesforce-lavis==1.0.2", "transformers>=4.25,<4.27"),
            advice="make an environment of its own, with Python 3.10 or 3.11: pip install 'headprune[lavis]'",
            marker="lavis.json",
        )
    ]
