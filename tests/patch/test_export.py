"""An exported folder: whole, loadable, seen to say what the patched model says; or not there at all."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from headprune_transformers.adapters.querying import QueryingAdapter
from safetensors.torch import load_file, save_file

from headprune import Generation, LoadRequest, ModelError, Notice, applied, load_model, sliced
from headprune.errors import HeadpruneError, UsageError
from headprune.patch.export import RECORD, compare, export
from tests.support import slow

GENERATION = Generation(max_new_tokens=8)
COEFFICIENTS = np.array([[0, 1, 2.5, 0.3], [1, 1, 1, 1], [0, 0, 0, 0]], np.float32)
PRUNED = [[0, 0], [2, 0], [2, 1], [2, 2], [2, 3]]
HOW = pytest.mark.parametrize("how", ["fold", "slice"])


@pytest.fixture
def blip2(tiny_folders):
    return load_model(str(tiny_folders["blip2-t5"]))


@HOW
def test_the_folder_says_what_the_patched_model_says(tiny, pictures, tmp_path: Path, how):
    pixels = tiny.prepare(pictures)
    with applied(tiny, COEFFICIENTS):
        said, logits = slow.vanilla_answers(tiny, pixels, GENERATION)
    untouched, values = slow.vanilla_captions(tiny, pixels, GENERATION), dict(tiny.model.named_parameters())
    after = export(tiny, COEFFICIENTS, tmp_path / "out", {}, how)
    assert slow.vanilla_captions(tiny, pixels, GENERATION) == untouched != said
    assert all(parameter is values[name] for name, parameter in tiny.model.named_parameters())
    again = load_model(str(tmp_path / "out"))
    found, found_logits = slow.vanilla_answers(again, again.prepare(pictures), GENERATION)
    assert found == said
    torch.testing.assert_close(found_logits, logits, atol=1e-3, rtol=1e-4)
    assert after == again.parameter_count()
    assert again.geometry.heads_in == ((3, 4, 0) if how == "slice" else (4, 4, 4))


@HOW
def test_the_weights_are_bit_for_bit_those_in_memory(tiny, tmp_path: Path, how):
    export(tiny, COEFFICIENTS, tmp_path / "out", {}, how)
    again = load_model(str(tmp_path / "out")).model.state_dict()
    with nullcontext() if how == "slice" else applied(tiny, COEFFICIENTS):
        expected = (sliced(tiny, COEFFICIENTS) if how == "slice" else tiny).model.state_dict()
    assert again.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in again.items())


@HOW
def test_everything_that_belongs_to_a_model_comes_along(blip2, tmp_path: Path, how):
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    blip2.processor.tokenizer.chat_template = template
    blip2.model.generation_config.repetition_penalty = 1.25
    export(blip2, COEFFICIENTS, tmp_path / "out", {"scale": "none", "prune": "count=1"}, how)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    code = {"modeling_headprune.py"} if how == "slice" else set()
    assert names == code | {
        "README.md", "config.json", "generation_config.json", RECORD, "model.safetensors",
        "processor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip
    again = load_model(str(tmp_path / "out"))
    assert again.processor.tokenizer.chat_template == template
    assert again.model.generation_config.repetition_penalty == 1.25
    assert again.processor.tokenizer.get_vocab() == blip2.processor.tokenizer.get_vocab()
    assert again.processor.image_processor.to_dict() == blip2.processor.image_processor.to_dict()


@HOW
def test_the_record(blip2, tmp_path: Path, how):
    export(blip2, COEFFICIENTS, tmp_path / "out", {"patch": "abc", "scale": "paper", "prune": None}, how)
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record == {
        "base": blip2.ref.name,
        "backend": "transformers",
        "base_revision": None,
        "how": how,
        "patch": "abc",
        "prune": None,
        "pruned": PRUNED,
        "scale": "paper",
    }
    card = (tmp_path / "out" / "README.md").read_text()
    assert blip2.ref.name in card and "| 2 | 0, 1, 2, 3 |" in card
    assert ("trust_remote_code=True" in card) == (how == "slice")


def test_a_folded_folder_loads_with_the_familys_own_class(tiny, pictures, tmp_path: Path):
    with applied(tiny, COEFFICIENTS):
        said = slow.vanilla_captions(tiny, tiny.prepare(pictures), GENERATION)
    export(tiny, COEFFICIENTS, tmp_path / "out", {})
    cls = type(tiny.model)
    assert cls.__module__.startswith("transformers.")
    again = load_model(str(tmp_path / "out"))
    again.model = cls.from_pretrained(tmp_path / "out").eval()
    again.processor = transformers.AutoProcessor.from_pretrained(tmp_path / "out")
    assert slow.vanilla_captions(again, again.prepare(pictures), GENERATION) == said


@HOW
def test_an_exported_folder_is_exported_again(blip2, pictures, tmp_path: Path, how):
    """Sliced, then folded or sliced: the folder still brings its code, and its heads are counted as they are there."""
    export(blip2, COEFFICIENTS, tmp_path / "once", {}, "slice")
    once = load_model(str(tmp_path / "once"))
    s = np.array([[2, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 1]], np.float32)
    export(once, s, tmp_path / "twice", {}, how)
    assert json.loads((tmp_path / "twice" / RECORD).read_text())["pruned"] == [[0, 1], [1, 1]]
    assert (tmp_path / "twice/modeling_headprune.py").is_file()
    twice = load_model(str(tmp_path / "twice"))
    assert twice.geometry.heads_in == ((2, 3, 0) if how == "slice" else (3, 4, 0))
    assert twice.model.config.headprune["kept"][0] == ([1, 3] if how == "slice" else [1, 2, 3])
    with applied(once, s):
        said = slow.vanilla_captions(once, once.prepare(pictures), GENERATION)
    assert slow.vanilla_captions(twice, twice.prepare(pictures), GENERATION) == said


@HOW
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(tiny_folder, pictures, tmp_path: Path, how, dtype):
    adapter = load_model(str(tiny_folder), LoadRequest("", dtype=dtype))
    export(adapter, COEFFICIENTS, tmp_path / "out", {}, how)
    # T5 keeps some of its weights in float32 when the rest is float16.
    in_memory = {name: tensor.dtype for name, tensor in adapter.model.state_dict().items()}
    on_disk = {name: tensor.dtype for name, tensor in load_file(tmp_path / "out/model.safetensors").items()}
    assert on_disk == {name: in_memory[name] for name in on_disk} and getattr(torch, dtype) in on_disk.values()
    again = load_model(str(tmp_path / "out"), LoadRequest("", dtype=dtype))
    with applied(adapter, COEFFICIENTS):
        states = adapter.trace(adapter.prepare(pictures), depths=[3]).states[3].float()
    found = again.trace(again.prepare(pictures), depths=[3]).states[3].float()
    assert (found - states).abs().max() < 0.05 * states.abs().max()


@HOW
def test_a_tower_without_any_head(blip2, pictures, tmp_path: Path, how):
    nothing = np.zeros((3, 4), np.float32)
    export(blip2, nothing, tmp_path / "out", {}, how)
    again = load_model(str(tmp_path / "out"))
    with applied(blip2, nothing):
        said = slow.vanilla_captions(blip2, blip2.prepare(pictures), GENERATION)
    assert slow.vanilla_captions(again, again.prepare(pictures), GENERATION) == said


# What makes an export fail, and what is left of it then.


def sabotaged(adapter: QueryingAdapter, cls: type[QueryingAdapter]) -> QueryingAdapter:
    adapter.__class__ = cls
    return adapter


class OtherWeights(QueryingAdapter):
    """Saves a tower with one number wrong."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["vision_model.encoder.layers.1.self_attn.projection.weight"][0, 0] += 0.5
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    def without_heads(self, kept):
        return sabotaged(super().without_heads(kept), OtherWeights)


