"""What a recipe names, opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headprune.errors import UsageError, notice
from headprune.hooks.datasets import open_dataset
from headprune.recipes.schema import Recipe
from headprune.scoring.engine import ModelFacts
from headprune.towers.adapter import Adapter, LoadRequest
from headprune.towers.batches import Batch, choose_batch
from headprune.towers.load import load_model
from headprune.types import Dataset, Generation, LeftOut


def request_of(recipe: Recipe) -> LoadRequest:
    """How the recipe wants its model loaded."""
    return LoadRequest(recipe.model, recipe.revision, recipe.dtype, recipe.device, recipe.device_map, recipe.adapter)


def load_for(recipe: Recipe) -> Adapter:
    """The recipe's model, loaded as the recipe says."""
    return load_model(recipe.model, request_of(recipe))


def dataset_for(recipe: Recipe) -> Dataset:
    """The recipe's dataset, what it had to leave out announced."""
    dataset = open_dataset(recipe.require_data(), dict(recipe.dataset_options), recipe.dataset)
    announce_left_out(dataset.left_out)
    return dataset


def asked_rows(recipe: Recipe) -> int | None:
    """The batch size that was asked for; None is auto."""
    return None if recipe.batch_size == "auto" else recipe.batch_size


def batch_for(recipe: Recipe, adapter: Adapter) -> Batch:
    """How much is done at once on this model."""
    return choose_batch(adapter.geometry, adapter.tokens, adapter.dtype.itemsize, asked_rows(recipe), adapter.device)


def labelled(generation: Generation, adapter: Adapter | ModelFacts, dataset: Dataset) -> Generation:
    """`generation`, with the labels where the model chooses among some: its own, else the dataset's, else the gold
    captions of all the dataset's samples, each once.

    Raises:
        UsageError: there are none.
    """
    if dataset.labels and (adapter.labels or not adapter.chooses):
        own = "labels" if adapter.labels else "words"
        notice(f"the labels of {dataset.ref} play no part: {adapter.ref} has {own} of its own")
    if not adapter.chooses:
        return generation
    gold = dict.fromkeys(caption for sample in dataset.samples for caption in sample.captions)
    labels = adapter.labels or dataset.labels or tuple(gold)
    if not labels:
        raise UsageError(
            f"{adapter.ref} chooses among labels, and {dataset.ref} has neither labels nor captions",
            "--dataset-option labels=FILE, a label a line; in a picture folder also labels=folders",
        )
    return replace(generation, labels=labels)


def announce_left_out(left_out: Sequence[LeftOut]) -> None:
    """Say how many samples could not be used, and why the first could not."""
    if left_out:
        more = "; ..." if len(left_out) > 1 else ""
        notice(f"{len(left_out)} samples left out ({left_out[0].id}: {left_out[0].reason}{more})")
