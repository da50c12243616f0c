"""Registers the `clipscore` and `refclipscore` scorers."""

from __future__ import annotations

from headprune import ScorerSpec, hookimpl

_NEEDS = ("transformers>=5.23",)
_ADVICE = "LAVIS needs transformers 4.25: use another environment, where pip install headprune gives it"


@hookimpl
def headprune_scorers() -> list[ScorerSpec]:
    """The scorers of this package."""
    return [
        ScorerSpec(
            name="clipscore",
            target="headprune_clip.scorers:ClipScore",
            summary="CLIPScore of a caption against the picture, 0 to 2.5; any CLIP, by folder or hub id",
            requires=_NEEDS,
            advice=_ADVICE,
        ),
        ScorerSpec(
            name="refclipscore",
            target="headprune_clip.scorers:RefClipScore",
            summary="RefCLIPScore of a caption against the picture and the gold captions; any CLIP",
            requires=_NEEDS,
            advice=_ADVICE,
        ),
    ]
