"""Finds and loads transformers models: safetensors only, no remote code, nothing re-initialised in silence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils.hub import resolve_revision

from headprune import Backend, Geometry, LoadRequest, ModelError, ModelRef, Outline, find_sites, measure, notice
from headprune_transformers.adapters.adapter import TransformersAdapter
from headprune_transformers.families import FAMILIES
from headprune_transformers.family import Family
from headprune_transformers.sliced import PREFIX
from headprune_transformers.slicing import classes

# Left alone, transformers asks a service on the hub to convert a repository that has pickles only, and loads what that
# uploaded: neither the commit that was asked for nor anything its owner has seen.
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

_CHECK = "check the name, the revision and the network; only safetensors weights are read"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersBackend(Backend):
    """`transformers:folder-or-hub-id`."""

    def load(self, request: LoadRequest) -> TransformersAdapter:
        request, commit = _pinned(request)
        config, family = _configuration(request)
        device = _device(request)
        model = _model(request, config, family, device)
        processor = _processor(request, family)
        ref = ModelRef("transformers", request.name, commit)
        adapter = family.adapter(model, processor, family, ref)
        if any(site.output.weight.is_meta for site in adapter.sites):
            raise ModelError(
                "device_map leaves part of the vision tower off the devices",
                "use a larger device, or a smaller --dtype",
            )
        _announce_dead(adapter.geometry)
        return adapter

    def outline(self, request: LoadRequest) -> Outline:
        request, _ = _pinned(request)
        config, family = _configuration(request)
        with _worded(request, "model"), torch.device("meta"):
            model = _model_class(config, family)(config)
        layout = family.layout_of(config)
        geometry: Geometry = measure(find_sites(model, layout), layout)
        return Outline(
            geometry=geometry,
            tokens=family.tokens(config, lambda: family.adapter.image_part(_processor(request, family))),
            parameters=sum(parameter.numel() for parameter in model.parameters()) + family.untold(config),
            tower_parameters=sum(p.numel() for p in model.get_submodule(layout.tower).parameters()),
            bytes_per_parameter=_dtype(request, config, _device(request)).itemsize,
            download=0 if Path(request.name).is_dir() else _download_size(request),
        )


def _pinned(request: LoadRequest) -> tuple[LoadRequest, str | None]:
    """The request for the commit that its revision stands for now, and that commit: all files are of it, though the
    branch may move on meanwhile. None where it cannot be found out: for a folder, and without hub and cache."""
    revision = resolve_revision(request.name, request.revision)
    return replace(request, revision=revision), getattr(revision, "resolved", None)


def _reading(request: LoadRequest, what: str, read: Any, **options: Any) -> Any:
    """Call a `from_pretrained`; what it raises becomes one line."""
    with _worded(request, what):
        return read(request.name, revision=request.revision, trust_remote_code=False, **options)


@contextmanager
def _worded(request: LoadRequest, what: str) -> Iterator[None]:
    try:
        yield
    # transformers raises OSError, ValueError, KeyError, ImportError and more for a folder that is not as it should be.
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelError(f"the {what} of {request.name} cannot be loaded: {first}", _CHECK) from error


def _configuration(request: LoadRequest) -> tuple[Any, Family]:
    written, _ = _reading(request, "configuration", PreTrainedConfig.get_config_dict)
    if "model_type" not in written:
        raise ModelError(
            f"the configuration of {request.name} cannot be loaded: no config.json that names a model_type", _CHECK
        )
    model_type = str(written["model_type"])
    family = FAMILIES.get(model_type.removeprefix(PREFIX))
    if family is None:
        raise ModelError(
            f"model family {model_type!r} is not supported",
            f"the transformers plugin supports {', '.join(FAMILIES)}; CONTRIBUTING.md says how to add a family",
        )
    # A sliced model is loaded by our own classes: the code in its folder is for those who lack them, and is not run.
    name = family.class_among(written.get("architectures") or ())
    reader = classes(family, name)[0] if model_type.startswith(PREFIX) else AutoConfig
    config = _reading(request, "configuration", reader.from_pretrained)
    reason = family.refused(config)
    if reason is not None:
        raise ModelError(f"{request.name} is not supported: {reason}", "README lists the models that are")
    return config, family


def _announce_dead(geometry: Geometry) -> None:
    if geometry.dead:
        last, first = geometry.layers - 1, geometry.live
        dead = f"layer {last} is" if first == last else f"layers {first} to {last} are"
        notice(f"the connector reads no more than layer {first - 1}'s output: {dead} dead, without any effect")


def _model_class(config: Any, family: Family) -> Any:
    name = family.class_among(config.architectures or ())
    return classes(family, name)[1] if config.model_type.startswith(PREFIX) else getattr(transformers, name)


def _processor(request: LoadRequest, family: Family) -> Any:
    return _reading(request, "processor", family.adapter.read_processor, model_type=family.model_type)


def _device(request: LoadRequest) -> torch.device:
    if request.device != "auto":
        try:
            device = torch.device(request.device)
        except RuntimeError as error:
            raise ModelError(f"no device {request.device!r}", "use auto, cpu or cuda:0") from error
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ModelError(f"device {request.device}, and torch finds no CUDA here", "leave --device out, or use cpu")
        return device
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dtype(request: LoadRequest, config: Any, device: torch.device) -> torch.dtype:
    if request.dtype != "auto":
        if request.dtype not in _DTYPES:
            raise ModelError(f"no dtype {request.dtype!r}", f"use auto, {', '.join(_DTYPES)}")
        return _DTYPES[request.dtype]
    # Some say it of their parts alone.
    known = (config.dtype, config.get_text_config().dtype)
    stored = next((dtype for dtype in known if isinstance(dtype, torch.dtype)), torch.float32)
    if device.type == "cpu" and stored != torch.float32:
        kept = str(stored).removeprefix("torch.")
        notice(f"loading in float32: the checkpoint's {kept} is slow on a CPU (--dtype decides)")
        return torch.float32
    return stored


def _model(request: LoadRequest, config: Any, family: Family, device: torch.device) -> Any:
    _refuse_pickles(request)
    placement = {"device_map": request.device_map} if request.device_map else {}
    model_class = _model_class(config, family)
    model, info = _reading(
        request,
        "model",
        model_class.from_pretrained,
        dtype=_dtype(request, config, device),
        use_safetensors=True,
        output_loading_info=True,
        **placement,
    )
    unread = _blank(model, family, info)
    # transformers only warns of these and goes on with random weights.
    for trouble in ("missing_keys", "mismatched_keys"):
        lacking = sorted({*map(str, info.get(trouble) or ())} - unread)
        if lacking:
            saved_as = ", ".join(config.architectures or ())
            other = saved_as and model_class.__name__ not in config.architectures
            raise ModelError(
                f"{request.name} lacks weights: {trouble} {lacking[:3]}",
                f"it is a {saved_as}; this takes a {model_class.__name__}" if other else "the checkpoint is not whole",
            )
    model.eval()
    return model if placement else model.to(device)


def _refuse_pickles(request: LoadRequest) -> None:
    """Raise ModelError for a folder whose weights are in no safetensors file, but in one that could run code."""
    folder = Path(request.name)
    files = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    pickled = next((file for file in files if file.endswith(_PICKLED)), None)
    if pickled and not any(file.endswith(".safetensors") for file in files):
        raise ModelError(
            f"the weights of {request.name} are in {pickled}, which may run code and is not read: only safetensors are",
            "if you trust it: load it with transformers, and model.save_pretrained(FOLDER) writes safetensors",
        )


def _blank(model: Any, family: Family, info: Any) -> set[str]:
    """Names of missing weights that nothing reads: zero from now on, for one checkpoint to load the same each time."""
    unread = {name for name in map(str, info.get("missing_keys") or ()) if name.startswith(family.unread)}
    for name in unread:
        model.get_parameter(name).data.zero_()
    if unread:
        notice(f"the checkpoint lacks weights that nothing reads: {', '.join(sorted(unread))}")
    return unread


def _download_size(request: LoadRequest) -> int | None:
    from huggingface_hub import HfApi

    try:
        files = HfApi().model_info(request.name, revision=request.revision, files_metadata=True).siblings or []
    # Offline, gated, gone: the size is then simply unknown, and is shown as such.
    except Exception:
        return None
    return sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
