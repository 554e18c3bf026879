"""Composes the layout of an image from the grammar: the classes and their places. Nothing is rendered here."""

from dataclasses import dataclass
from typing import Literal

from contrastive_concepts.toyworld.draws import Draws, Stream
from contrastive_concepts.toyworld.grammar import KINDS, SCENES, STUFFS, THINGS, Scene
from contrastive_concepts.toyworld.shapes import RGB

Kind = Literal["scene", "studio", "texture"]

STUDIO, TEXTURE, ZOOM = 0.30, 0.08, 0.45
"""Shares of images with one object on a plain backdrop, of images with one surface, and of scenes that are cropped.
Without such images CLIP learns only scenes."""

BACKDROPS: tuple[RGB, ...] = (
    (244, 244, 244),
    (214, 216, 220),
    (250, 240, 222),
    (196, 214, 226),
    (226, 206, 220),
    (60, 62, 68),
)
MARGIN = 0.04


@dataclass(frozen=True)
class Band:
    """A surface from `top` (a wavy line) down to the next band or the edge, in scene units."""

    name: str
    colour: RGB
    top: float
    amplitude: float
    phase: float


@dataclass(frozen=True)
class Placed:
    """An object and its bounding box, in scene units."""

    name: str
    colour: RGB
    left: float
    top: float
    width: float
    height: float
    flip: bool


@dataclass(frozen=True)
class Layout:
    """view: (left, top, side) of the square that the image shows. backdrop: colour where there is no band."""

    kind: Kind
    scene: str | None
    bands: tuple[Band, ...]
    things: tuple[Placed, ...]
    view: tuple[float, float, float]
    backdrop: RGB

    def drawn(self) -> tuple[str, ...]:
        """The distinct classes with a sufficient part in view, objects first."""
        left, top, side = self.view
        names = [
            thing.name
            for thing in self.things
            if _overlap(thing.left, thing.left + thing.width, left, left + side) > 0.5 * min(thing.width, side)
            and _overlap(thing.top, thing.top + thing.height, top, top + side) > 0.5 * min(thing.height, side)
        ]
        edges = [*(band.top for band in self.bands[1:]), 1.0]
        names += [
            band.name
            for band, bottom in zip(self.bands, edges, strict=False)
            if _overlap(band.top, bottom, top, top + side) - 2 * MARGIN > 0.04 * side
        ]
        return tuple(dict.fromkeys(names))


def compose(seed: int, image: int) -> Layout:
    """The layout of image number `image`. It depends only on the arguments."""
    draws = Draws(seed, image, Stream.LAYOUT)
    kind = draws.uniform()
    if kind < STUDIO:
        return _studio(draws)
    if kind < STUDIO + TEXTURE:
        name = draws.pick(tuple(STUFFS))
        return Layout(
            "texture", None, (Band(name, _tint(draws, name), 0.0, 0.0, 0.0),), (), _window(draws, 1.6), (0, 0, 0)
        )
    name = draws.pick(tuple(SCENES))
    return _scene(draws, name, SCENES[name])


def _studio(draws: Draws) -> Layout:
    name = draws.pick(tuple(THINGS))
    aspect = THINGS[name].aspect
    size = draws.uniform(0.5, 0.88)
    width, height = (size, size / aspect) if aspect > 1 else (size * aspect, size)
    left, top = draws.uniform(MARGIN, 0.96 - width), draws.uniform(MARGIN, 0.96 - height)
    placed = Placed(name, _tint(draws, name), left, top, width, height, draws.chance(0.5))
    return Layout("studio", None, (), (placed,), (0.0, 0.0, 1.0), _jitter(draws, draws.pick(BACKDROPS)))


def _scene(draws: Draws, name: str, scene: Scene) -> Layout:
    bands: list[Band] = []
    for names, top in scene.bands:
        band = draws.pick(names)
        amplitude = 0.05 if band == "mountain" else 0.025 if band == "forest" else 0.006
        shift = 0.0 if top == 0 else draws.uniform(-0.05, 0.05)
        if band:
            bands.append(Band(band, _tint(draws, band), top + shift, amplitude * (top > 0), draws.uniform(0, 6.28)))
    count = 1 + draws.weighted((0.5, 0.4, 0.1))
    names = tuple(scene.things)
    weights = [scene.things[thing][0] for thing in names]
    ground = bands[-1].top if len(bands) == 2 else bands[1].top
    scale = draws.uniform(0.85, 1.5 - 0.15 * count)
    things = []
    for slot in range(count):
        thing = names[draws.weighted(weights)]
        things.append(_place(draws, thing, scene.things[thing][1], slot / count, 1 / count, ground, scale))
    view = _zoom(draws, things) if draws.chance(ZOOM) else (0.0, 0.0, 1.0)
    return Layout("scene", name, tuple(bands), tuple(things), view, (0, 0, 0))


def _place(draws: Draws, name: str, zone: str, left: float, room: float, ground: float, scale: float) -> Placed:
    """Place an object in its slot. Slots are side by side, so that no object hides another."""
    kind = THINGS[name]
    height = min(kind.height * scale, (room * 0.98) / kind.aspect, 0.9)
    width = height * kind.aspect
    left += draws.uniform(0.0, room - width)
    if zone == "ground":
        bottom = min(max(draws.uniform(ground + 0.08, ground + 0.34), height + 0.03), 0.97)
        top = bottom - height
    else:
        top = draws.uniform(0.03, max(0.05, ground - height - 0.04))
    return Placed(name, _tint(draws, name), left, top, width, height, draws.chance(0.5))


def _zoom(draws: Draws, things: list[Placed]) -> tuple[float, float, float]:
    """A crop (left, top, side), in half of the cases around an object."""
    if not draws.chance(0.5):
        return _window(draws, 2.6)
    thing = draws.pick(things)
    side = min(1.0, max(thing.width, thing.height) * draws.uniform(1.1, 2.0))
    centre_x = thing.left + thing.width / 2 + draws.uniform(-0.15, 0.15) * side
    centre_y = thing.top + thing.height / 2 + draws.uniform(-0.15, 0.15) * side
    return min(max(centre_x - side / 2, 0.0), 1 - side), min(max(centre_y - side / 2, 0.0), 1 - side), side


def _window(draws: Draws, most: float) -> tuple[float, float, float]:
    side = 1 / draws.uniform(1.0, most)
    return draws.uniform(0, 1 - side), draws.uniform(0, 1 - side), side


def _tint(draws: Draws, name: str) -> RGB:
    return _jitter(draws, draws.pick(KINDS[name].colours))


def _jitter(draws: Draws, colour: RGB) -> RGB:
    light = draws.uniform(-18, 18)
    red, green, blue = (min(max(round(value + light + draws.uniform(-9, 9)), 0), 255) for value in colour)
    return red, green, blue


def _overlap(start: float, stop: float, low: float, high: float) -> float:
    return max(0.0, min(stop, high) - max(start, low))
