"""`python -m headprune.demo.training.measure`: every figure of the model card, as one JSON document."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoProcessor, Blip2ForConditionalGeneration

from headprune.demo import BERT_LAYERS, bert_path, model_path
from headprune.demo.captions import attributes_right, canonical
from headprune.demo.dataset import Entry, held_out
from headprune.demo.training.reading import captions_at, right_by_kind
from headprune.hooks.catalogue import make_scorer
from headprune.types import ScoreItem

Scores = NDArray[np.float64]

_FOR_SCORING = 100
_DRAWS = 2000
_OTHERS = 5


class Cider:
    """CIDEr of captions of the measured scenes, by the scorer that headprune ships; one score a scene."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.gold = [entry.captions for entry in entries]
        self.scorer = make_scorer("cider", {})
        self.scorer.fit(self.gold)

    def scores(self, captions: Sequence[str], gold: Sequence[Sequence[str]] | None = None) -> Scores:
        """The score of each caption against its scene's gold captions, or against those given. [N]"""
        items = [ScoreItem(caption=said, gold=true) for said, true in zip(captions, gold or self.gold, strict=True)]
        return np.array(self.scorer.score(items))

    def ceiling(self) -> float:
        """A gold caption against its scene's others, over all of them."""
        means = []
        for number in range(len(self.gold[0])):
            others = [true[:number] + true[number + 1 :] for true in self.gold]
            means.append(self.scores([true[number] for true in self.gold], others).mean())
        return float(np.mean(means))

    def of_other_scenes(self, captions: Sequence[str]) -> float:
        """What the captions score on random other scenes."""
        luck = np.random.default_rng(0)
        shifts = luck.choice(np.arange(1, len(captions)), _OTHERS, replace=False)
        return float(np.mean([self.scores([*captions[shift:], *captions[:shift]]).mean() for shift in shifts]))


class Subject:
    """The bundled model, with the pictures it is measured on."""

    def __init__(self, folder: Path, entries: Sequence[Entry]) -> None:
        self.model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
        processor = AutoProcessor.from_pretrained(folder)
        self.tokenizer = processor.tokenizer
        self.pictures: Tensor = processor(
            images=[entry.picture() for entry in entries], return_tensors="pt"
        ).pixel_values
        self.layers = self.model.vision_model.encoder.layers

    def captions(self, depth: int) -> list[str]:
        """D(Z[depth]) of every picture."""
        return captions_at(self.model, self.tokenizer, self.pictures, depth)

    def without_head(self, layer: int, head: int) -> list[str]:
        """The last layer's captions when one head's output is set to zero before the output projection."""
        attention = self.layers[layer].self_attn
        width = attention.head_dim

        def silence(_module: torch.nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
            changed = args[0].clone()
            changed[..., head * width : (head + 1) * width] = 0
            return (changed,)

        handle = attention.projection.register_forward_pre_hook(silence)
        try:
            return self.captions(len(self.layers))
        finally:
            handle.remove()


def by_layer(subject: Subject, cider: Cider, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Per layer, the embeddings (0) first: CIDEr, the gain over another scene's caption, accuracy, three captions."""
    rows = []
    for depth in range(len(subject.layers) + 1):
        said = subject.captions(depth)
        own = float(cider.scores(said).mean())
        right = [attributes_right(words, entry.scene.facts) for words, entry in zip(said, entries, strict=True)]
        rows.append(
            {
                "layer": depth,
                "cider": own,
                "gain": own - cider.of_other_scenes(said),
                "all_attributes_right": float(np.mean(right)),
                "right_by_kind": right_by_kind(right, [entry.scene.facts for entry in entries]),
                "examples": said[:3],
            }
        )
    return rows


def by_head(subject: Subject, cider: Cider) -> list[dict[str, Any]]:
    """Every head's effect on CIDEr when it alone is ablated, with paired bootstrap intervals over the scenes."""
    whole = cider.scores(subject.captions(len(subject.layers)))
    luck = np.random.default_rng(0)
    draws = luck.integers(0, len(whole), (_DRAWS, len(whole)))
    rows = []
    for layer in range(len(subject.layers)):
        for head in range(subject.layers[layer].self_attn.num_heads):
            change = cider.scores(subject.without_head(layer, head)) - whole
            means = change[draws].mean(axis=1)
            low, high = np.percentile(means, [2.5, 97.5])
            # 64 heads are tried at once: Bonferroni's interval, from the normal approximation that its tail needs.
            strict = 3.36 * float(change.std(ddof=1)) / len(change) ** 0.5
            rows.append(
                {
                    "layer": layer + 1,
                    "head": head,
                    "change": float(change.mean()),
                    "low": float(low),
                    "high": float(high),
                    "matters": bool(low > 0 or high < 0),
                    "matters_corrected": bool(abs(change.mean()) > strict),
                }
            )
    return rows


def bert_separation(folder: Path, entries: Sequence[Entry]) -> dict[str, float]:
    """How well BERTScore tells captions of one scene from captions of two: mean F1 of both, and the AUC."""
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=str(folder), num_layers=BERT_LAYERS)
    luck = Random(0)  # noqa: S311  seeded on purpose, nothing is secret
    pairs = [luck.sample(entry.captions[:4], 2) for entry in entries]
    same = _f1(scorer, [one for one, _ in pairs], [other for _, other in pairs])
    different = _f1(scorer, [one for one, _ in pairs], [other for _, other in pairs[1:] + pairs[:1]])
    wins = (same[:, None] > different[None, :]) + 0.5 * (same[:, None] == different[None, :])
    return {"same": float(same.mean()), "different": float(different.mean()), "auc": float(wins.mean())}


def _f1(scorer: Any, candidates: list[str], references: list[str]) -> Scores:
    """BERTScore F1 of each pair. [N]"""
    scores: Scores = scorer.score(candidates, references)[2].double().numpy()
    return scores


def main() -> None:
    """Measure and write the document to standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=model_path())
    parser.add_argument("--bert", type=Path, default=bert_path())
    parser.add_argument("--scenes", type=int, default=1000, help="how many, from number 100 on (default: %(default)s)")
    parser.add_argument("--no-heads", action="store_true", help="leave out the 64 ablations")
    asked = parser.parse_args()
    entries = held_out(asked.scenes, start=_FOR_SCORING)
    subject, cider = Subject(asked.model, entries), Cider(entries)
    layers = by_layer(subject, cider, entries)
    ceiling = cider.ceiling()
    document: dict[str, Any] = {
        "scenes": len(entries),
        "ceiling": ceiling,
        "cider_over_ceiling": layers[-1]["cider"] / ceiling,
        "cider_of_the_usual_full_caption": float(
            cider.scores([canonical(entry.scene.facts) for entry in entries]).mean()
        ),
        "layers": layers,
    }
    if not asked.no_heads:
        heads = by_head(subject, cider)
        document["heads_that_matter"] = sum(row["matters"] for row in heads)
        document["heads_that_matter_corrected"] = sum(row["matters_corrected"] for row in heads)
        document["heads"] = heads
    if asked.bert.is_dir():
        document["bert"] = bert_separation(asked.bert, entries)
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
