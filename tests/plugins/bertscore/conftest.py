"""Tiny models with random weights, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from headprune_bertscore.scorer import BertScore
from tokenizers import ByteLevelBPETokenizer
from transformers import BertConfig, BertModel, BertTokenizer, RobertaConfig, RobertaModel, RobertaTokenizer

SENTENCES = (
    "a brown dog runs over the wet sand",
    "a dog is running on a beach",
    "two men play chess in a park",
    "a red bus waits at the corner",
    "soup",
    "a bowl of soup next to some bread on a wooden table",
)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 3 layers with 40 positions, whose tokenizer names no limit."""
    words = sorted({word for sentence in SENTENCES for word in sentence.split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *(f"##{letter}" for letter in "abcdefgs")]
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    folder.mkdir()
    # A file that transformers 4.25 reads as well: this plugin works beside LAVIS too.
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    BertTokenizer.from_pretrained(folder).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RoBERTa of 2 layers: 40 position embeddings, of which the first two are never used."""
    trained = ByteLevelBPETokenizer(add_prefix_space=True)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(list(SENTENCES) * 10, vocab_size=420, min_frequency=1, special_tokens=special)
    folder = tmp_path_factory.mktemp("models") / "tiny-roberta"
    folder.mkdir()
    trained.save_model(str(folder))
    tokenizer = RobertaTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=40,
        initializer_range=0.5,
    )
    RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def make(tiny_bert: Path) -> Callable[..., BertScore]:
    """Makes a scorer on the tiny BERT, with further options."""

    def made(**options: object) -> BertScore:
        return BertScore.configured({"model_type": str(tiny_bert), "num_layers": 2, "device": "cpu", **options})

    return made


@pytest.fixture
def pairs() -> list[tuple[str, str]]:
    """Every sentence against every one, itself included."""
    return [(candidate, reference) for candidate in SENTENCES for reference in SENTENCES]
