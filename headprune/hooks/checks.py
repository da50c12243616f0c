"""What plugins answer, seen to be what it has to be, where it comes in: later nobody could say whose fault it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from headprune.errors import PluginError
from headprune.hooks.blame import owner, place
from headprune.types import Sample

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")


def check_needs(made: Any, plugin: str, known: frozenset[str]) -> None:
    """See that what a plugin's `needs` names is to be had; a misspelt need would never be met.

    Args:
        made: the scorer or edit.
        plugin: what messages call it.
        known: what it may need.

    Raises:
        PluginError: it needs something else, or `needs` is no set.
    """
    needs = made.needs
    if not isinstance(needs, frozenset | set) or not needs <= known:
        wrong = repr(needs) if not isinstance(needs, frozenset | set) else repr(min(needs - known, key=str))
        allowed = f"frozenset({{{', '.join(map(repr, sorted(known)))}}}) or a part of it"
        raise PluginError(f"{plugin} needs {wrong}, which there is not", f"{place(made)}: needs = {allowed}")


def checked_description(made: Any, plugin: str) -> dict[str, Any]:
    """What `made.describe()` says, seen to be plain JSON.

    Raises:
        PluginError: it is not.
    """
    described = made.describe()
    try:
        json.dumps(described, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"{plugin} describes itself by what is no plain JSON: {error}",
            f"{place(type(made).describe)}: text, finite numbers, lists and dicts",
        ) from error
    return dict(described)


def checked_type(found: Any, wanted: type[T], plugin: str, made_by: Any) -> T:
    """What a plugin's method answered, seen to be of the type that it has to be.

    Args:
        plugin: what messages call it.
        made_by: the method.

    Raises:
        PluginError: it is not.
    """
    if not isinstance(found, wanted):
        what = f"{type(found).__name__}, not a headprune.{wanted.__name__}"
        raise PluginError(f"{plugin} returned {what}", f"{place(made_by)}: mend it there")
    return found


def opened(sample: Sample) -> Image:
    """The sample's picture, seen to be one.

    Raises:
        PictureError: it cannot be read. PluginError: what `load` gave is no picture, or is not RGB.
    """
    from PIL.Image import Image

    picture = sample.load()
    if not isinstance(picture, Image) or picture.mode != "RGB":
        what = f"a picture in mode {picture.mode}" if isinstance(picture, Image) else type(picture).__name__
        raise PluginError(
            f"sample {sample.id} opens as {what}, not as an RGB picture",
            f'{place(sample.load) or owner(sample.load)}: headprune.read_picture(path, name), or .convert("RGB")',
        )
    return picture