class WrongHead(QueryingAdapter):
    """Drops another head than it was told to."""

    def without_heads(self, kept):
        first = [head for head in kept[1] if head != 2]
        return super().without_heads([kept[0], first, *kept[2:]])


class OtherPictures(QueryingAdapter):
    """Saves a processor that shows the model other pictures."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        config = json.loads((folder / "processor_config.json").read_text())
        config["image_processor"]["image_mean"] = [0.1, 0.9, 0.5]
        (folder / "processor_config.json").write_text(json.dumps(config))

    def without_heads(self, kept):
        return sabotaged(super().without_heads(kept), OtherPictures)


class OtherWords(QueryingAdapter):
    """Saves a tokenizer that calls the same tokens other words: the tower is right, the captions are not."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        words = (folder / "tokenizer.json").read_text().replace('"word', '"ward')
        (folder / "tokenizer.json").write_text(words)

    def without_heads(self, kept):
        return sabotaged(super().without_heads(kept), OtherWords)


class NoWeights(QueryingAdapter):
    """Saves no weights."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "model.safetensors").unlink()

    def without_heads(self, kept):
        return sabotaged(super().without_heads(kept), NoWeights)


SABOTAGE = [
    (OtherWeights, "off the patched one's"),
    (OtherPictures, "off the patched one's"),
    (OtherWords, "the exported model says .*ward"),
    (NoWeights, "cannot be loaded"),
]


@pytest.mark.parametrize(
    ("how", "cls", "told"),
    # Only slicing takes heads out.
    [*((how, *case) for how in ("fold", "slice") for case in SABOTAGE), ("slice", WrongHead, "off the patched one's")],
)
def test_a_folder_that_says_something_else_is_not_written(blip2, tmp_path: Path, how, cls, told):
    with pytest.raises(ModelError, match=told) as caught:
        export(sabotaged(blip2, cls), COEFFICIENTS, tmp_path / "a" / "out", {}, how)
    assert "\n" not in caught.value.message and caught.value.hint
    assert list(tmp_path.iterdir()) == []


@HOW
@pytest.mark.parametrize("raised", [KeyboardInterrupt, OSError(28, "No space left on device"), ZeroDivisionError])
@pytest.mark.parametrize("there", [False, True])
def test_an_export_that_fails_leaves_nothing(blip2, tmp_path: Path, how, raised, there):
    class Failing(QueryingAdapter):
        def save(self, folder: Path) -> None:
            super().save(folder)
            raise raised

        def without_heads(self, kept):
            return sabotaged(super().without_heads(kept), Failing)

    out = tmp_path / "a" / "out"
    if there:
        out.mkdir(parents=True)
    expected = HeadpruneError if isinstance(raised, OSError) else raised
    with pytest.raises(expected, match="space" if isinstance(raised, OSError) else None):
        export(sabotaged(blip2, Failing), COEFFICIENTS, out, {}, how)
    assert [path.name for path in tmp_path.rglob("*")] == (["a", "out"] if there else [])


@HOW
def test_an_output_folder_that_holds_something_is_left_alone(blip2, tmp_path: Path, how):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UsageError):
        export(blip2, COEFFICIENTS, tmp_path, {}, how)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


class OneWordLess(QueryingAdapter):
    """Leaves a word out wherever it speaks."""

    def decode(self, states, generation, form=None):
        return [said.partition(" ")[2] for said in super().decode(states, generation)]


def test_captions_that_half_precision_changes_are_said(blip2, tiny_folders):
    """In bfloat16 silent heads that are summed round otherwise than heads that are gone: a note, not an error."""
    again = load_model(str(tiny_folders["blip2-t5"]))
    ones = np.ones_like(COEFFICIENTS)
    compare(blip2, ones, again)
    with pytest.raises(ModelError, match="says"):
        compare(blip2, ones, sabotaged(again, OneWordLess))
    blip2.model.to(torch.bfloat16)
    again.model.to(torch.bfloat16)
    with pytest.warns(Notice, match=r"4 of 4 captions changed by bfloat16 rounding"):
        compare(blip2, ones, again)
