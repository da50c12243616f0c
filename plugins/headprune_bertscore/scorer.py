"""The `bertscore` scorer: what is encoded when, and what is remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch

from headprune import ModelError, ScoreItem, Scorer, UsageError
from headprune_bertscore.encoder import Encoded, Encoder, commit_of, read_config
from headprune_bertscore.memory import Memory
from headprune_bertscore.settings import BertScoreSettings, resolve

_REMEMBERED_PAIRS = 200_000
_PAIRS_AT_ONCE = 4096  # bounds the embeddings that one call holds, whatever the size of its batch
_MODEL_FILES = (".json", ".txt", ".model", ".safetensors", ".bin")
# A package's whole metadata are read for it.
_version = cache(metadata.version)


class PRF(NamedTuple):
    """BERTScore's precision, recall and F1: -1 to 1, in practice 0 to 1; below 0 too when rescaled."""

    precision: float
    recall: float
    f1: float


class BertScore(Scorer):
    """BERTScore F1 of a caption against the unchanged model's caption.

    Equal to bert-score called with each pair alone; bert-score's own batches are padded, and move a score by up to
    0.03 with the company it keeps. Equal captions score 1, both empty included; an empty caption against another 0.
    idf weights are not offered: they would have to be fitted on a corpus of their own.

    Raises:
        UsageError: no layer or no baseline is known for the model, it has no such layer, or the device is not there.
        ModelError: the model cannot be found.
    """

    Settings = BertScoreSettings
    settings: BertScoreSettings

    def __init__(self, settings: BertScoreSettings | None = None) -> None:
        super().__init__(settings)
        self._resolved = resolve(self.settings)
        self._device = _device(self.settings.device)
        # Read now: a wrong name is then found before hours of captioning, and not after.
        self._config = read_config(self._resolved.source, self._resolved.num_layers)
        self._commit = None if self._resolved.folder else commit_of(self._resolved.source)
        self._embeddings: Memory[str, Encoded] = Memory(self.settings.cache_mb * 2**20)
        self._scores: Memory[tuple[str, str], PRF] = Memory(_REMEMBERED_PAIRS)

    def score(self, batch: Sequence[ScoreItem]) -> list[float]:
        """F1 of each caption against its reference."""
        pairs = [(item.caption, item.reference) for item in batch]
        return [found.f1 for found in self.precision_recall_f1(pairs)]

    def precision_recall_f1(self, pairs: Sequence[tuple[str, str]]) -> list[PRF]:
        """All three measures of each (candidate, reference)."""
        # bert-score strips its sentences.
        wanted = [(candidate.strip(), reference.strip()) for candidate, reference in pairs]
        # sorted: what is encoded together, and forgotten first, must not depend on the order of a set.
        asked = sorted(set(wanted))
        known = {pair: scored for pair in asked if (scored := self._scores.get(pair)) is not None}
        new = [pair for pair in asked if pair not in known]
        for start in range(0, len(new), _PAIRS_AT_ONCE):
            matched = self._match_all(new[start : start + _PAIRS_AT_ONCE])
            known.update(matched)
            for pair, scored in matched.items():
                self._scores.put(pair, scored)
        return [self._rescaled(known[pair]) for pair in wanted]

    def describe(self) -> dict[str, Any]:
        """Settings that determine the scores, the model by name with its fingerprint or revision, and versions.

        The device, the batch size and the cache are left out: they move a score by rounding only.
        """
        versions = {name: _version(name) for name in ("bert-score", "transformers", "torch")}
        return {
            "model_type": self._resolved.name,
            "num_layers": self._resolved.num_layers,
            "lang": self.settings.lang,
            "rescale_with_baseline": self.settings.rescale_with_baseline,
            **self._identity,
            "versions": versions,
        }

    @cached_property
    def _encoder(self) -> Encoder:
        resolved = self._resolved
        encoder = Encoder(resolved.source, self._config, resolved.num_layers, self._device, self.settings.batch_size)
        # bert-score takes no commit: what it loaded is of the one that is recorded only if the branch is still there.
        if not resolved.folder and commit_of(resolved.source) != self._commit:
            raise ModelError(f"the BERTScore model {resolved.name} changed on the hub meanwhile", "run it again")
        return encoder

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What tells this model from another of the same name."""
        if self._resolved.folder is not None:
            return {"sha256": fingerprint(self._resolved.folder)}
        return {"revision": self._commit}

    def _match_all(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], PRF]:
        """Match pairs that were not matched before, encoding only what is new."""
        open_pairs = [pair for pair in pairs if pair[0] != pair[1] and all(pair)]
        known = self._encoded(sorted({sentence for pair in open_pairs for sentence in pair}))
        matched = {pair: PRF(1.0, 1.0, 1.0) if pair[0] == pair[1] else PRF(0.0, 0.0, 0.0) for pair in pairs}
        matched.update({pair: match(known[pair[0]], known[pair[1]]) for pair in open_pairs})
        return matched

    def _encoded(self, sentences: Sequence[str]) -> dict[str, Encoded]:
        """Embeddings of `sentences`, remembered or new."""
        known = {sentence: held for sentence in sentences if (held := self._embeddings.get(sentence)) is not None}
        if len(known) < len(sentences):
            new = self._encoder.encode(sentence for sentence in sentences if sentence not in known)
            for sentence, encoded in new.items():
                self._embeddings.put(sentence, encoded, encoded.bytes)
            known.update(new)
        return known

    def _rescaled(self, raw: PRF) -> PRF:
        return PRF(*((value - base) / (1.0 - base) for value, base in zip(raw, self._resolved.baseline, strict=True)))


def match(candidate: Encoded, reference: Encoded) -> PRF:
    """BERTScore of two sentences (Zhang et al., 2020, Eq. 1): each own token against its nearest token of the other."""
    if candidate.empty or reference.empty:
        return PRF(0.0, 0.0, 0.0)
    similarity = candidate.embeddings @ reference.embeddings.T  # [Tc, Tr]
    precision = float(similarity.amax(dim=1) @ candidate.weights)
    recall = float(similarity.amax(dim=0) @ reference.weights)
    total = precision + recall
    return PRF(precision, recall, 2.0 * precision * recall / total if total else 0.0)


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of a model folder's weights, configuration and tokenizer files."""
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix in _MODEL_FILES:
            whole.update(f"{file.name}\0{_sha256(file)}\n".encode())
    return whole.hexdigest()


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device={name} is no torch device", "give device=cpu or device=cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"device={name}, and torch finds no CUDA here", "leave device out")
    return device
