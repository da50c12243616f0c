"""What is trained: captions read from a layer of the tower, with a throw-away probe that helps the tower at first."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Blip2ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from headprune.demo.scenes import BACKGROUNDS, COLOURS, COUNTS, RELATIONS, SHAPES, SIZES, TEXTURES, Facts

IGNORED = -100

_QUESTIONS: tuple[tuple[str, ...], ...] = (
    tuple(COLOURS),
    tuple(SHAPES),
    tuple(COLOURS),
    tuple(SHAPES),
    RELATIONS,
    SIZES,
    TEXTURES,
    BACKGROUNDS,
    ("1", *map(str, COUNTS)),
)


def answers(facts: Facts) -> list[int]:
    """The probe's targets: one class number a question, `IGNORED` where the question does not arise."""
    second = facts.things[1] if facts.kind == "pair" else (None, None)
    said = (*facts.things[0], *second, facts.relation, facts.size, facts.texture, facts.background, str(facts.count))
    return [IGNORED if word is None else options.index(word) for options, word in zip(_QUESTIONS, said, strict=True)]


class Probe(nn.Module):
    """Linear questions about every attribute, put to the final state of the tower's class token; not saved."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, len(options)) for options in _QUESTIONS)

    def forward(self, state: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy over the questions; state [B, D], targets [B, questions]."""
        losses = [
            functional.cross_entropy(head(state), targets[:, number], ignore_index=IGNORED, reduction="sum")
            for number, head in enumerate(self.heads)
        ]
        return torch.stack(losses).sum() / (targets != IGNORED).sum()


def see(model: Blip2ForConditionalGeneration, pictures: Tensor, depth: int) -> Tensor:
    """What the connector gets from layer `depth`: the tower up to it, then its final norm.

    pictures [B, 3, S, S] -> [B, T, D].
    """
    tower = model.vision_model
    hidden = tower.embeddings(pictures)
    for layer in tower.encoder.layers[:depth]:
        hidden = layer(hidden)
    normed: Tensor = tower.post_layernorm(hidden)
    return normed


def read(model: Blip2ForConditionalGeneration, seen: Tensor) -> Tensor:
    """The language model's encoded input: image tokens, then `</s>`. seen [B, T, D] -> [B, queries + 1, D']."""
    batch = seen.shape[0]
    queries = model.query_tokens.expand(batch, -1, -1)
    found = model.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
    end = torch.full((batch, 1), model.config.text_config.eos_token_id)
    embedded = torch.cat([model.language_projection(found), model.get_input_embeddings()(end)], dim=1)
    encoded: Tensor = model.language_model.encoder(inputs_embeds=embedded).last_hidden_state
    return encoded


def caption_loss(model: Blip2ForConditionalGeneration, encoded: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of the captions' words. encoded [B, Q, D], labels [B * K, N] with K captions a picture."""
    shared = encoded.repeat_interleave(labels.shape[0] // encoded.shape[0], dim=0)
    outputs = model.language_model(encoder_outputs=BaseModelOutput(last_hidden_state=shared), labels=labels)
    loss: Tensor = outputs.loss
    return loss
