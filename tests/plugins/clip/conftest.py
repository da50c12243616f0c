"""A tiny CLIP with random weights, made on the spot, whose tokenizer is CLIP's own class over bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers
from headprune_clip.scorers import ClipScore, RefClipScore
from transformers.convert_slow_tokenizer import bytes_to_unicode

from tests.support import tiny


def tokenizer() -> transformers.CLIPTokenizer:
    """A token a letter: 256 bytes, the same at the end of a word, and the two special tokens."""
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    made = transformers.CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[])
    made.model_max_length = 77
    return made


def build(folder: Path) -> Path:
    """Write the model and its processor into `folder`."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    words = tokenizer()
    text = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    model = transformers.CLIPModel(
        transformers.CLIPConfig(text_config=text, vision_config=tiny.VISION, projection_dim=24)
    )
    # Random weights know no picture: by these some cosines are below 0, and the contract's foreign caption is worse.
    tiny.redraw(model, 5)
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
    transformers.CLIPProcessor(pictures, words).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "tiny-clip")


@pytest.fixture
def make(tiny_clip: Path) -> Callable[..., ClipScore]:
    """Makes a scorer on the tiny CLIP, with further options."""

    def made(kind: type[ClipScore] = ClipScore, **options: object) -> ClipScore:
        return kind.configured({"model": str(tiny_clip), "device": "cpu", **options})

    return made


@pytest.fixture
def make_ref(make: Callable[..., ClipScore]) -> Callable[..., ClipScore]:
    return lambda **options: make(RefClipScore, **options)
