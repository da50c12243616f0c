"""The bundled demo: a small BLIP-2 that was trained for it, a BERT for BERTScore, and scenes that render from seeds."""

from __future__ import annotations

from pathlib import Path

BERT_LAYERS = 3
"""Layers of the bundled BERT: `BERTScorer(model_type=str(bert_path()), num_layers=BERT_LAYERS)`."""


def model_path() -> Path:
    """The folder of the bundled model, for `Blip2ForConditionalGeneration` and `AutoProcessor`."""
    return Path(__file__).parent / "model"


def bert_path() -> Path:
    """The folder of the bundled BERT encoder, for `BERTScorer`."""
    return Path(__file__).parent / "bert"
