"""Models that speak by their own `generate`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LogitsProcessor, LogitsProcessorList

from headprune import Form, Generation, ModelRef, NumberCheck, TeacherForced
from headprune_transformers.adapters.adapter import TransformersAdapter
from headprune_transformers.captions import caption_ids, going_on, padded
from headprune_transformers.family import Family


class GeneratingAdapter(TransformersAdapter):
    """Words through the model's own `generate`, greedy or by beams; what it is asked, a subclass says."""

    def __init__(self, model: nn.Module, processor: Any, family: Family, ref: ModelRef) -> None:
        super().__init__(model, processor, family, ref)
        # The prompt is the same for all rows: tokenised once.
        self._asked = lru_cache(maxsize=64)(self.ask)

    @abstractmethod
    def ask(self, prompt: str | None, form: Form) -> dict[str, Tensor]:
        """What the model is given beside the picture: input ids [1, S] and what belongs to them; empty for nothing."""

    @property
    def vocabulary(self) -> int:
        """V, tokens that the language model chooses from."""
        return int(self.config.get_text_config().vocab_size)

    def distributions(self, generation: Generation) -> tuple[int, int]:
        return generation.max_new_tokens, self.vocabulary

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    @property
    def encoder_decoder(self) -> bool:
        """Whether captions are texts of their own, not the prompt's continuation."""
        return bool(self.config.is_encoder_decoder)

    @property
    def end(self) -> int:
        """The token that ends a caption."""
        return self.ends[0]

    @property
    def ends(self) -> tuple[int, ...]:
        """All tokens that end one."""
        return ends_of(self.model.generation_config)

    def seen(self, states: Tensor, form: Form) -> dict[str, Tensor]:
        """The pictures' part of the model's inputs. Only its shape is read: the tower's embeddings have answered."""
        return {"pixel_values": states}

    @torch.no_grad()
    def decode(self, states: Tensor, generation: Generation, form: Form = None) -> list[str]:
        text = repeated(self._asked(self.prompt(generation), form), len(states))
        watch = _Watch(len(states), self.ends)
        with self._showing(self.shown(states, generation), form):
            tokens = self.model.generate(  # type: ignore[operator]
                **self.seen(states, form),
                **self.given(text),
                num_beams=generation.num_beams,
                max_new_tokens=generation.max_new_tokens,
                do_sample=False,
                logits_processor=LogitsProcessorList([watch]),
            )
        watch.check.refuse(self.speech_dtype)
        tokens = tokens[:, self.echoed(text) :]
        return [caption.strip() for caption in self.processor.batch_decode(tokens, skip_special_tokens=True)]

    def likelihood(
        self, states: Tensor, captions: Sequence[str], generation: Generation, form: Form = None
    ) -> TeacherForced:
        tokens, mask = (tensor.to(self.device) for tensor in padded([self._ids(c, generation) for c in captions]))
        with self._showing(states, form):
            logits = self.forced(states, tokens, self.prompt(generation), form)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return TeacherForced(exact.log_softmax(-1), tokens.to(exact.device), mask.to(exact.device))

    def forced(self, states: Tensor, tokens: Tensor, prompt: str | None, form: Form) -> Tensor:
        """Logits [R, S, V] of each next token, given the captions' tokens [R, S] in turn."""
        text = repeated(self._asked(prompt, form) or self.unasked(), len(states))
        # The token before the caption speaks of its first, the last one of nothing that is asked.
        keep = tokens.shape[1] + 1
        answer: Any = self.model(
            **self.seen(states, form), **going_on(text, tokens), logits_to_keep=keep, use_cache=False
        )
        return answer.logits[:, -keep:-1]  # type: ignore[no-any-return]

    def shown(self, states: Tensor, generation: Generation) -> Tensor:
        """What the tower says while captions are generated of `states`: the same, where it runs once for all beams."""
        return states

    def given(self, text: dict[str, Tensor]) -> dict[str, Tensor]:
        """`ask`'s answer, for all rows, as `generate` takes it."""
        return text

    def echoed(self, text: dict[str, Tensor]) -> int:
        """How many tokens of what is asked stand before the caption in what `generate` answers."""
        # A decoder-only language model answers with the prompt before the caption.
        return 0 if self.encoder_decoder or "input_ids" not in text else text["input_ids"].shape[1]

    def unasked(self) -> dict[str, Tensor]:
        """What `generate` makes of no prompt, for a model that goes on from one."""
        return {}

    def prompt(self, generation: Generation) -> str | None:
        """What is asked: the user's prompt, or the family's own."""
        return generation.prompt if generation.prompt is not None else self.family.prompt

    def before(self, generation: Generation) -> str:
        """The text that a caption goes on from; empty where it is a text of its own."""
        return "" if self.encoder_decoder else self.prompt(generation) or ""

    def _ids(self, caption: str, generation: Generation) -> list[int]:
        return caption_ids(self.tokenizer, caption, self.before(generation), self.end, generation.max_new_tokens)


class _Watch(LogitsProcessor):  # type: ignore[misc]
    """Shows each step's logits to a `NumberCheck`, and changes nothing."""

    def __init__(self, rows: int, ends: tuple[int, ...]) -> None:
        self.check = NumberCheck(rows)
        self._ends = torch.tensor(ends)
        self._before: int | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self._before is None:
            self._before, self._ends = input_ids.shape[1], self._ends.to(input_ids.device)
        # What has ended is gone on with beside the others, for how long, the batch decides.
        over = torch.isin(input_ids[:, self._before :], self._ends).any(dim=1)
        self.check.see(scores, over)
        return scores


def ends_of(config: Any) -> tuple[int, ...]:
    """The tokens that end a caption, by a generation config."""
    ends = config.eos_token_id
    return tuple(ends) if isinstance(ends, list) else (int(ends),)


def repeated(text: dict[str, Tensor], rows: int) -> dict[str, Tensor]:
    """The same text for every row, [1, S] -> [R, S]."""
    return {name: part.expand(rows, *part.shape[1:]) for name, part in text.items()}
