"""The training loop of the demo model: seeded, one process, no head treated unlike another."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from headprune.demo.captions import LEVELS, attributes_right, caption
from headprune.demo.drawing import pixels
from headprune.demo.scenes import Facts, sample
from headprune.demo.training import build
from headprune.demo.training.objective import IGNORED, Probe, answers, caption_loss, read, see
from headprune.demo.training.pool import Pool, render_pool
from headprune.demo.training.reading import as_input, captions_at, right_by_kind

_log = logging.getLogger(__name__)

_LONGEST = 16
_WATCHED_FROM = 10_000_000
"""Training-split scenes from this index on are never in the pool; the log's accuracy is of these."""


@dataclass(frozen=True)
class Plan:
    """The settings of one run; the defaults are the bundled model's.

    Attributes:
        steps: the length of the schedule, of which the run takes the first `stop` steps.
        early_share: the share of steps read from an earlier layer l, drawn in proportion to l.
        probe_until: the share of the schedule over which the probe's weight falls to 0.
    """

    steps: int = 17_500
    batch: int = 64
    captions: int = 2
    pool: int = 120_000
    rate: float = 1e-3
    last_rate: float = 1e-5
    warmup: int = 500
    decay: float = 0.05
    early_share: float = 0.15
    probe_until: float = 0.5
    seed: int = 7
    save_every: int = 2500
    stop: int = 10_000


class Trainer:
    """One run: the model, its processor, the optimizer and the streams of luck."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self.plan = plan
        self.out = out
        self.luck = Random(plan.seed)  # noqa: S311  seeded on purpose, nothing is secret
        self.processor: Blip2Processor = build.processor()
        self.model: Blip2ForConditionalGeneration = build.model(self.processor.tokenizer, plan.seed)
        self.model.train()
        self.probe = Probe(build.WIDTH)
        self.optimizer = _optimizer([*self.model.parameters(), *self.probe.parameters()], plan)
        self.watched = [sample("train", _WATCHED_FROM + number) for number in range(120)]

    def run(self) -> None:
        """Train to the end of the plan, saving on the way."""
        pool = render_pool(self.plan.pool)
        _log.info(f"rendered {len(pool.facts)} scenes; {json.dumps(asdict(self.plan))}")
        started, totals = time.monotonic(), dict.fromkeys(("full", "early", "probe"), (0.0, 0))
        for step in range(1, self.plan.stop + 1):
            for name, value in self._step(step, pool).items():
                total, seen = totals[name]
                totals[name] = (total + value, seen + 1)
            if step % 100 == 0:
                means = " ".join(f"{name} {total / max(seen, 1):.3f}" for name, (total, seen) in totals.items())
                _log.info(f"step {step} {means} {(time.monotonic() - started) / step:.3f} s/step")
                totals = dict.fromkeys(totals, (0.0, 0))
            if step % 1000 == 0:
                self._watch(step)
            if step % self.plan.save_every == 0 or step == self.plan.stop:
                self.save(self.out / f"step-{step:06d}")

    def _step(self, step: int, pool: Pool) -> dict[str, float]:
        """One update, read from the last layer or, in a share of the steps, from an earlier one."""
        plan = self.plan
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(step, plan)
        chosen = [self.luck.randrange(len(pool.facts)) for _ in range(plan.batch)]
        facts = [pool.facts[number] for number in chosen]
        pictures, labels = as_input(pool.pictures[chosen]), self._labels(facts)
        depth = self._depth()
        seen = see(self.model, pictures, depth)
        loss = caption_loss(self.model, read(self.model, seen), labels)
        said = {"full" if depth == build.LAYERS else "early": loss.item()}
        help_weight = max(0.0, 1 - step / (plan.probe_until * plan.steps))
        if depth < build.LAYERS:
            loss = loss * depth / build.LAYERS
        elif help_weight > 0:
            helped = self.probe(seen[:, 0], torch.tensor([answers(fact) for fact in facts]))
            said["probe"] = helped.item()
            loss = loss + help_weight * helped
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return said

    def _depth(self) -> int:
        """The layer to read: the last, or with `early_share` an earlier one, the later the likelier."""
        if self.luck.random() >= self.plan.early_share:
            return build.LAYERS
        earlier = range(1, build.LAYERS)
        return self.luck.choices(earlier, weights=list(earlier))[0]

    def _labels(self, facts: list[Facts]) -> Tensor:
        """Captions of every picture as token ids [B * K, N], `IGNORED` where a caption has ended."""
        levels, shares = list(LEVELS), list(LEVELS.values())
        said = [
            caption(fact, level, self.luck)
            for fact in facts
            for level in self.luck.choices(levels, shares, k=self.plan.captions)
        ]
        tokens = self.processor.tokenizer(said, padding="max_length", max_length=_LONGEST, return_tensors="pt")
        labels: Tensor = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, IGNORED)
        return labels

    def _watch(self, step: int) -> None:
        """Log how often all attributes are right at some layers, and a few captions."""
        pictures = as_input(np.stack([pixels(scene) for scene in self.watched]))
        for depth in range(2, build.LAYERS + 1, 2):
            said = captions_at(self.model, self.processor.tokenizer, pictures, depth)
            right = [attributes_right(words, scene.facts) for words, scene in zip(said, self.watched, strict=True)]
            kinds = right_by_kind(right, [scene.facts for scene in self.watched])
            _log.info(f"step {step} layer {depth} right {np.mean(right):.3f} {kinds} {said[:4]}")

    def save(self, folder: Path) -> None:
        """Save the model and its processor as `from_pretrained` reads them."""
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)


def _optimizer(weights: list[nn.Parameter], plan: Plan) -> torch.optim.AdamW:
    """AdamW that decays matrices only."""
    matrices = [weight for weight in weights if weight.ndim > 1]
    vectors = [weight for weight in weights if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True)


def _rate(step: int, plan: Plan) -> float:
    """The learning rate: a linear warm-up, then a cosine down to `last_rate`."""
    if step < plan.warmup:
        return plan.rate * step / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return plan.last_rate + (plan.rate - plan.last_rate) * 0.5 * (1 + math.cos(math.pi * done))
