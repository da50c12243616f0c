"""The bundled demo through the command line: no file, no network, and the same answer every time."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from headprune import load_patch, open_dataset
from headprune.cli.app import app
from headprune.runs import RunStore

SCORE = ("score", "demo", "--data", "demo", "--samples", "8", "--seed", "3", "--layers", "last:2")


def run(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result


def document(*words: object) -> dict:
    return json.loads(run(*words, "--json").stdout)


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    """Any attempt to reach out fails the test."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"the demo asked the network for {address}")

    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A run of the demo and its document."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    return folder, document(*SCORE, "--out", folder)


def captions(folder: Path) -> dict:
    with RunStore.open(folder, create=False) as store:
        (found,) = filter(None, map(store.captions, store.contexts()))
        return found


def test_a_run_scores_its_layers_with_the_bundled_bertscore(scored):
    folder, found = scored
    patch = load_patch(folder / "patch.safetensors")
    geometry = patch.info.model
    assert [entry["layer"] for entry in found["layers"]] == [geometry.layers - 2, geometry.layers - 1] == patch.scored
    assert (found["samples"], found["decoded"], found["reused"]) == (8, 8 * 2 * (geometry.heads + 1), 0)
    assert (patch.info.model.name, patch.info.dataset, patch.info.scorer["name"]) == ("demo", "demo", "bertscore")
    assert set(patch.info.sample_ids) <= {sample.id for sample in open_dataset("demo").samples}
    importance = patch.importance[patch.scored]
    assert importance.min() > -1 and importance.max() <= 1 and np.ptp(importance) > 0.001


def test_the_same_command_gives_the_same_bytes(scored, tmp_path: Path):
    folder, _ = scored
    run(*SCORE, "--out", tmp_path / "again")
    assert (tmp_path / "again/patch.safetensors").read_bytes() == (folder / "patch.safetensors").read_bytes()


@pytest.mark.parametrize("size", [3])
def test_another_batch_size_gives_the_same_captions_and_coefficients(scored, tmp_path: Path, size: int):
    folder, _ = scored
    run(*SCORE, "--out", tmp_path / "again", "--batch-size", size)
    assert captions(tmp_path / "again") == captions(folder)
    a, b = (load_patch(where / "patch.safetensors").alpha for where in (folder, tmp_path / "again"))
    np.testing.assert_allclose(a, b, atol=1e-6, rtol=0)


def test_the_captions_are_of_the_demos_grammar(scored):
    folder, _ = scored
    said = captions(folder)
    words = {word for sample in open_dataset("demo").samples for caption in sample.captions for word in caption.split()}
    unchanged = {said[key] for key in said if key[2] == -1}
    assert len(unchanged) > 4 and all(set(caption.split()) <= words for caption in unchanged)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first demo scenes as an image folder: a data set that is quickly evaluated."""
    folder = tmp_path_factory.mktemp("album")
    rows = []
    for sample in open_dataset("demo").samples[:16]:
        sample.load().save(folder / f"{sample.id}.png")
        rows.append(json.dumps({"file_name": f"{sample.id}.png", "captions": sample.captions}) + "\n")
    (folder / "metadata.jsonl").write_text("".join(rows))
    return folder


def test_table_1(scored, album: Path):
    folder, _ = scored
    patch = folder / "patch.safetensors"
    layers = load_patch(patch).info.model.layers
    words = ("evaluate", "demo", "--data", album, "--patch", patch, "--convergence", "--random", 3)
    found = document(*words, "--prune", "count=1", "--scale", "none")
    assert (found["samples"], found["excluded"], found["scorer"]) == (16, 0, "cider")
    for side in (found["before"], found["after"]):
        assert 0 <= side["convergence_layer"]["low"] <= side["convergence_layer"]["mean"] <= layers - 1
        assert side["score"]["low"] <= side["score"]["mean"] <= side["score"]["high"]
    assert found["before"]["score"]["mean"] > 0.5
    assert len(found["control"]["scores"]) == 3
    again = document(*words, "--prune", "count=1", "--scale", "none")
    for part in ("difference", "control"):
        assert again[part] == found[part]


def test_scored_samples_are_left_out_of_the_demos_own_evaluation(scored):
    folder, _ = scored
    found = document("evaluate", "demo", "--data", "demo", "--exclude", folder, "--scorer", "rouge")
    assert found["excluded"] == 8
    assert found["samples"] == len(open_dataset("demo")) - 8
    assert found["before"]["score"]["mean"] > 0.5


def test_a_folded_demo_says_what_the_patched_one_says(scored, album: Path, tmp_path: Path):
    folder, _ = scored
    patch = folder / "patch.safetensors"
    images = sorted(album.glob("*.png"))[:6]
    exported = document("apply", "demo", patch, "--out", tmp_path / "folded", "--prune", "count=3", "--scale", "paper")
    assert len(exported["pruned"]) == 6
    hooked = document("caption", "demo", *images, "--patch", patch, "--prune", "count=3", "--scale", "paper")
    assert document("caption", tmp_path / "folded", *images) == hooked


def test_the_user_is_told_which_encoder_is_read(tmp_path: Path):
    result = run("score", "demo", "--data", "demo", "--samples", 1, "--layers", -1, "--out", tmp_path / "run")
    assert "note: demo: where BERTScore is asked for, it reads the bundled encoder" in result.stderr
