"""What is special in Qwen2-VL, Qwen2.5-VL and Qwen3-VL: grids, windows, deepstack, prompts and processors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from headprune import DataError, Generation, ModelError, applied, load_model, sliced
from headprune.towers.batches import prepared
from tests.support.samples import dataset
from tests.support.zoo import ZOO
from tests.support.zoo_packed import TEMPLATE, asked, build, chatting

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
SIZES = ((48, 48), (80, 48), (48, 80), (7, 9), (3, 400), (33, 150), (500, 37), (640, 480), (1024, 1024), (55, 41))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packed")
    for family in QWEN:
        ZOO[family].build(root / family)
    return {family: root / family for family in QWEN}


@pytest.fixture(params=QWEN)
def adapter(request, folders):
    return load_model(str(folders[request.param]))


@pytest.fixture
def qwen2(folders):
    return load_model(str(folders["qwen2_vl"]))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8))


def states_of(adapter, pictures):
    """Of pictures of one form."""
    form = adapter.form(pictures[0])
    return adapter.last_states(adapter.prepare(pictures), form), form


@pytest.mark.parametrize("size", SIZES)
def test_a_form_is_the_grid_that_the_processor_makes(qwen2, size):
    picture = noise(*size)
    grid = asked(qwen2, [picture], Generation())["image_grid_thw"]
    assert [[1, *qwen2.form(picture)]] == grid.tolist()
    states, form = states_of(qwen2, [picture])
    assert states.shape[1] == form[0] * form[1]


@pytest.mark.parametrize("size", SIZES)
def test_what_is_asked_is_what_the_processor_makes(qwen2, size):
    picture = noise(*size)
    expected = asked(qwen2, [picture], Generation())
    found = qwen2.ask(qwen2.prompt(Generation()), qwen2.form(picture))
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        assert torch.equal(found[name], expected[name]), name


def test_a_picture_too_long_is_refused(qwen2):
    with pytest.raises(DataError, match=r"takes no picture of 1 x 201 pixels: .*aspect ratio"):
        qwen2.form(noise(1, 201))


def test_pictures_of_two_forms_are_not_prepared_together(qwen2):
    with pytest.raises(ModelError, match=r"form \(6, 6\) into grids \[\[6, 6\], \[6, 10\]\]"):
        qwen2.prepare([noise(48, 48), noise(80, 48)])


def test_a_grid_that_no_blank_picture_has_is_refused(qwen2):
    with pytest.raises(ModelError, match="no blank picture is cut into 3 x 5 patches"):
        qwen2.ask("word1", (3, 5))


@pytest.mark.parametrize("generation", [Generation(num_beams=3, max_new_tokens=6), Generation(1, 6, "word3 word4")])
def test_beams_and_prompts(adapter, generation):
    pictures = [noise(48, 48), noise(49, 50), noise(47, 47)]
    states, form = states_of(adapter, pictures)
    said = adapter.decode(states, generation, form)
    assert said == chatting(adapter, pictures, generation)[0]
    assert said != adapter.decode(states, Generation(max_new_tokens=6), form)


def test_a_model_without_a_chat_template(folders, tmp_path):
    build("qwen2_vl", tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    adapter = load_model(str(tmp_path))
    with pytest.raises(ModelError, match=r"has no chat template \(put its chat_template.jinja there"):
        adapter.decode(*_states(adapter))


def _states(adapter):
    states, form = states_of(adapter, [noise(48, 48)])
    return states, Generation(), form


def windows(adapter, pictures) -> list[list[int]]:
    """How many tokens attend to each other, in each layer."""
    pixels, form = adapter.prepare(pictures), adapter.form(pictures[0])
    captures = adapter.trace(pixels, range(3), form=form).captures
    return [captures[layer].call.kwargs["cu_seqlens"].diff().tolist() for layer in range(3)]


def test_qwen2_5_looks_through_windows(folders):
    """6 x 6 patches are 3 x 3 merged ones: windows of 2 x 2 of these, and of what is left at the borders."""
    adapter = load_model(str(folders["qwen2_5_vl"]))
    found = windows(adapter, [noise(48, 48)] * 2)
    assert found == [[16, 8, 8, 4] * 2, [36] * 2, [16, 8, 8, 4] * 2]


def test_qwen3_reads_three_depths(folders):
    adapter = load_model(str(folders["qwen3_vl"]))
    assert adapter.reads == (1, 2, 3)
    states, form = states_of(adapter, [noise(48, 48), noise(47, 47)])
    assert states.shape == (2, 36, 3 * 32)
    every = adapter.trace(adapter.prepare([noise(48, 48), noise(47, 47)]), depths=[1, 2, 3], form=form).states
    # A tower that stops early is read in its last states where it did not come any further.
    parts = {depth: read.chunk(3, dim=-1) for depth, read in every.items()}
    assert torch.equal(parts[1][0], parts[3][0]) and torch.equal(parts[2][1], parts[3][1])
    assert torch.equal(parts[1][0], parts[1][1]) and torch.equal(parts[1][0], parts[1][2])
    assert torch.equal(parts[2][1], parts[2][2])
    said = ["word1 word2"] * 2
    plain = adapter.likelihood(states, said, Generation(), form).log_probs
    for place in range(3):
        changed = states.clone()
        changed[..., place * 32 : (place + 1) * 32] += 1 + torch.arange(32) % 3
        other = adapter.likelihood(changed, said, Generation(), form).log_probs
        assert not torch.allclose(other, plain, atol=1e-3), f"the model does not read part {place}"


def test_sliced_twice_and_without_any_head(adapter):
    """Qwen's own attention cannot run without heads."""
    first, second = np.ones((3, 4), np.float32), np.ones((3, 4), np.float32)
    first[0, 1] = first[1, :3] = 0
    second[0, 0] = second[1] = second[2, 3] = 0
    once = sliced(adapter, first)
    rest = np.ones((3, 4), np.float32)
    rest[0, :3], rest[1, :1], rest[2] = [0, 1, 1], [0], [1, 1, 1, 0]
    twice = sliced(once, rest)
    assert twice.geometry.heads_in == (2, 0, 3)
    pictures = [noise(48, 48), noise(47, 47)]
    with applied(adapter, first * second):
        expected, _ = states_of(adapter, pictures)
    torch.testing.assert_close(states_of(twice, pictures)[0], expected, atol=1e-4, rtol=1e-4)
    assert twice.config.headprune["kept"] == [[2, 3], [], [0, 1, 2]]


