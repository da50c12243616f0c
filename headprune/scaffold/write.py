"""Writes the package: templates are packages that work as they lie there, called `placeholder`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from headprune.errors import UsageError
from headprune.files import writing_folder
from headprune.hooks.catalogue import KINDS, catalogue
from headprune.scaffold.names import Names, named, refuse_taken

_TEMPLATES = Path(__file__).parent / "templates"
_CHECKED_ON = {"adapter": " --model tiny", "dataset": " --data example/captions.txt"}
"""What `headprune plugins check` has to be told of a template, beside its name."""


def write_package(kind: str, name: str, out: Path | None = None) -> Path:
    """Write an installable package with a working plugin of `kind` called `name`, and return its folder.

    Args:
        kind: scorer, edit, adapter, dataset or listener.
        name: what users will type, such as `colour-words`.
        out: the folder, absent or empty; by default `headprune-NAME` in the current one.

    Raises:
        UsageError: no such kind; a name that cannot be, or is taken; a folder that holds something. Nothing is written.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}", f"kinds: {', '.join(KINDS)}")
    names = named(name)
    _refuse_confusion(kind, names)
    refuse_taken(names, catalogue())
    folder = out or Path(names.package)
    with writing_folder(folder) as beside:
        for template, path in _templates(kind):
            target = beside / _filled(str(path).encode(), kind, names).decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_filled(template.read_bytes(), kind, names))
    return folder


def _templates(kind: str) -> Iterator[tuple[Path, Path]]:
    """The files of the kind's template, and of what all have in common; with their paths in the package."""
    for root in (_TEMPLATES / "common", _TEMPLATES / kind):
        for file in sorted(root.rglob("*")):
            # Where headprune is installed, pip has compiled them.
            if file.is_file() and "__pycache__" not in file.parts:
                yield file, file.relative_to(root)


def _filled(text: bytes, kind: str, names: Names) -> bytes:
    """`text` with the plugin's names in place of the template's; what holds none, such as a picture, stays as it is."""
    said = {
        b"headprune_placeholder": names.module,
        b"test_placeholder": f"test_{names.snake}",
        b"placeholder": names.name,
        b"Placeholder": names.cls,
        b"KIND": kind,
        b" CHECKED_ON": _CHECKED_ON.get(kind, ""),
    }
    return re.sub(b"|".join(said), lambda found: said[found[0]].encode(), text)


def _refuse_confusion(kind: str, names: Names) -> None:
    """Raise UsageError where the template's code means something else by the name of the class to be."""
    for template, _ in _templates(kind):
        if template.suffix == ".py" and re.search(rf"\b{names.cls}\b", template.read_text(encoding="utf-8")):
            raise UsageError(
                f"{names.name!r} would make a class {names.cls}, and the code around it means another by that",
                "choose another name",
            )
