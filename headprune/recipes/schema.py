"""What a recipe holds: the settings of a run, each with its default."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, PositiveInt

from headprune.errors import UsageError
from headprune.recipes.layers import check_layers
from headprune.types import DecodePoint, Generation, Schedule


def _plain(value: Any) -> Any:
    """Let through what TOML can hold and give back equal, at any depth."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{key!r} is not a name")
            _plain(part)
    elif isinstance(value, list):
        for part in value:
            _plain(part)
    elif isinstance(value, str):
        value.encode()  # half a character cannot be written: its UnicodeEncodeError is a ValueError
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no setting")
    elif not isinstance(value, bool | int | float):
        raise ValueError(f"{value!r} is neither text, a number, true, false, a list nor a table")
    return value


def _layers(value: str) -> str:
    try:
        return check_layers(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


def _batch_size(value: Any) -> Any:
    """Take the digits that a command line gives for the number they are."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if value != "auto" and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise ValueError("write auto, or a number from 1")
    return number


Options = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A plugin's own options; the plugin checks them when it is made."""
Fraction = Annotated[float, Field(gt=0, le=1)]


class Table(BaseModel):
    """A table of a recipe. Types are taken strictly: `samples = "100"` is an error, not a hundred."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class GenerationSettings(Table):
    """How captions are generated."""

    num_beams: PositiveInt = Field(1, description="1 is greedy.")
    max_new_tokens: PositiveInt = Field(30, description="The longest caption, in tokens.")
    prompt: str | None = Field(None, description="The language model's prompt; left out, the model family's own.")

    def plain(self) -> Generation:
        """The same as the core's data class."""
        return Generation(self.num_beams, self.max_new_tokens, self.prompt)


class ApplySettings(Table):
    """How a patch is applied."""

    scale: Literal["mean-one", "paper", "none"] = Field(
        "mean-one", description="What scales the heads: H * alpha, alpha itself, or nothing (pruning alone)."
    )
    prune: str | None = Field(
        None, description="count=K, fraction=F, threshold=T or auto; left out, no head is removed."
    )
    max_drop: Annotated[float, Field(ge=0, le=1)] = Field(
        0.02, description="How far auto lets the metric fall, as a share of the metric without pruning."
    )
    how: Literal["fold", "slice"] = Field("fold", description="fold keeps the shapes, slice makes the model smaller.")


class EvaluateSettings(Table):
    """How a model and its pruned self are compared."""

    scorer: str = Field("cider", description="The scorer against the gold captions.")
    scorer_options: Options = Field({}, description="Its options.")
    convergence: bool = Field(False, description="Measure the convergence layer too.")
    convergence_scorer: str = Field("bertscore", description="Compares a layer's caption with the last layer's.")
    convergence_options: Options = Field({}, description="Its options.")
    tau: Fraction = Field(0.95, description="From which score on two captions say the same.")
    tol: Fraction = Field(0.02, description="How far from the last layer's score a plateau may be, as a share of it.")
    random: int = Field(10, ge=0, description="How many random head sets are the control.")


class DataflowSettings(Table):
    """What `headprune dataflow` looks at."""

    token: str | None = Field(None, description="cls, mean or a token's number; left out, cls where there is one.")


class HeatmapSettings(Table):
    """How heat maps are made."""

    outliers: Annotated[FiniteFloat, Field(ge=0)] = Field(
        5.0, description="k of median + k*MAD of output norms, above which a token is left out; 0 keeps all."
    )


class LesionSettings(Table):
    """What `headprune lesion` does to layers."""

    lesions: list[Literal["mean-input", "confuse"]] = Field(
        ["mean-input", "confuse"], min_length=1, description="Which lesions."
    )
    together: list[Annotated[str, AfterValidator(_layers)]] = Field(
        [], description="Ranges of layers that are lesioned at once, beside each layer alone."
    )
    means: Literal["token", "all"] = Field("token", description="A mean for each token, or one over tokens too.")
    means_data: str | None = Field(None, min_length=1, description="Where means are taken; left out, the samples.")
    means_options: Options = Field({}, description="That data's reader's options.")
    means_samples: PositiveInt | None = Field(None, description="Of how many; left out, as many as `samples`.")


class RaySettings(Table):
    """Where engine `ray` runs its workers, each of which loads the model."""

    address: str | None = Field(
        None, min_length=1, description="Of a cluster, or auto; left out, one is started here for this run."
    )
    workers: PositiveInt | None = Field(None, description="How many; left out, as many as the cluster has room for.")
    gpus: Annotated[FiniteFloat, Field(ge=0)] | None = Field(
        None, description="Of each worker; left out, 1 where the cluster has some and the device is not the CPU."
    )
    cpus: PositiveInt = Field(1, description="Cores, and threads, of each worker.")
    memory: Annotated[FiniteFloat, Field(ge=0)] | None = Field(
        None, description="GiB of each worker; left out, the model's weights and 2 more."
    )


class Recipe(Table):
    """A run, with all its settings."""

    model: str = Field(min_length=1, description="demo, a folder, a hub id or backend:ref.")
    adapter: str | None = Field(
        None, min_length=1, description="The back end that loads the model; left out, the one that its name tells."
    )
    data: str | None = Field(
        None, min_length=1, description="demo, an image folder, coco:FILE:FOLDER, whoops, or a hub dataset."
    )
    dataset: str | None = Field(
        None, min_length=1, description="The reader that opens the data; left out, the one that its name tells."
    )
    samples: PositiveInt = Field(100, description="How many samples are scored.")
    seed: int = Field(0, ge=0, lt=2**63, description="Chooses the samples.")
    layers: Annotated[str, AfterValidator(_layers)] = Field("all", description="all, last:4, 24-28, 3,7; 0-based.")
    scorer: str = Field("bertscore", min_length=1, description="The scorer of Algorithm 1.")
    scorer_options: Options = Field({}, description="Its options.")
    edit: str = Field("isolate", min_length=1, description="What is done to the layer.")
    edit_options: Options = Field({}, description="Its options.")
    decode_at: DecodePoint = Field(DecodePoint.LAYER, strict=False, description="Where a variant is put into words.")
    schedule: Schedule = Field(Schedule.ONESHOT, strict=False, description="Which layers are scored on which model.")
    temperature: Annotated[FiniteFloat, Field(gt=0)] = Field(1.0, description="Of the softmax over a layer's heads.")
    listener: str | None = Field(None, min_length=1, description="Hears how the run goes: jsonl, mlflow, wandb ...")
    listener_options: Options = Field({}, description="Its options.")
    device: str = Field("auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps ...")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field("auto", description="Of the model's weights.")
    batch_size: Annotated[Literal["auto"] | PositiveInt, BeforeValidator(_batch_size)] = Field(
        "auto", description="Variants decoded at once."
    )
    engine: Literal["local", "ray"] = Field("local", description="What runs the sweep: this process, or Ray.")
    patience: Annotated[FiniteFloat, Field(ge=0)] = Field(
        3600.0, description="Seconds to wait for a scorer's service that stops to answer, before the run ends."
    )
    revision: str | None = Field(None, description="The model's branch, tag or commit on the hub.")
    device_map: str | None = Field(None, description="Spreads the model over devices: auto, balanced ...")
    generation: GenerationSettings = GenerationSettings()
    dataset_options: Options = Field({}, description="The dataset reader's options.")
    apply: ApplySettings = ApplySettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    dataflow: DataflowSettings = DataflowSettings()
    heatmap: HeatmapSettings = HeatmapSettings()
    lesion: LesionSettings = LesionSettings()
    ray: RaySettings = RaySettings()

    def require_data(self) -> str:
        """What `data` names.

        Raises:
            UsageError: nothing.
        """
        if self.data is None:
            raise UsageError("no data is named", "give --data, or data in the recipe")
        return self.data

    def identity(self) -> dict[str, Any]:
        """What of it determines the captions and scores of a run, JSON-able: not where it runs or in what batches,
        and not what is done with the patch afterwards."""
        return self.model_dump(mode="json", exclude=_ELSEWHERE)


_ELSEWHERE = {
    *("device", "device_map", "batch_size", "engine", "patience", "listener", "listener_options"),
    *("apply", "evaluate", "dataflow", "heatmap", "lesion", "ray"),
}
