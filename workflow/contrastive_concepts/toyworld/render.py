"""Renders a layout as pixels and as a mask of its classes."""

from typing import Any

import numpy as np

from contrastive_concepts.toyworld.draws import Stream, generator
from contrastive_concepts.toyworld.grammar import CLASSES, STUFFS, THINGS
from contrastive_concepts.toyworld.layout import Band, Layout, Placed, compose
from contrastive_concepts.toyworld.shapes import SHAPES, Ellipse, Part

SIZE = 64
NOISE, CONTRAST, DETAIL = 9, 34.0, 0.5
"""Pixel noise is uniform in -NOISE..NOISE, an object's pattern is in -CONTRAST..CONTRAST (dots: more), out of 255.
Parts with their own colour differ from the object's colour by DETAIL times the full difference. Patterns make most
patches of an object specific to it. Without them, a small CLIP recognises the scene in every patch."""

Floats = np.ndarray[tuple[int, ...], np.dtype[np.floating[Any]]]
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

_INDEX = {name: index for index, name in enumerate(CLASSES, start=1)}


def draw_image(seed: int, image: int) -> tuple[Bytes, Bytes]:
    """Image number `image`: RGB uint8 [64, 64, 3] and class indices uint8 [64, 64], 0 = background."""
    return render(compose(seed, image), generator(seed, image, Stream.PIXELS))


def render(layout: Layout, noise: np.random.Generator) -> tuple[Bytes, Bytes]:
    """Paint the layout from far to near. Returns the same shapes as `draw_image`."""
    left, top, side = layout.view
    steps = (np.arange(SIZE) + 0.5) / SIZE * side
    x, y = (left + steps)[None, :], (top + steps)[:, None]
    canvas = np.empty((SIZE, SIZE, 3))
    canvas[:] = layout.backdrop
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for band in layout.bands:
        _paint_band(canvas, labels, band, x, y)
    for thing in layout.things:
        _paint_thing(canvas, labels, thing, x, y)
    canvas += noise.integers(-NOISE, NOISE, size=canvas.shape, endpoint=True)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), labels


def _paint_band(canvas: Floats, labels: Bytes, band: Band, x: Floats, y: Floats) -> None:
    edge = band.top + band.amplitude * (np.sin(17 * x + band.phase) + 0.6 * np.sin(41 * x + 2 * band.phase))
    first = int(np.searchsorted(y[:, 0], float(edge.min())))
    if first == SIZE:
        return
    inside = y[first:] >= edge
    light = texture(STUFFS[band.name].texture, x, y[first:], band.phase)
    colours = np.asarray(band.colour, np.float64) + light[:, :, None]
    canvas[first:][inside] = colours[inside]
    labels[first:][inside] = _INDEX[band.name]


def texture(name: str, x: Floats, y: Floats, phase: float) -> Floats:
    """Change of lightness of a surface at scene coordinates: x [1, w], y [h, 1] -> [h, w]."""
    light: Floats = np.zeros((len(y), x.shape[1])) + 4 * np.sin(5 * x + phase)
    if name == "clouds":
        light = 16 * np.maximum(0, np.sin(9 * x + phase) * np.sin(23 * y + 5 * x + phase)) - 14 * (y - 0.2)
    elif name == "waves":
        light = 24 * np.sin(130 * y + 1.5 * np.sin(28 * x + phase))
    elif name == "speckle":
        light = 11 * np.sin(197 * x + 61 * y) * np.sin(173 * y - 83 * x + phase)
    elif name == "tufts":
        light = 24 * np.sign(np.sin(150 * x + 9 * np.sin(37 * y + phase))) * np.abs(np.sin(47 * y + phase))
    elif name == "dashes":
        line = (np.abs(np.mod(y + 0.015 * phase, 0.16) - 0.08) < 0.014) & (np.mod(x, 0.26) < 0.15)
        light = 130.0 * line
    elif name == "bricks":
        row = np.floor(y / 0.06)
        mortar = (np.mod(y, 0.06) < 0.014) | (np.mod(x + 0.065 * np.mod(row, 2), 0.13) < 0.016)
        light = 70.0 * mortar
    elif name == "planks":
        light = np.broadcast_to(
            -44.0 * (np.mod(y, 0.09) < 0.016) + 9 * np.sin(60 * y + 4 * np.sin(11 * x)), (len(y), x.shape[1])
        )
    elif name == "tiles":
        light = -34.0 * ((np.mod(y, 0.11) < 0.018) | (np.mod(x, 0.11) < 0.018))
    elif name == "leaves":
        light = 30 * np.sin(74 * x + phase) * np.sin(66 * y + 3 * np.sin(31 * x)) + 10 * np.sin(151 * x + 99 * y)
    elif name == "furrows":
        light = 22 * np.sin(95 * y + 60 * x + phase)
    return light