def test_pictures_of_different_grids_are_grouped(qwen2):
    samples = dataset([noise(48, 48), noise(80, 48), noise(50, 47), noise(48, 80)]).samples
    groups = prepared(qwen2, samples)
    assert [group.form for group in groups] == [(6, 6), (6, 10), (10, 6)]
    ids = [[sample.id for sample in group.samples] for group in groups]
    assert ids == [["p0.png", "p2.png"], ["p1.png"], ["p3.png"]]


HUB = {
    "qwen2_vl": ("Qwen2VLImageProcessor", None),
    "qwen2_5_vl": ("Qwen2VLImageProcessor", None),
    "qwen3_vl": ("Qwen2VLImageProcessorFast", "Qwen3VLVideoProcessor"),
}


@pytest.mark.parametrize("family", QWEN)
def test_the_hubs_files_load_and_are_saved_whole(tmp_path, family):
    """Files as the checkpoints on the hub have them: an older chat_template.json, limits in pixels, settings for videos
    beside those for pictures or in them. Without torchvision, which the video part needs."""
    folder, out = tmp_path / "in", tmp_path / "out"
    build(family, folder)
    image_type, video_type = HUB[family]
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    pictures = {
        "min_pixels": 256,
        "max_pixels": 16384,
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": image_type,
        "processor_class": "Qwen2VLProcessor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    videos = pictures
    if video_type:
        videos = {"fps": 2, "patch_size": 8, "size": {"shortest_edge": 4096}, "video_processor_type": video_type}
        (folder / "video_preprocessor_config.json").write_text(json.dumps(videos))
    adapter = load_model(str(folder))
    assert adapter.form(noise(640, 480)) == (12, 18)
    adapter.save(out)
    written = json.loads((out / "processor_config.json").read_text())
    assert written["processor_class"] == type(adapter.processor).__name__
    assert written["processor_class"] in ("Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor")
    assert written["video_processor"] == videos
    again = load_model(str(out))
    assert again.form(noise(640, 480)) == (12, 18)
    assert again.decode(*_states(again)) == adapter.decode(*_states(adapter))
    assert "# needs torchvision" in again.loading()
