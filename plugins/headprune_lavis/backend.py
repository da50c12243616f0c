"""Finds and loads LAVIS models: from its zoo, or from a folder that headprune wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import nn

from headprune import Backend, LoadRequest, ModelError, ModelRef, Outline, find_sites, measure, notice
from headprune_lavis import standalone
from headprune_lavis.adapter import LavisAdapter, layout_of, token_count
from headprune_lavis.zoo import Description, described

# A model's checkpoint holds what was trained; these parts come from checkpoints of their own.
_ELSEWHERE = ("visual_encoder.", "t5_model.", "opt_model.")


class LavisBackend(Backend):
    """`lavis:ARCH/TYPE` or an exported folder.

    LAVIS publishes its weights as pickles. They are read with `torch.load(weights_only=True)`, whatever LAVIS asks for,
    which makes tensors of them and runs nothing. Exported folders hold safetensors.
    """

    def load(self, request: LoadRequest) -> LavisAdapter:
        device, description = _checked(request)
        with _worded(request):
            if Path(request.name).is_dir():
                model, processor = standalone.load(request.name)
            else:
                model, processor = _from_zoo(description), standalone.picture_processor(description)
        _widen(model, device)
        ref = ModelRef("lavis", request.name)
        return LavisAdapter(model.to(device), processor, description, ref)

    def outline(self, request: LoadRequest) -> Outline:
        _, description = _checked(request)
        folder = Path(request.name)
        with _worded(request), standalone.inside(folder if folder.is_dir() else Path()):
            model = standalone.build(description)
        layout = layout_of(model)
        return Outline(
            geometry=measure(find_sites(model, layout), layout),
            tokens=token_count(model),
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            tower_parameters=sum(parameter.numel() for parameter in model.visual_encoder.parameters()),
            bytes_per_parameter=torch.float32.itemsize,
            download=0 if folder.is_dir() else None,
        )


def _checked(request: LoadRequest) -> tuple[torch.device, Description]:
    """Where to load to, and what. Imports LAVIS."""
    if request.dtype not in ("auto", "float32"):
        raise ModelError(
            f"a LAVIS model's tower runs in float32, not {request.dtype}",
            "leave --dtype out: behind the tower each part keeps LAVIS's own precision where the device has it",
        )
    if request.device_map or request.revision:
        name = "--device-map" if request.device_map else "--revision"
        raise ModelError(f"{name} means nothing to LAVIS", f"leave {name} out, or use the transformers back end")
    device = _device(request.device)
    if standalone.import_lavis():
        notice("torchvision was built for CUDA, torch was not: declared the operators that it stops at; none is used")
    return device, described(request.name)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"no device {name!r}", "use auto, cpu or cuda:0") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"device {name}, and torch finds no CUDA here", "leave --device out, or use cpu")
    return device


def _from_zoo(description: Description) -> Any:
    """The model as LAVIS loads it, and every part that it says to be trained there."""
    from lavis.common.registry import registry
    from lavis.models.base_model import BaseModel
    from omegaconf import OmegaConf

    lacking: list[str] = []
    loading = nn.Module.load_state_dict

    def noting(model: nn.Module, weights: Any, *args: Any, **options: Any) -> Any:
        # LAVIS takes a checkpoint for whole, whatever it holds.
        if isinstance(model, BaseModel):
            trained = {name for name, _ in model.named_parameters() if not name.startswith(_ELSEWHERE)}
            lacking.extend(sorted(trained - set(weights)))
        return loading(model, weights, *args, **options)

    with _only_tensors(), standalone.replaced(nn.Module, "load_state_dict", noting):
        model: Any = registry.get_model_class(description["arch"]).from_config(OmegaConf.create(description["model"]))
    if lacking:
        raise ModelError(f"the checkpoint lacks weights: {lacking[:3]}", "it is not whole, or of another model")
    model.eval()
    standalone.open_tower(model)
    return model


def _widen(model: Any, device: torch.device) -> None:
    """Put the tower into float32 and, on a CPU, all of the model: LAVIS computes in half precision on CUDA only."""
    wide = model if device.type == "cpu" else model.visual_encoder
    half = {parameter.dtype for parameter in wide.parameters()} - {torch.float32}
    if half:
        names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in half))
        part = "the model" if wide is model else "the tower"
        notice(f"loading {part} in float32, where LAVIS keeps {names}")
        wide.float()


@contextmanager
def _only_tensors() -> Iterator[None]:
    """Within the context torch.load makes nothing but tensors of a pickle."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        raise ModelError("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD is set, and LAVIS's weights are pickles", "unset it")
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _worded(request: LoadRequest) -> Iterator[None]:
    try:
        # LAVIS prints what it does to position embeddings; stdout is for results.
        with redirect_stdout(sys.stderr):
            yield
    except ModelError:
        raise
    # LAVIS, transformers and the network raise anything.
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        # What ends in a colon has said nothing yet.
        first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
        raise ModelError(
            f"{request.name} cannot be loaded: {first}", "check the name, the folder and the network"
        ) from error
