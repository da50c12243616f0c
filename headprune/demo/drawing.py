"""Drawing of scenes with signed distances: smooth at any size, and the same bytes every time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from headprune.demo.scenes import Scene, Thing

Array = NDArray[np.float64]

SIDE = 60
"""The picture side that the bundled model sees, in pixels."""

PAINT = {
    "red": (214, 46, 46),
    "orange": (243, 138, 24),
    "yellow": (252, 222, 58),
    "pink": (247, 136, 190),
    "green": (44, 158, 66),
    "teal": (42, 196, 190),
    "blue": (44, 86, 218),
    "purple": (132, 58, 188),
}

_GROUND = {
    "sand": (226, 202, 152),
    "grass": (134, 184, 98),
    "water": (96, 154, 206),
    "snow": (236, 241, 247),
    "night": (26, 29, 58),
}


def picture(scene: Scene, side: int = SIDE) -> Image.Image:
    """The scene as an RGB picture of `side` x `side` pixels."""
    return Image.fromarray(pixels(scene, side))


def pixels(scene: Scene, side: int = SIDE) -> NDArray[np.uint8]:
    """The scene as uint8 values [side, side, 3]; computed in float64 so that rounding hides the last bits."""
    canvas = _background(scene, side)
    for thing in scene.things:
        _draw(canvas, thing, side)
    return np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)


def _background(scene: Scene, side: int) -> Array:
    """The ground [side, side, 3]: each has its own structure, so that it can be told without its colour."""
    ground = scene.facts.background
    stream = np.random.Generator(np.random.PCG64(scene.grain))
    axis = (np.arange(side) + 0.5) / side
    y, x = axis[:, None], axis[None, :]
    if ground == "sand":
        tone = 16 * (_grain(stream, 40, 40, side) - 0.5) + 14 * (_grain(stream, 5, 5, side) - 0.5)
    elif ground == "grass":
        tone = 52 * (_grain(stream, 5, 48, side) - 0.5)
    elif ground == "water":
        bend = 0.05 * np.sin(9 * x + 6 * float(stream.random()))
        tone = 13 * np.sin(44 * (y + bend)) + 8 * (_grain(stream, 6, 4, side) - 0.5)
    elif ground == "snow":
        tone = 22 * (_grain(stream, 4, 4, side) - 0.7) + 5 * (_grain(stream, 30, 30, side) - 0.5)
    else:
        tone = 22 * y + 150 * _stars(stream, x, y, side)
    canvas: Array = np.array(_GROUND[ground], dtype=np.float64) + tone[:, :, None]
    return canvas


def _grain(stream: np.random.Generator, rows: int, columns: int, side: int) -> Array:
    """Smooth noise in [0, 1): a lattice of random values, interpolated to [side, side]."""
    lattice = stream.random((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    at = (np.arange(side) + 0.5) / side
    down, right = at * rows, at * columns
    i, j = down.astype(int), right.astype(int)
    v, u = (down - i)[:, None], (right - j)[None, :]
    upper = lattice[i][:, j] * (1 - u) + lattice[i][:, j + 1] * u
    lower = lattice[i + 1][:, j] * (1 - u) + lattice[i + 1][:, j + 1] * u
    smooth: Array = upper * (1 - v) + lower * v
    return smooth


def _stars(stream: np.random.Generator, x: Array, y: Array, side: int) -> Array:
    """Pinpricks of light [side, side] for the night sky."""
    light = np.zeros((side, side))
    for a, b in stream.random(28).reshape(14, 2):
        light = np.maximum(light, _cover(np.hypot(x - a, y - b) - 0.006, side))
    return light


def _draw(canvas: Array, thing: Thing, side: int) -> None:
    """Paint one thing into the canvas [side, side, 3], in place."""
    reach = 1.3 * thing.radius
    left, right = (_pixel(thing.x + s * reach, side) for s in (-1, 1))
    top, bottom = (_pixel(thing.y + s * reach, side) for s in (-1, 1))
    x = ((np.arange(left, right) + 0.5) / side - thing.x)[None, :] / thing.radius
    y = ((np.arange(top, bottom) + 0.5) / side - thing.y)[:, None] / thing.radius
    cos, sin = math.cos(thing.angle), math.sin(thing.angle)
    u, v = cos * x + sin * y, cos * y - sin * x
    scale = thing.radius * side
    window = canvas[top:bottom, left:right]
    shadow = 0.3 * _cover(_distance(thing.shape, u - 0.07, v - 0.1), scale / 2)
    window *= 1 - shadow[:, :, None]
    distance = _distance(thing.shape, u, v)
    colour = np.array(PAINT[thing.colour], dtype=np.float64)
    light = 0.8 * _pattern(thing.texture, u, v, scale)[:, :, None]
    rim = _cover(-distance - 0.12, scale)[:, :, None]
    fill = (colour * (1 - light) + 255 * light) * (1 - rim) + 0.62 * colour * rim
    cover = _cover(distance, scale)[:, :, None]
    window *= 1 - cover
    window += fill * cover


def _pixel(position: float, side: int) -> int:
    """A position in [0, 1] as a pixel, kept within the picture."""
    return min(max(round(position * side), 0), side)


def _cover(distance: Array, scale: float) -> Array:
    """How much of a pixel lies inside, from the distance to the edge: a one-pixel ramp."""
    ramp: Array = np.clip(0.5 - distance * scale, 0, 1)
    return ramp


def _pattern(texture: str, u: Array, v: Array, scale: float) -> Array:
    """How light the texture is at each point, from 0 (the thing's colour) to 1."""
    if texture == "striped":
        return _cover(np.abs((u + v) / 0.56 % 1 - 0.5) * 0.4 - 0.09, scale)
    if texture == "dotted":
        return _cover(np.hypot((u / 0.52 + 0.5) % 1 - 0.5, (v / 0.52 + 0.5) % 1 - 0.5) * 0.52 - 0.155, scale)
    return np.zeros(np.broadcast(u, v).shape)


def _distance(shape: str, u: Array, v: Array) -> Array:
    """Signed distance to a shape's edge in units of its radius, negative inside (a bound far outside)."""
    if shape == "ball":
        return np.hypot(u, v) - 0.88
    if shape == "ring":
        return np.abs(np.hypot(u, v) - 0.69) - 0.25
    if shape == "moon":
        return np.maximum(np.hypot(u, v) - 0.98, 0.8 - np.hypot(u - 0.5, v))
    if shape == "box":
        return _rectangle(u, v, 0.78, 0.78)
    if shape == "brick":
        return _rectangle(u, v, 1.05, 0.5)
    if shape == "cross":
        return np.minimum(_rectangle(u, v, 0.98, 0.34), _rectangle(u, v, 0.34, 0.98))
    return _polygon(_CORNERS[shape], u, v)


def _rectangle(u: Array, v: Array, width: float, height: float) -> Array:
    """Distance to a rectangle of the given half sides."""
    return np.maximum(np.abs(u) - width, np.abs(v) - height)


def _polygon(corners: tuple[tuple[float, float], ...], u: Array, v: Array) -> Array:
    """Distance to a polygon: the nearest edge, signed by counting crossings."""
    nearest = np.full(np.broadcast(u, v).shape, np.inf)
    inside = np.zeros(nearest.shape, dtype=bool)
    for (a, b), (c, d) in zip(corners, corners[1:] + corners[:1], strict=True):
        edge_u, edge_v = c - a, d - b
        along = np.clip(((u - a) * edge_u + (v - b) * edge_v) / (edge_u**2 + edge_v**2), 0, 1)
        nearest = np.minimum(nearest, np.hypot(u - a - along * edge_u, v - b - along * edge_v))
        if b != d:
            inside ^= ((v >= b) != (v >= d)) & (u < a + (v - b) / edge_v * edge_u)
    return np.where(inside, -nearest, nearest)


def _star() -> tuple[tuple[float, float], ...]:
    """The ten corners of a five-pointed star."""
    rims = [(1.05 if k % 2 == 0 else 0.46, math.pi * k / 5) for k in range(10)]
    return tuple((r * math.sin(angle), -r * math.cos(angle)) for r, angle in rims)


_CORNERS = {
    "star": _star(),
    "kite": ((0.0, -1.05), (0.68, -0.3), (0.0, 1.05), (-0.68, -0.3)),
    "arrow": ((0.0, -1.0), (0.85, 0.0), (0.34, 0.0), (0.34, 1.0), (-0.34, 1.0), (-0.34, 0.0), (-0.85, 0.0)),
}