def _paint_thing(canvas: Floats, labels: Bytes, thing: Placed, x: Floats, y: Floats) -> None:
    u, v = (x[0] - thing.left) / thing.width, (y[:, 0] - thing.top) / thing.height
    rows, columns = _within(v), _within(u)
    if rows.start == rows.stop or columns.start == columns.stop:
        return
    across = u[columns][None, :]
    across, down = (1 - across if thing.flip else across), v[rows][:, None]
    picture, mask = canvas[rows, columns], labels[rows, columns]
    rows_at, columns_at = np.arange(rows.start, rows.stop)[:, None], np.arange(columns.start, columns.stop)[None, :]
    light = pattern(THINGS[thing.name].pattern, columns_at, rows_at)
    own = np.asarray(thing.colour, np.float64)
    for part in SHAPES[thing.name]:
        inside = _cover(part, across, down)
        colour = own if part.tint is None else own + DETAIL * (np.asarray(part.tint) - own)
        picture[inside] = colour + light[inside][:, None]
        mask[inside] = _INDEX[thing.name]


def pattern(name: str, x: Floats, y: Floats) -> Floats:
    """Change of lightness on an object at pixel coordinates: x [1, w], y [h, 1] -> [h, w]."""
    waves: dict[str, Floats] = {
        "plain": np.zeros((len(y), x.shape[1])),
        "rows": np.sin(1.57 * y) + 0.0 * x,
        "columns": np.sin(1.57 * x) + 0.0 * y,
        "rising": np.sin(1.1 * (x + y)),
        "falling": np.sin(1.1 * (x - y)),
        "checks": np.sign(np.sin(0.79 * x + 0.4) * np.sin(0.79 * y + 0.4)),
        "dots": 2.0 * ((np.sin(1.05 * x) * np.sin(1.05 * y)) > 0.45) - 0.5,
        "broad": np.sign(np.sin(0.79 * y + 0.4)) + 0.0 * x,
    }
    return CONTRAST * waves[name]


def _within(unit: Floats) -> slice:
    return slice(int(np.searchsorted(unit, -0.05)), int(np.searchsorted(unit, 1.05)))


def _cover(part: Part, u: Floats, v: Floats) -> Bools:
    """Whether each point of the grid u [1, w], v [h, 1] is in the part: bool [h, w]."""
    if isinstance(part, Ellipse):
        return ((u - part.cx) / part.rx) ** 2 + ((v - part.cy) / part.ry) ** 2 <= 1
    xs, ys = part.points[::2], part.points[1::2]
    inside = np.zeros((len(v), u.shape[1]), np.bool_)
    for x0, y0, x1, y1 in zip(xs, ys, (*xs[1:], xs[0]), (*ys[1:], ys[0]), strict=True):
        if y0 != y1:
            inside ^= ((y0 > v) != (y1 > v)) & (u < x0 + (v - y0) * ((x1 - x0) / (y1 - y0)))
    return inside
