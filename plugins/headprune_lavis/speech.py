"""What stands behind a LAVIS tower and speaks: a T5, an OPT, or the first stage's Q-Former itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from headprune import Generation, ModelError, NumberCheck


class Speech(ABC):
    """How one class of LAVIS models is asked, and answers.

    Args:
        model: the LAVIS model.
    """

    # How LAVIS counts the longest caption: beside so many tokens that are there before it.
    before = 0

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    @abstractmethod
    def language_model(self) -> Any:
        """The module that generates."""

    @property
    @abstractmethod
    def tokenizer(self) -> Any:
        """Its tokenizer."""

    @property
    def vocabulary(self) -> int:
        """V, tokens it chooses from."""
        return int(self.language_model.config.vocab_size)

    @property
    def end(self) -> int:
        """The token that ends a caption."""
        return int(self.tokenizer.eos_token_id)

    @property
    def autocast_dtype(self) -> torch.dtype:
        """What LAVIS rounds to behind the tower, on CUDA."""
        return torch.float16

    def prompt(self, generation: Generation) -> str:
        """What is asked: the model's own prompt, unless another is given."""
        return str(self.model.prompt) if generation.prompt is None else generation.prompt

    def asked(self, generation: Generation) -> dict[str, Any]:
        """What LAVIS's `generate` is given beside the picture."""
        return {"prompt": self.prompt(generation)}

    @contextmanager
    def watched(self, rows: int, generation: Generation) -> Iterator[NumberCheck]:
        """Within the context, the check sees the logits of each step of `rows` captions."""
        check, over = NumberCheck(rows), None

        def see(module: Any, args: Any, answer: Any) -> None:
            nonlocal over
            logits = answer.logits[:, -1]
            check.see(logits, over)
            # What has ended is gone on with beside the others. Beams change places: nothing is known of them.
            if generation.num_beams == 1:
                ended = logits.argmax(dim=-1) == self.end
                over = ended if over is None else over | ended

        handle = self.language_model.register_forward_hook(see)
        try:
            yield check
        finally:
            handle.remove()

    def caption_ids(self, caption: str, generation: Generation) -> list[int]:
        """The tokens of a caption, the end token behind them unless it was cut."""
        ids: list[int] = self.tokenizer(caption, add_special_tokens=False)["input_ids"]
        return self._ended(ids, generation)

    def _ended(self, ids: list[int], generation: Generation) -> list[int]:
        most = generation.max_new_tokens
        return ids[:most] if len(ids) >= most else [*ids, self.end]

    @abstractmethod
    def logits(self, states: Tensor, tokens: Tensor, generation: Generation) -> Tensor:
        """[R, S, V], of each of `tokens` [R, S] where the ones before it were said of `states` [R, T, d]."""

    def _seen(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the Q-Former reads: queries [R, Q, d'], the normed states [R, T, d] and their mask [R, T]."""
        with self.model.maybe_autocast():
            normed: Tensor = self.model.ln_vision(states)
        normed = normed.float()
        mask = torch.ones(normed.shape[:-1], dtype=torch.long, device=normed.device)
        return self.model.query_tokens.expand(len(normed), -1, -1), normed, mask

    def _query_output(self, states: Tensor) -> Tensor:
        """[R, Q, d'], what the Q-Former makes of states."""
        queries, normed, mask = self._seen(states)
        bert = self.model.Qformer.bert
        answer = bert(query_embeds=queries, encoder_hidden_states=normed, encoder_attention_mask=mask, return_dict=True)
        found: Tensor = answer.last_hidden_state
        return found

    def _prompt_ids(self, rows: int, device: torch.device, generation: Generation) -> Tensor:
        ids = self.tokenizer([self.prompt(generation)], return_tensors="pt")["input_ids"].to(device)
        return ids.expand(rows, -1)  # type: ignore[no-any-return]


class T5Speech(Speech):
    """Blip2T5: reads the queries and the prompt, and says the caption."""

    @property
    def language_model(self) -> Any:
        return self.model.t5_model

    @property
    def autocast_dtype(self) -> torch.dtype:
        return torch.bfloat16

    @property
    def tokenizer(self) -> Any:
        return self.model.t5_tokenizer

    def logits(self, states: Tensor, tokens: Tensor, generation: Generation) -> Tensor:
        seen = self.model.t5_proj(self._query_output(states))
        t5 = self.language_model
        with self.model.maybe_autocast(dtype=torch.bfloat16):
            asked = t5.encoder.embed_tokens(self._prompt_ids(len(states), states.device, generation))
            given = torch.cat([seen, asked], dim=1)
            mask = torch.ones(given.shape[:-1], dtype=torch.long, device=given.device)
            # Its own start token before the first, and each token before the next one.
            said = t5.prepare_decoder_input_ids_from_labels(tokens)
            answer = t5(
                inputs_embeds=given, attention_mask=mask, decoder_input_ids=said, use_cache=False, return_dict=True
            )
        found: Tensor = answer.logits
        return found


class OptSpeech(Speech):
    """Blip2OPT: goes on from the queries and the prompt, until the end of the line."""

    @property
    def language_model(self) -> Any:
        return self.model.opt_model

    @property
    def tokenizer(self) -> Any:
        return self.model.opt_tokenizer

    @property
    def end(self) -> int:
        return int(self.model.eos_token_id)

    def caption_ids(self, caption: str, generation: Generation) -> list[int]:
        # In one text with the prompt: what begins a caption there is a word in the middle of a line.
        prompt = self.prompt(generation).rstrip()
        given = len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"]) if prompt else 0
        text = f"{prompt} {caption}" if prompt and caption else prompt + caption
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._ended(ids[given:], generation)

    def logits(self, states: Tensor, tokens: Tensor, generation: Generation) -> Tensor:
        with self.model.maybe_autocast():
            seen = self.model.opt_proj(self._query_output(states))
            ids = torch.cat([self._prompt_ids(len(states), states.device, generation), tokens], dim=1)
            mask = torch.ones(len(ids), seen.shape[1] + ids.shape[1], dtype=torch.long, device=ids.device)
            answer = self.language_model(input_ids=ids, query_embeds=seen, attention_mask=mask, use_cache=False)
        # The token before the caption speaks of its first, the last one of nothing that is asked.
        found: Tensor = answer.logits[:, -tokens.shape[1] - 1 : -1]
        return found


class QFormerSpeech(Speech):
    """Blip2Qformer, BLIP-2's first stage: the Q-Former speaks by itself, and cannot be asked."""

    # [DEC], with which every caption begins.
    before = 1

    @property
    def language_model(self) -> Any:
        return self.model.Qformer

    @property
    def autocast_dtype(self) -> torch.dtype:
        # Not even there.
        return torch.float32

    @property
    def tokenizer(self) -> Any:
        return self.model.tokenizer

    @property
    def end(self) -> int:
        return int(self.tokenizer.sep_token_id)

    def asked(self, generation: Generation) -> dict[str, Any]:
        if generation.prompt:
            raise ModelError("BLIP-2's first stage reads no prompt", "leave --prompt out")
        return {}

    def logits(self, states: Tensor, tokens: Tensor, generation: Generation) -> Tensor:
        self.asked(generation)
        queries, normed, mask = self._seen(states)
        start = torch.full((len(states), 1), self.tokenizer.bos_token_id, device=tokens.device)
        ids = torch.cat([start, tokens[:, :-1]], dim=1)
        read = torch.ones(len(ids), queries.shape[1] + ids.shape[1], dtype=torch.long, device=ids.device)
        answer = self.language_model(
            ids,
            attention_mask=read,
            query_embeds=queries,
            encoder_hidden_states=normed,
            encoder_attention_mask=mask,
            use_cache=False,
            return_dict=True,
        )
        found: Tensor = answer.logits
        return found


def speech_of(model: Any) -> Speech:
    """How this model speaks."""
    if hasattr(model, "t5_model"):
        return T5Speech(model)
    return OptSpeech(model) if hasattr(model, "opt_model") else QFormerSpeech(model)


def padded(captions: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """(tokens [R, S], mask [R, S]) of R captions. What fills up a row stands behind it, where no decoder looks."""
    longest = max(map(len, captions))
    tokens = torch.tensor([ids + ids[-1:] * (longest - len(ids)) for ids in captions])
    mask = torch.arange(longest) < torch.tensor([len(ids) for ids in captions])[:, None]
    return tokens, mask
