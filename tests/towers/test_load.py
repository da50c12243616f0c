"""From what is typed as MODEL to a loaded one, or to a reason why not."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headprune import LoadRequest, Notice, load_model
from headprune.errors import ExitCode, ModelError, PluginError
from headprune.towers.load import locate, outline_model


@pytest.fixture
def place(tmp_path: Path, tiny_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with `model` in it, a tiny BLIP-2 of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_folders["blip2-t5"], tmp_path / "model")
    return tmp_path


@pytest.mark.parametrize("typed", ["model", "./model", "transformers:model", "{}/model"])
def test_a_folder(place: Path, typed: str):
    adapter = load_model(typed.format(place))
    assert adapter.geometry.layers == 3
    assert adapter.ref.backend == "transformers" and adapter.ref.name in (typed.format(place), "model")


def test_a_folder_with_a_colon_in_its_name(place: Path):
    (place / "model").rename(place / "run:2")
    assert load_model("run:2").ref.name == "run:2"


def test_the_demo_is_the_bundled_folder():
    from headprune import demo

    _, request = locate("demo")
    assert request.name == str(demo.model_path())


def test_a_request_keeps_all_but_its_name():
    _, request = locate("owner/model", LoadRequest("ignored", "v2", "bfloat16", "cpu", "auto"))
    assert request == LoadRequest("owner/model", "v2", "bfloat16", "cpu", "auto")


def test_the_outline_is_that_of_the_loaded_model(tiny, tiny_folder: Path):
    outline = outline_model(str(tiny_folder))
    assert outline.geometry == tiny.geometry
    assert outline.parameters == tiny.parameter_count()
    assert outline.tower_parameters == sum(parameter.numel() for parameter in tiny.tower.parameters())
    assert outline.tokens == tiny.tokens == 17
    assert (outline.bytes_per_parameter, outline.download) == (4, 0)


def test_the_outline_needs_no_weights(place: Path):
    (place / "model/model.safetensors").unlink()
    assert outline_model("model").geometry.heads == 4
    with pytest.raises(ModelError, match="model cannot be loaded"):
        load_model("model")


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_a_dtype_that_is_asked_for(place: Path, dtype: str, size: int):
    request = LoadRequest("", dtype=dtype)
    adapter = load_model("model", request)
    assert adapter.dtype == getattr(torch, dtype)
    assert all(parameter.dtype == adapter.dtype for parameter in adapter.tower.parameters())
    assert outline_model("model", request).bytes_per_parameter == size


def test_half_precision_is_widened_on_a_cpu_and_said(place: Path):
    adapter = load_model("model", LoadRequest("", dtype="bfloat16"))
    adapter.save(place / "half")
    with pytest.warns(Notice, match="loading in float32"):
        assert load_model("half", LoadRequest("", device="cpu")).dtype == torch.float32


@pytest.mark.parametrize(
    "typed", ["./none", "/no/model/here", "no/such/model", "none", "no-such-owner/no-such-model", "transformers:none"]
)
def test_what_is_not_there(place: Path, typed: str):
    for opening in (load_model, outline_model):
        with pytest.raises(ModelError, match=typed.removeprefix("transformers:")) as caught:
            opening(typed)
        assert caught.value.exit_code == ExitCode.FAILED and caught.value.hint


@pytest.mark.parametrize(
    "typed",
    ["./none", "../none", "/none", "~/none", "~me/none", ".", "..", ".none/x", "a\\b", "./a:b", "transformers:./none"],
)
def test_a_path_is_never_asked_of_the_hub(place: Path, typed: str, monkeypatch: pytest.MonkeyPatch):
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    monkeypatch.setattr(Path, "is_dir", lambda path: False)  # `.` is there
    with pytest.raises(ModelError, match=r"model folder .* is not there"):
        locate(typed)


@pytest.mark.parametrize("name", ["weights.pt", "some/weights.bin"])
def test_a_file_of_weights_is_named_for_what_it_is(place: Path, name: str):
    class Trap:
        def __reduce__(self):
            return Path.touch, (place / "opened",)

    (place / "some").mkdir()
    torch.save({"weight": Trap()}, place / name)
    with pytest.raises(ModelError, match=f"{name} is a file, a zip archive, as PyTorch's .pt"):
        load_model(name)
    (place / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelError, match=f"{name} is a file, a pickle, which could run any code"):
        outline_model(name)
    (place / name).write_text("words")
    with pytest.raises(ModelError, match=f"{name} is a file: a model is a folder"):
        load_model(name)
    assert not (place / "opened").exists()


def test_a_back_end_that_is_not_installed(place: Path):
    with pytest.raises(PluginError, match="no adapter called 'lavish'") as caught:
        load_model("lavish:blip2_t5")
    assert "transformers" in caught.value.hint


def test_a_family_that_is_not_supported(place: Path):
    (place / "model/config.json").write_text('{"model_type": "swin"}')
    for opening in (load_model, outline_model):
        with pytest.raises(ModelError, match="'swin' is not supported") as caught:
            opening("model")
        assert "blip-2, instructblip" in caught.value.hint


@pytest.mark.parametrize("part", ["layers.1.self_attn.qkv.weight", "query_tokens", "language_projection.bias"])
def test_a_missing_tensor_is_named_not_drawn_at_random(place: Path, part: str):
    tensors = load_file(place / "model/model.safetensors")
    (name,) = (name for name in tensors if name.endswith(part))
    del tensors[name]
    save_file(tensors, place / "model/model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=f"lacks weights: .*{part}"):
        load_model("model")


def test_truncated_weights(place: Path):
    weights = place / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="model cannot be loaded"):
        load_model("model")


def test_pickled_weights_are_never_opened(place: Path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (place / "opened",)

    (place / "model/model.safetensors").unlink()
    torch.save({"weight": Trap()}, place / "model/pytorch_model.bin")
    with pytest.raises(ModelError) as caught:
        load_model("model")
    assert "the weights of model are in pytorch_model.bin, which may run code" in caught.value.message
    assert "save_pretrained(FOLDER) writes safetensors" in caught.value.hint
    assert not (place / "opened").exists()


def test_code_beside_the_weights_is_never_run(place: Path):
    config = (place / "model/config.json").read_text()
    (place / "model/trap.py").write_text(f"open({str(place / 'ran')!r}, 'w')")
    mapped = '{"auto_map": {"AutoConfig": "trap.Config", "AutoModel": "trap.Model"},' + config.lstrip()[1:]
    (place / "model/config.json").write_text(mapped)
    load_model("model")
    assert not (place / "ran").exists()


@pytest.mark.parametrize(
    ("request_", "told"), [(LoadRequest("", device="toaster"), "toaster"), (LoadRequest("", dtype="int3"), "int3")]
)
def test_devices_and_dtypes_that_do_not_exist(place: Path, request_: LoadRequest, told: str):
    with pytest.raises(ModelError, match=told):
        load_model("model", request_)
