"""From what a user typed as MODEL to a loaded adapter."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from headprune import demo
from headprune.errors import ModelError, PluginError
from headprune.hooks.blame import blaming
from headprune.hooks.catalogue import catalogue
from headprune.hooks.checks import checked_type
from headprune.tensors import archive_or_pickle
from headprune.towers.adapter import Adapter, Backend, LoadRequest, Outline

DEFAULT_BACKEND = "transformers"
# A hub takes no name that begins with a dot.
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*|[\w-]+")
_PATH = re.compile(r"[./~]|.*\\", re.DOTALL)
_WHAT_THERE_IS = "MODEL is demo, a local folder, a hub id, or backend:ref"


def load_model(model: str, request: LoadRequest | None = None) -> Adapter:
    """Load `demo`, a local folder, a hub id, or `backend:ref`.

    Args:
        model: what the user typed.
        request: revision, dtype, device, back end; its name is ignored.

    Raises:
        ModelError: not there, or of an unsupported family. PluginError: no such back end.
    """
    backend, found = locate(model, request)
    loaded = backend.load(found)
    adapter = checked_type(loaded, Adapter, _called(backend, found), type(backend).load)  # type: ignore[type-abstract]
    if model == "demo":
        adapter.ref = replace(adapter.ref, name="demo")
    if found.backend:
        # As it was asked for: a file has no other name by which what is exported could be loaded again.
        adapter.ref = replace(adapter.ref, backend=found.backend)
    return adapter


def outline_model(model: str, request: LoadRequest | None = None) -> Outline:
    """What `load_model` would load: geometry and sizes, no weights. Raises as `load_model` does."""
    backend, found = locate(model, request)
    return checked_type(backend.outline(found), Outline, _called(backend, found), type(backend).outline)


def _called(backend: Backend, request: LoadRequest) -> str:
    return f"adapter {request.backend or type(backend).__name__!r}"


def locate(model: str, request: LoadRequest | None = None) -> tuple[Backend, LoadRequest]:
    """The back end that loads `model`, and the request to give it."""
    asked = request.backend if request else None
    name, ref = (asked, model) if asked else _named(model)
    if model == "demo":
        ref = str(demo.model_path())
    elif not Path(ref).is_dir() and name == DEFAULT_BACKEND:
        _refuse_file(ref)
        if _PATH.match(ref) or not _HUB_ID.fullmatch(ref):
            raise ModelError(f"model folder {ref} is not there", _WHAT_THERE_IS)
    target = catalogue().load("adapter", name)
    if not (isinstance(target, type) and issubclass(target, Backend)):
        raise PluginError(f"adapter {name!r} is no subclass of headprune.Backend", "headprune plugins list")
    with blaming(f"adapter {name!r}", target):
        return target(), replace(request or LoadRequest(ref), name=ref)


def _named(model: str) -> tuple[str, str]:
    """The back end that `model` tells, and what is to be loaded by it."""
    head, colon, rest = model.partition(":")
    # A prefix is a back end only if one of that name is installed or it cannot be part of a path.
    if colon and (head in catalogue().names("adapter") or not (Path(model).exists() or _PATH.match(head))):
        return head, rest
    return catalogue().written_by(Path(model)) or DEFAULT_BACKEND, model


def _refuse_file(ref: str) -> None:
    """Raise ModelError where `ref` is a file, which says what it is if that could run code."""
    path = Path(ref)
    if path.is_file():
        with path.open("rb") as file:
            called = archive_or_pickle(file.read(512))
        raise ModelError(
            f"{ref} is a file{f', {called}' if called else ''}: a model is a folder with a config.json and safetensors",
            "save_pretrained writes such a folder; of an archive or a pickle nothing is read"
            if called
            else _WHAT_THERE_IS,
        )
