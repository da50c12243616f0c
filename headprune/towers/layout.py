"""Where a model family keeps the parts of its vision tower: declared once, looked up strictly."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from headprune.errors import ModelError
from headprune.types import Geometry


@dataclass(frozen=True, slots=True)
class TowerLayout:
    """A family's tower, as dotted attribute paths.

    Attributes:
        tower: from the model to the tower (`vision_model`), the module that is given pixels.
        layers: from the tower to its list of layers (`encoder.layers`).
        attention: from a layer to its attention (`self_attn`).
        qkv: from the attention to the projection(s) of q, k and v: one fused name, or three.
        output: from the attention to its output projection, whose input is the H head outputs side by side.
        heads: the attention's attribute that holds H.
        mlp: from a layer to its MLP, whose answer, times g2, is added to the residual stream.
        cls: whether token 0 is a CLS token.
        reads: depths of Z that the model's connector reads, as indices of Z[0] .. Z[L]: the last alone for most.
        answers: how many things a layer answers with, its states first.
        scales: from a layer to g1 and g2, what multiplies the attention's and the MLP's answer: parameters, or modules
            that hold one (layer scale). Empty for most, where both are 1.
    """

    tower: str
    layers: str
    attention: str
    qkv: tuple[str, ...]
    output: str
    heads: str
    mlp: str
    cls: bool
    reads: tuple[int, ...] = (-1,)
    answers: int = 1
    scales: tuple[str, ...] = ()

    def depths(self, layers: int) -> tuple[int, ...]:
        """`reads` counted from 0, in a tower of `layers` layers.

        Raises:
            ModelError: the tower has no such depth.
        """
        if not all(-layers - 1 <= depth <= layers for depth in self.reads):
            raise ModelError(
                f"the connector reads depths {self.reads} of a tower with {layers} layers", "the model is not whole"
            )
        return tuple(depth % (layers + 1) for depth in self.reads)


@dataclass(frozen=True, slots=True)
class Site:
    """One layer of a tower: the layer module, its attention and the attention's projections, its MLP, and what holds
    its layer scales (a module and the name of its parameter, g1's and g2's)."""

    index: int
    layer: nn.Module
    attention: nn.Module
    qkv: tuple[nn.Linear, ...]
    output: nn.Linear
    mlp: nn.Module
    scaling: tuple[tuple[nn.Module, str], ...] = ()

    @property
    def scales(self) -> tuple[Tensor, ...]:
        """(g1, g2), each [d] or one number; empty where the layer has none, and both are 1."""
        return tuple(module.get_parameter(name) for module, name in self.scaling)


def part(module: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted path.

    Raises:
        ModelError: the model has no such part, so the layout does not describe it.
    """
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        name = type(module).__name__
        raise ModelError(
            f"{name} has no part {path!r}: {error}", "the family's layout does not fit this model"
        ) from error


def find_sites(model: nn.Module, layout: TowerLayout) -> tuple[Site, ...]:
    """The layers of the tower, first to last.

    Raises:
        ModelError: a part is missing, or a projection is not a plain linear layer (quantised weights, say).
    """
    layers = part(part(model, layout.tower), layout.layers)
    return tuple(_site(index, layer, layout) for index, layer in enumerate(layers.children()))


def _site(index: int, layer: nn.Module, layout: TowerLayout) -> Site:
    attention = part(layer, layout.attention)
    projections = [part(attention, name) for name in (*layout.qkv, layout.output)]
    for name, projection in zip((*layout.qkv, layout.output), projections, strict=True):
        if not isinstance(projection, nn.Linear) or not projection.weight.is_floating_point():
            kind = type(projection).__name__
            raise ModelError(
                f"{name} of layer {index} is a {kind}, not a plain linear layer", "load the model unquantised"
            )
    linears = [projection for projection in projections if isinstance(projection, nn.Linear)]
    scaling = tuple(_parameter(layer, path) for path in layout.scales)
    return Site(index, layer, attention, tuple(linears[:-1]), linears[-1], part(layer, layout.mlp), scaling)


def _parameter(layer: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The parameter at a dotted path, or the only one of the module there: what holds it, and its name.

    Raises:
        ModelError: there is none, or more than one.
    """
    owner, _, name = path.rpartition(".")
    holder = part(layer, owner) if owner else layer
    if name in holder._parameters:
        return holder, name
    module = part(layer, path)
    names = [own for own, _ in module.named_parameters()]
    if len(names) != 1:
        raise ModelError(
            f"{path} of a {type(layer).__name__} holds {len(names)} parameters, not one",
            "the family's layout does not fit this model",
        )
    return module, names[0]


def measure(sites: tuple[Site, ...], layout: TowerLayout) -> Geometry:
    """The geometry of a tower, read off its modules. In a sliced tower layers may differ in heads, never in widths.

    Raises:
        ModelError: the layers differ in widths, or a layer's head outputs do not divide by its heads.
    """
    counts = tuple(int(getattr(site.attention, layout.heads)) for site in sites)
    inner = [site.output.in_features for site in sites]
    head_widths = {size / count for size, count in zip(inner, counts, strict=True) if count}
    widths = {site.output.out_features for site in sites}
    emptied = any(size for size, count in zip(inner, counts, strict=True) if not count)
    if len(widths) != 1 or len(head_widths) > 1 or emptied or any(width % 1 for width in head_widths):
        raise ModelError(
            f"layers with {counts} heads have {inner} head outputs and widths {sorted(widths)}",
            "the family's layout does not fit this model",
        )
    return Geometry(
        layers=len(sites),
        heads=max(counts),
        width=widths.pop(),
        head_width=int(head_widths.pop()) if head_widths else 0,
        cls=layout.cls,
        ragged=counts if len(set(counts)) > 1 else (),
        dead=len(sites) - max(layout.depths(len(sites))),
    )
