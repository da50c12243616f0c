"""Sentences to normalised token embeddings, with the model and tokenizer as bert-score loads them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pickle import UnpicklingError
from typing import Any

import torch
from bert_score.utils import bert_encode, get_model, get_tokenizer
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, GPT2Tokenizer, RobertaTokenizer, dynamic_module_utils
from transformers.utils.hub import cached_file, extract_commit_hash

from headprune import ModelError, UsageError

# Else transformers has a repository without safetensors converted by others on the hub, in a thread of its own.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

# What torch.load heeds, whoever calls it.
_WEIGHTS_ONLY, _ANY_PICKLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sentence: `embeddings` [T, d], of length 1 each, on the CPU; `weights` [T], adding up to 1 over its own
    tokens, 0 at CLS and SEP. A sentence without own tokens has weights of 0."""

    embeddings: Tensor
    weights: Tensor

    @property
    def empty(self) -> bool:
        return not bool(self.weights.any())

    @property
    def bytes(self) -> int:
        return 4 * (self.embeddings.numel() + self.weights.numel())


class Encoder:
    """A BERT-like model cut after `num_layers` layers, and its tokenizer.

    Args:
        source: an absolute folder or a hub id.
        config: what `read_config` gave for it.
        num_layers: the layer whose output is used, 0 (the embeddings) to the model's number of layers.
        device: where the model runs.
        batch_size: sentences per pass.

    Raises:
        ModelError: the model or its tokenizer cannot be loaded.
    """

    def __init__(self, source: str, config: Any, num_layers: int, device: torch.device, batch_size: int) -> None:
        name = _T5(source) if config.model_type in ("t5", "mt5") else _NotT5(source)
        try:
            with _own_code_alone():
                self._tokenizer = _tokenizer(source)
                self._model = get_model(name, num_layers).to(device)
        except (OSError, ValueError, AssertionError, UnpicklingError) as error:
            raise _not_loaded(source, error) from error
        self._device = device
        self._batch_size = batch_size
        self._max_tokens = _max_tokens(self._tokenizer, self._model, config)

    def encode(self, sentences: Iterable[str]) -> dict[str, Encoded]:
        """Embeddings of each distinct sentence.

        Sentences of equal length share a pass, without padding and in sorted order, so that the same set of sentences
        gives the same bits in whatever order it comes.
        """
        # sorted: a set's own order changes from process to process.
        unique = sorted(set(sentences))
        if not unique:
            return {}
        ids = self._tokenizer(unique, truncation=True, max_length=self._max_tokens)["input_ids"]
        by_length = sorted(zip(unique, ids, strict=True), key=lambda pair: len(pair[1]))
        encoded: dict[str, Encoded] = {}
        for _, group in groupby(by_length, key=lambda pair: len(pair[1])):
            equals = list(group)
            for start in range(0, len(equals), self._batch_size):
                encoded.update(self._one_pass(equals[start : start + self._batch_size]))
        return encoded

    def _one_pass(self, batch: list[tuple[str, list[int]]]) -> dict[str, Encoded]:
        """Encode sentences of equal token count [B, T]."""
        ids = torch.tensor([tokens for _, tokens in batch], dtype=torch.long)
        on_device = ids.to(self._device)
        hidden = bert_encode(self._model, on_device, attention_mask=torch.ones_like(on_device))
        embeddings = torch.nn.functional.normalize(hidden.float(), dim=-1).cpu()
        own = torch.ones_like(ids, dtype=torch.bool)
        for special in (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id):
            if special is not None:
                own &= ids != special
        weights = own / own.sum(dim=1, keepdim=True).clamp_min(1)
        # clone: a view would keep the whole batch alive for as long as one of its sentences is remembered.
        return {
            sentence: Encoded(embeddings[row].clone(), weights[row].clone()) for row, (sentence, _) in enumerate(batch)
        }


def read_config(source: str, num_layers: int) -> Any:
    """The model's configuration.

    Raises:
        ModelError: there is no such model, or it cannot be reached.
        UsageError: `num_layers` is beyond the model's last layer.
    """
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_loaded(source, error) from error
    there = getattr(config, "num_hidden_layers", num_layers)
    if num_layers > there:
        raise UsageError(f"num_layers={num_layers}, but {source} has {there} layers", f"give num_layers=1 to {there}")
    return config


def commit_of(source: str) -> str | None:
    """The commit of a hub model's configuration that was read, in the hub's cache; None where that does not tell."""
    # From its path there, which old and new transformers know; configurations of new ones do not remember it.
    commit: str | None = extract_commit_hash(cached_file(source, "config.json"), None)
    return commit


@contextmanager
def _own_code_alone() -> Iterator[None]:
    """Within the context code that comes with a model is refused, and of a pickle nothing made but tensors.

    bert-score does not ask for either: transformers would ask on the terminal, for as many seconds as it gives an
    answer, and an old one with an old torch reads any pickle.
    """
    seconds = getattr(dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 0)
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    before = {name: os.environ.pop(name, None) for name in (_WEIGHTS_ONLY, _ANY_PICKLE)}
    os.environ[_WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds
        del os.environ[_WEIGHTS_ONLY]
        os.environ.update({name: value for name, value in before.items() if value is not None})


class _T5(str):
    """The name of a T5 model, as bert-score reads names: it takes one that holds the letters "t5" for a T5 model."""

    def __contains__(self, part: object) -> bool:
        return part == "t5" or (isinstance(part, str) and super().__contains__(part))


class _NotT5(str):
    """The name of any other model: were the letters in it, bert-score would load an encoder with random weights."""

    def __contains__(self, part: object) -> bool:
        return part != "t5" and isinstance(part, str) and super().__contains__(part)


def _tokenizer(name: str) -> Any:
    """bert-score's tokenizer, which for RoBERTa and GPT-2 begins every sentence with a space."""
    tokenizer = get_tokenizer(name)
    if isinstance(tokenizer, (RobertaTokenizer, GPT2Tokenizer)):
        # bert-score asks for the space with each call; transformers 5 ignores that, and scores come out wrong.
        tokenizer = AutoTokenizer.from_pretrained(name, add_prefix_space=True)
    return tokenizer


def _max_tokens(tokenizer: Any, model: Any, config: Any) -> int:
    """How many tokens fit: tokenizers may name no limit (1e30), and the RoBERTa family numbers positions after the
    padding token's id."""
    limits = [MAX_TOKENS, tokenizer.model_max_length]
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions > 0:
        padding = getattr(getattr(model, "embeddings", None), "padding_idx", None)
        limits.append(positions - (0 if padding is None else padding + 1))
    return int(min(limits))


def _not_loaded(source: str, error: Exception) -> ModelError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    hint = "check the folder or the network; model_type=FOLDER with num_layers=N works offline"
    return ModelError(f"cannot load the BERTScore model {source}: {reason}", hint)
