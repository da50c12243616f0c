"""The settings of `bertscore`, and what bert-score makes of them: which model, which layer, which baseline."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import bert_score
from bert_score.utils import lang2model, model2layers
from pydantic import Field

from headprune import ModelError, Settings, UsageError


class BertScoreSettings(Settings):
    """Settings of `bertscore`, named as in bert-score.

    Attributes:
        model_type: a model folder or a hub id; without it, bert-score's choice for `lang`.
        num_layers: which layer's output is compared; without it, the one bert-score tuned for a model it knows.
        lang: the captions' language: chooses the model, and the baseline.
        rescale_with_baseline: stretch scores so that unrelated sentences come out near 0; only where bert-score holds
            a baseline for the model and the language.
        batch_size: sentences per encoder pass.
        device: a torch device; without it CUDA where there is one, else the CPU.
        cache_mb: how much memory (MiB) remembered embeddings may take.
    """

    model_type: str | None = None
    num_layers: int | None = Field(default=None, ge=0)
    lang: str = "en"
    rescale_with_baseline: bool = False
    batch_size: int = Field(default=64, ge=1)
    device: str | None = None
    cache_mb: int = Field(default=512, ge=1)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings made definite.

    Attributes:
        source: what the model is loaded from: an absolute folder, or a hub id.
        folder: that folder, None for a hub id.
        num_layers: the layer whose output is compared.
        baseline: precision, recall and F1 of unrelated sentences; zeros when scores are not rescaled.
    """

    source: str
    folder: Path | None
    num_layers: int
    baseline: tuple[float, float, float]

    @property
    def name(self) -> str:
        """The model's name without where it happens to lie."""
        return self.folder.name if self.folder is not None else self.source


def resolve(settings: BertScoreSettings) -> Resolved:
    """The model, layer and baseline that `settings` mean.

    Raises:
        ModelError: the model is a folder that is not there.
        UsageError: bert-score knows no layer or no baseline for the model.
    """
    model_type = settings.model_type or lang2model[settings.lang.lower()]
    folder = Path(model_type).expanduser()
    is_folder = folder.is_dir()
    if not is_folder and model_type.startswith(("/", ".", "~")):
        raise ModelError(f"there is no model folder {model_type}", "check model_type=FOLDER")
    if model_type.startswith("scibert") and not is_folder:
        # bert-score would fetch these with `wget` through a shell.
        raise UsageError(
            f"model_type={model_type} is not supported", "give model_type=allenai/scibert_scivocab_uncased"
        )
    layers = settings.num_layers if settings.num_layers is not None else model2layers.get(model_type)
    if layers is None:
        raise UsageError(
            f"bert-score knows no best layer for model_type={model_type}",
            "give num_layers=N, from 1 to the model's number of layers",
        )
    baseline = (
        _baseline(settings.lang.lower(), model_type, layers) if settings.rescale_with_baseline else (0.0, 0.0, 0.0)
    )
    source = str(folder.resolve()) if is_folder else model_type
    return Resolved(source, folder.resolve() if is_folder else None, layers, baseline)


def _baseline(lang: str, model_type: str, layers: int) -> tuple[float, float, float]:
    """Precision, recall and F1 that bert-score measured on unrelated sentences."""
    held = Path(bert_score.__file__).parent / "rescale_baseline"
    file = held / lang / f"{model_type}.tsv"
    if not (file.is_relative_to(held) and file.is_file()):
        raise UsageError(
            f"bert-score holds no baseline for model_type={model_type} and lang={lang}",
            "leave rescale_with_baseline out, or use a model that has one, such as roberta-large",
        )
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if int(row["LAYER"]) == layers:
                return float(row["P"]), float(row["R"]), float(row["F"])
    raise UsageError(f"bert-score's baseline of {model_type} has no layer {layers}", "give another num_layers")
