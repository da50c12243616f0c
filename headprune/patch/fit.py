"""Whether a patch fits a model: geometry and fingerprint."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata

import torch

from headprune.errors import PatchError
from headprune.hooks.local import recorded_name
from headprune.patch.patch import ModelRecord, Patch
from headprune.towers.adapter import Adapter

# A package's whole metadata are read for it.
_version = cache(metadata.version)
_INTEGER_OF = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.int64}


@torch.no_grad()
def fingerprint(adapter: Adapter) -> str:
    """sha256 over the tower's q, k, v and output projections, layer by layer, rounded to bfloat16.

    The rounding makes one checkpoint have one fingerprint whether it is loaded in float32 or bfloat16; fused and
    separate projections of the same weights agree as well.
    """
    digest = hashlib.sha256()
    for site in adapter.sites:
        for linear in (*site.qkv, site.output):
            rounded = linear.weight.to("cpu", torch.bfloat16).contiguous()
            digest.update(rounded.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@torch.no_grad()
def weights_digest(adapter: Adapter) -> str:
    """sha256 over the bits of every weight, summed for each: of the language model, too, which a fingerprint leaves
    out. A sum of whole numbers is the same on every device, and takes one reading of the weights.

    Weights that are not in memory, as an offloaded model's, are told by name and shape.
    """
    digest = hashlib.sha256()
    for name, weight in adapter.model.state_dict().items():
        bits = 0 if weight.is_meta else int(weight.contiguous().view(_INTEGER_OF[weight.element_size()]).sum())
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype} {bits}\n".encode())
    return digest.hexdigest()


def model_record(adapter: Adapter) -> ModelRecord:
    """Which model this is, for patches and results."""
    ref, geometry = adapter.ref, adapter.geometry
    return ModelRecord(
        name=ref.name,
        backend=recorded_name(ref.backend),
        revision=ref.revision,
        layers=geometry.layers,
        heads=geometry.heads,
        width=geometry.width,
        head_width=geometry.head_width,
        cls=geometry.cls,
        ragged=geometry.ragged,
        fingerprint=fingerprint(adapter),
    )


def versions() -> dict[str, str]:
    """The versions that results may depend on."""
    return {name: _version(name) for name in ("headprune", "torch", "transformers", "safetensors")}


def check_fit(patch: Patch, adapter: Adapter, allow_other_weights: bool = False) -> None:
    """See that `patch` was made for this model.

    Raises:
        PatchError: another geometry; or other weights, unless `allow_other_weights`.
    """
    made, here = patch.info.model, adapter.geometry
    if made.geometry != here:
        other = here if str(made.geometry) != str(here) else "lost other heads"
        raise PatchError(
            f"the patch is for a tower of {made.geometry}; {adapter.ref} has {other}",
            f"apply it to {made.name}, on which it was made, or score {adapter.ref}",
        )
    if not allow_other_weights and fingerprint(adapter) != made.fingerprint:
        raise PatchError(
            f"the patch was made on other weights ({made.name}) than {adapter.ref} has",
            "score this model, or pass --allow-other-weights",
        )
