"""Registers the `judge` scorer."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The one scorer of this package."""
    return [
        ScorerSpec(
            name="judge",
            target="headprune_judge.judge:Judge",
            summary="a vision-language model behind an OpenAI-compatible server rates captions with their picture",
            requires=("openai>=2",),
            advice="pip install 'headprune[judge]'; concreteness needs no server",
            personal=("base_url", "api_key_env", "cache"),
        )
    ]
