"""`python -m headprune.demo.training.bert OUT`: the tiny BERT behind BERTScore, trained by masked words."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from random import Random

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, BertModel, BertTokenizer

from headprune.demo import BERT_LAYERS
from headprune.demo.captions import LEVELS, caption, vocabulary
from headprune.demo.scenes import Facts, sample

_WIDTH = 96
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_LENGTH = 36
_MASKED = 0.25
_SCENES = 20_000

_log = logging.getLogger(__name__)


def tokenizer() -> BertTokenizer:
    """A WordPiece tokenizer whose pieces are the demo's words, whole."""
    words = [*_SPECIAL, *vocabulary()]
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)}, model_max_length=64)


def untrained(words: int, seed: int) -> BertForMaskedLM:
    """A BERT of `BERT_LAYERS` layers with a masked-word head, its weights drawn from the seed."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=words,
        hidden_size=_WIDTH,
        num_hidden_layers=BERT_LAYERS,
        num_attention_heads=6,
        intermediate_size=2 * _WIDTH,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
    )
    return BertForMaskedLM(config)


def train(out: Path, steps: int, batch: int, rate: float, seed: int) -> None:
    """Masked-word training on captions of training scenes, alone or two of the same scene as BERT's two segments.

    The pair is what teaches that `crimson` and `red` are near: one names the other's masked word.
    """
    words = tokenizer()
    model = untrained(len(words), seed).train()
    luck = Random(seed)  # noqa: S311  seeded on purpose, nothing is secret
    noise = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    scenes = [sample("train", number).facts for number in range(_SCENES)]
    total = 0.0
    for step in range(1, steps + 1):
        tokens = words(
            *_texts(luck.choices(scenes, k=batch), luck),
            padding="max_length",
            max_length=_LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        inputs, labels = _mask(tokens["input_ids"], words, noise)
        loss = model(**{**tokens, "input_ids": inputs}, labels=labels).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total += loss.item()
        if step % 200 == 0:
            _log.info("step %d loss %.3f", step, total / 200)
            total = 0.0
    # A plain encoder also has a pooler: untrained and unused here, but its absence would be warned of at each load.
    encoder = BertModel(model.config)
    encoder.load_state_dict(model.bert.state_dict(), strict=False)
    encoder.save_pretrained(out)
    words.save_pretrained(out)
    # What bert-score asks transformers 4.25, LAVIS's, to read.
    (out / "vocab.txt").write_text("".join(f"{word}\n" for word in sorted(words.vocab, key=words.vocab.get)))


def _texts(scenes: list[Facts], luck: Random) -> tuple[list[str], list[str]]:
    """Captions of the scenes: first segments, and second ones (empty for half of them)."""
    firsts, seconds = [], []
    levels, shares = list(LEVELS), list(LEVELS.values())
    for facts in scenes:
        first, second = (caption(facts, level, luck) for level in luck.choices(levels, shares, k=2))
        firsts.append(first)
        seconds.append(second if luck.random() < 0.5 else "")
    return firsts, seconds


def _mask(tokens: Tensor, words: BertTokenizer, noise: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hide a share of the words: inputs and labels, both like tokens [B, N]."""
    hidden = (torch.rand(tokens.shape, generator=noise) < _MASKED) & (tokens >= len(_SPECIAL))
    kept = torch.rand(tokens.shape, generator=noise) < 0.15
    labels = tokens.masked_fill(~hidden, -100)
    return tokens.masked_fill(hidden & ~kept, words.mask_token_id), labels


def main() -> None:
    """Train and save the encoder."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=11)
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
