"""Models without a text decoder: what they say is one of a list of labels, and a probability."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoImageProcessor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from headprune import (
    Form,
    Generation,
    ModelError,
    ModelRef,
    NumberCheck,
    TeacherForced,
    UsageError,
    answering,
    notice,
)
from headprune_transformers.adapters.adapter import TransformersAdapter
from headprune_transformers.family import Family

_TEXTS_AT_ONCE = 256


class ChoosingAdapter(TransformersAdapter):
    """A caption is the best label. Teacher forcing gives it one step, S = 1, with the softmax over the V labels."""

    chooses: ClassVar[bool] = True

    @abstractmethod
    def choices(self, generation: Generation) -> tuple[str, ...]:
        """V labels."""

    @abstractmethod
    def logits(self, states: Tensor, generation: Generation, form: Form) -> Tensor:
        """[R, V], how the model rates each label; differentiable where gradients are on."""

    def distributions(self, generation: Generation) -> tuple[int, int]:
        return 1, len(self.choices(generation))

    @torch.no_grad()
    def decode(self, states: Tensor, generation: Generation, form: Form = None) -> list[str]:
        labels = self.choices(generation)
        logits = self.logits(states, generation, form)
        check = NumberCheck(len(states))
        check.see(logits)
        check.refuse()
        return [labels[best] for best in logits.argmax(dim=-1).tolist()]

    def likelihood(
        self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None
    ) -> TeacherForced:
        logits = self.logits(states, generation, form)
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        tokens = _places(captions, self.choices(generation), log_probs.detach())
        return TeacherForced(log_probs[:, None], tokens, torch.ones_like(tokens, dtype=torch.bool))


def _places(captions: Sequence[str], labels: Sequence[str], ratings: Tensor) -> Tensor:
    """[R, 1], which label each caption is. Of labels that are spelt alike (ImageNet has two kinds of crane) the one
    that `ratings`, [R, V], has higher."""
    known: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        known.setdefault(label, []).append(place)
    strange = next((caption for caption in captions if caption not in known), None)
    if strange is not None:
        raise ModelError(f"{strange!r} is none of the {len(labels)} labels", "give the labels that it was chosen from")
    found = [
        places[0] if len(places) == 1 else max(places, key=lambda place: float(row[place]))
        for places, row in zip((known[caption] for caption in captions), ratings, strict=True)
    ]
    return torch.tensor(found, device=ratings.device)[:, None]


class ClassifierAdapter(ChoosingAdapter):
    """An image classifier: its labels are its class names."""

    processor_parts: ClassVar[Mapping[str, str]] = {"processor": "AutoImageProcessor"}

    @classmethod
    def read_processor(cls, name: str, model_type: str, **options: Any) -> Any:
        return AutoImageProcessor.from_pretrained(name, **options)

    @classmethod
    def image_part(cls, processor: Any) -> Any:
        return processor

    @property
    def labels(self) -> tuple[str, ...]:
        names: dict[int, str] = self.config.id2label
        return tuple(names[place] for place in sorted(names))

    def choices(self, generation: Generation) -> tuple[str, ...]:
        if generation.prompt is not None:
            raise UsageError(f"{self.ref} is a classifier: a prompt plays no part", "leave --prompt out")
        return self.labels

    def logits(self, states: Tensor, generation: Generation, form: Form) -> Tensor:
        with self._showing(states, form):
            return self.model(pixel_values=states).logits  # type: ignore[no-any-return]


class ZeroShotAdapter(ChoosingAdapter):
    """CLIP: the label whose text is nearest to the picture. The text is `generation.prompt` with the label in the place
    of its `{}`; without a prompt the label as it stands.

    The text tower reads a list of labels once; what it said then answers for it while the model compares.
    """

    padding: ClassVar[str | bool] = True

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, processor, family, ref)
        self._texts = lru_cache(maxsize=4)(self._read)

    def choices(self, generation: Generation) -> tuple[str, ...]:
        if not generation.labels:
            raise UsageError(f"{self.ref} has no words of its own: it chooses among labels", "give labels")
        return generation.labels

    def logits(self, states: Tensor, generation: Generation, form: Form) -> Tensor:
        labels = self.choices(generation)
        said = BaseModelOutputWithPooling(pooler_output=self._texts(labels, generation.prompt))
        unread = torch.zeros(len(labels), 1, dtype=torch.long, device=self.device)
        with self._showing(states, form), answering(self.model.get_submodule("text_model"), said):
            return self.model(input_ids=unread, pixel_values=states).logits_per_image  # type: ignore[no-any-return]

    @torch.no_grad()
    def _read(self, labels: tuple[str, ...], prompt: str | None) -> Tensor:
        """What the text tower says of the labels, [V, its width]."""
        texts = [_filled(prompt, label) for label in labels]
        tokenizer, most = self.processor.tokenizer, self.config.text_config.max_position_embeddings
        cut = sum(len(ids) > most for ids in tokenizer(texts)["input_ids"])
        if cut:
            notice(f"{cut} of {len(texts)} labels are longer than the {most} tokens that {self.ref} reads: cut there")
        tower = self.model.get_submodule("text_model")
        said = []
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            some = texts[start : start + _TEXTS_AT_ONCE]
            read = tokenizer(some, padding=self.padding, truncation=True, max_length=most, return_tensors="pt")
            said.append(tower(**read.to(self.device)).pooler_output)
        return torch.cat(said)


class SigmoidAdapter(ZeroShotAdapter):
    """SigLIP rates each label alone: a label's probability is the sigmoid of its logit, whatever the others'. Where a
    distribution is needed, its logits' softmax is one; the best label is the same. It was trained on padded texts."""

    padding: ClassVar[str | bool] = "max_length"

    @torch.no_grad()
    def probability(self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None) -> Tensor:
        logits = self.logits(states, generation, form).float()
        return logits.gather(1, _places(captions, self.choices(generation), logits))[:, 0].sigmoid()


def _filled(prompt: str | None, label: str) -> str:
    if prompt is None:
        return label
    if "{}" not in prompt:
        raise UsageError(f"prompt {prompt!r} has no {{}} for the label", '--prompt "a photo of a {}."')
    return prompt.replace("{}", label)
