"""Importances kept in a run's store, and patches of a part of the samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headprune.errors import Notice, UsageError
from headprune.hooks.catalogue import catalogue
from headprune.patch.file import load_patch, save_patch
from headprune.patch.patch import PatchInfo
from headprune.runs.store import RunStore
from headprune.scoring.algorithm import ScoreSettings, score_heads
from headprune.scoring.coefficients import patch_from
from headprune.scoring.kept import keep_importances, kept_importances, patch_of_first
from headprune.scoring.sampling import draw
from headprune.scoring.worker import LocalEngine
from headprune.towers.batches import Batch
from headprune.types import Generation
from tests.support.patches import patch_of
from tests.support.samples import Overlap, dataset


def info_of(samples: int, layers: int = 3, heads: int = 4, ragged: tuple[int, ...] = ()) -> PatchInfo:
    info = patch_of(np.zeros((layers, heads))).info
    model = info.model.model_copy(update={"ragged": ragged})
    ids = tuple(f"s{number}" for number in range(samples))
    return info.model_copy(update={"sample_ids": ids, "temperature": 0.5, "model": model})


def drawn_importances(samples: int, layers: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((samples, layers, 4))


def test_what_was_damaged_is_kept_again(tmp_path: Path):
    per_sample = drawn_importances(6, 3)
    patch = patch_from(per_sample, (0, 1, 2), info_of(6))
    with RunStore.open(tmp_path) as store:
        keep_importances(store, patch, per_sample, (0, 1, 2))
        store.write("UPDATE importances SET by_head = replace(by_head, '1', '2') WHERE layer = ?", [(1,)])
        with pytest.warns(Notice, match="of its importances 6 lost"):
            keep_importances(store, patch, per_sample, (0, 1, 2))
        assert np.array_equal(kept_importances(store, patch), per_sample)


@pytest.mark.parametrize("layers", [(0, 1, 2), (1,), (0, 2)])
def test_what_is_kept_comes_back_bit_for_bit_by_the_saved_patch(tmp_path: Path, layers):
    per_sample = drawn_importances(6, len(layers))
    patch = patch_from(per_sample, layers, info_of(6))
    save_patch(patch, tmp_path / "patch.safetensors")
    with RunStore.open(tmp_path) as store:
        keep_importances(store, patch, per_sample, layers)
        keep_importances(store, patch, per_sample, layers)
    with RunStore.open(tmp_path, create=False) as store:
        found = kept_importances(store, load_patch(tmp_path / "patch.safetensors"))
    assert found.shape == (6, 3, 4)
    assert np.array_equal(found[:, layers], per_sample)
    others = [layer for layer in range(3) if layer not in layers]
    assert np.isnan(found[:, others]).all()
    assert patch_of_first(patch, found, 6).digest() == patch.digest()


def test_heads_that_are_not_there_stay_unset(tmp_path: Path):
    per_sample = drawn_importances(3, 3)
    per_sample[:, 1, 1:] = np.nan
    patch = patch_from(per_sample, (0, 1, 2), info_of(3, ragged=(4, 1, 4)))
    with RunStore.open(tmp_path) as store:
        keep_importances(store, patch, per_sample, (0, 1, 2))
        np.testing.assert_array_equal(kept_importances(store, patch), per_sample)
    assert patch_of_first(patch, per_sample, 2).samples.tolist() == [[2] * 4, [2, 0, 0, 0], [2] * 4]


def test_another_patchs_importances_are_never_taken(tmp_path: Path):
    per_sample = drawn_importances(3, 3)
    patch = patch_from(per_sample, (0, 1, 2), info_of(3))
    other = patch_from(per_sample + 0.5, (0, 1, 2), info_of(3).model_copy(update={"seed": 1}))
    with RunStore.open(tmp_path) as store:
        keep_importances(store, patch, per_sample, (0, 1, 2))
        contexts = store.contexts()
        with pytest.raises(UsageError, match="no importances") as caught:
            kept_importances(store, other)
        assert "headprune score" in caught.value.hint
        assert store.contexts() == contexts


def test_a_part_of_the_samples_makes_a_patch_of_its_own():
    per_sample = drawn_importances(6, 3)
    patch = patch_from(per_sample, (0, 1, 2), info_of(6))
    part = patch_of_first(patch, per_sample, 4)
    mean = sum(per_sample[number] for number in range(4)) / 4
    alpha = np.array([[np.exp(x / 0.5) / sum(np.exp(y / 0.5) for y in row) for x in row] for row in mean])
    np.testing.assert_allclose(part.importance, mean, rtol=1e-6)
    np.testing.assert_allclose(part.alpha, alpha, rtol=1e-6)
    np.testing.assert_allclose(part.scale, 4 * alpha, rtol=1e-6)
    assert (part.samples == 4).all() and part.info.sample_ids == patch.info.sample_ids[:4]


def test_the_other_samples_have_no_part_in_it():
    per_sample = drawn_importances(6, 3)
    patch = patch_from(per_sample, (0, 1, 2), info_of(6))
    others = per_sample.copy()
    others[4:] = 1 - others[4:]
    changed = patch_from(others, (0, 1, 2), info_of(6))
    assert changed.digest() != patch.digest()
    assert patch_of_first(changed, others, 4).digest() == patch_of_first(patch, per_sample, 4).digest()


def test_a_scored_part_is_what_scoring_that_part_gives(tiny, pictures):
    """The first three of five drawn samples, taken afterwards, or scored alone."""
    data = dataset(pictures)
    edit = catalogue().load("edit", "ablate").configured({})
    settings = ScoreSettings(
        (0, 2), edit, "ablate", Overlap(), "overlap", Batch(7, 2), generation=Generation(max_new_tokens=5)
    )
    drawn = draw(data, 5, 0)
    whole = score_heads(LocalEngine(tiny), data, drawn, settings)
    per_sample = np.full((5, 3, 4), np.nan)
    per_sample[:, [0, 2]] = whole.per_sample
    alone = score_heads(LocalEngine(tiny), data, replace(drawn, samples=drawn.samples[:3]), settings)
    assert patch_of_first(whole.patch, per_sample, 3).digest() == alone.patch.digest() != whole.patch.digest()
