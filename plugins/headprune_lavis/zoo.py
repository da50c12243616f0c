"""What is behind `lavis:REF`: a model of LAVIS's zoo or a folder that headprune wrote, and which of them can speak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headprune import ModelError
from headprune_lavis.standalone import DESCRIPTION

Description = dict[str, Any]
"""What `standalone.build` builds a model from: the content of `lavis.json`."""

# Refused, and why; LAVIS's other models have towers of their own.
_SILENT = {
    "blip2_image_text_matching": "it weighs texts against pictures and says nothing; blip2/TYPE has the same weights"
}
_TOWERS = ("eva_clip_g", "clip_L")
SPEAKING = ("blip2_t5", "blip2_opt", "blip2", "blip2_feature_extractor")


def described(name: str) -> Description:
    """The description of a model: of `ARCH/TYPE` by LAVIS's own configuration, of a folder by its `lavis.json`.

    Raises:
        ModelError: no such model, or one that headprune cannot score; the ones it can are named.
    """
    folder = Path(name)
    description = _of_folder(folder) if folder.is_dir() else _of_zoo(name)
    arch, tower = description["arch"], description["model"].get("vit_model", _TOWERS[0])
    if arch not in SPEAKING or tower not in _TOWERS:
        reason = _SILENT.get(arch, f"only BLIP-2's towers {' and '.join(_TOWERS)} are")
        raise ModelError(f"LAVIS's {arch} is not supported: {reason}", _choices())
    return description


def _of_zoo(name: str) -> Description:
    from lavis.common.registry import registry
    from omegaconf import OmegaConf

    arch, _, model_type = name.partition("/")
    # LAVIS's registry answers to any name, with None.
    model_class: Any = registry.get_model_class(arch)
    if model_class is None:
        raise ModelError(f"LAVIS has no model {arch or name!r}", _choices())
    types = model_class.PRETRAINED_MODEL_CONFIG_DICT
    if model_type not in types:
        asked = f"has no type {model_type!r}" if model_type else "needs a type"
        raise ModelError(f"LAVIS's {arch} {asked}", f"lavis:{arch}/TYPE; types: {', '.join(types) or 'none'}")
    whole: Any = OmegaConf.to_container(OmegaConf.load(model_class.default_config_path(model_type)))
    # Checkpointing spares memory in training, and calls the layers in a way of its own.
    return {
        "arch": arch,
        "model": {**whole["model"], "use_grad_checkpoint": False},
        "preprocess": whole.get("preprocess"),
    }


def _of_folder(folder: Path) -> Description:
    hint = "a folder that headprune apply wrote holds one; lavis:ARCH/TYPE names a model of LAVIS's zoo"
    try:
        description: Description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        if not isinstance(description["model"], dict) or not isinstance(description["arch"], str):
            raise TypeError("arch and model are not a name and a table")
    except FileNotFoundError as error:
        raise ModelError(f"{folder} holds no {DESCRIPTION}", hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise ModelError(f"{folder / DESCRIPTION} cannot be read: {reason}", hint) from error
    return description


def _choices() -> str:
    from lavis.common.registry import registry

    named = (f"{arch}/({'|'.join(registry.get_model_class(arch).PRETRAINED_MODEL_CONFIG_DICT)})" for arch in SPEAKING)
    return f"lavis:ARCH/TYPE: {', '.join(named)}"
