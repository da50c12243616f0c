"""What this plugin offers."""

from __future__ import annotations

from headprune import DatasetSpec, hookimpl

_HUB = ("datasets>=3.0",)


@hookimpl
def headprune_datasets() -> list[DatasetSpec]:
    """Image folders and COCO captions need Pillow alone, the hub's datasets the `hub` extra."""
    return [
        DatasetSpec(
            "imagefolder",
            "headprune_datasets.imagefolder:ImageFolder",
            "A folder of pictures, with captions in metadata.jsonl or metadata.csv.",
        ),
        DatasetSpec(
            "coco",
            "headprune_datasets.coco:Coco",
            "A COCO captions file and its folder of pictures: coco:captions.json:images/.",
        ),
        DatasetSpec(
            "hub",
            "headprune_datasets.hub:Hub",
            "A dataset of the Hugging Face hub, or a parquet file or folder of the same form: hub:owner/name.",
            requires=_HUB,
        ),
        DatasetSpec(
            "whoops",
            "headprune_datasets.hub:Whoops",
            "WHOOPS: 500 pictures that defy common sense, five crowd captions each (nlphuji/whoops).",
            requires=_HUB,
        ),
    ]
