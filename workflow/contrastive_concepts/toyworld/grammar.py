"""The contents of the toy world: classes with their words and colours, and the scenes in which they occur together."""

from dataclasses import dataclass
from itertools import cycle
from typing import Literal, get_args

from contrastive_concepts.toyworld.shapes import RGB, SHAPES

Zone = Literal["ground", "air", "wall"]
Texture = Literal[
    "flat", "clouds", "waves", "speckle", "tufts", "dashes", "bricks", "planks", "tiles", "leaves", "furrows"
]
Pattern = Literal["plain", "rows", "columns", "rising", "falling", "checks", "dots", "broad"]


@dataclass(frozen=True)
class Thing:
    """An object: its words (the first is the class name), height in scenes, aspect ratio, colours, pattern."""

    words: tuple[str, ...]
    height: float
    aspect: float
    colours: tuple[RGB, ...]
    pattern: Pattern


@dataclass(frozen=True)
class Stuff:
    """A surface: its words (the first is the class name), colours, texture."""

    words: tuple[str, ...]
    colours: tuple[RGB, ...]
    texture: Texture


@dataclass(frozen=True)
class Scene:
    """Words for the place, surfaces from top to bottom with the height where each begins, objects by zone."""

    words: tuple[str, ...]
    bands: tuple[tuple[tuple[str, ...], float], ...]
    things: dict[str, tuple[float, Zone]]


def _things(*rows: tuple[str, float, float, RGB]) -> dict[str, Thing]:
    """Build the objects. Patterns are assigned in turn, so that the objects in one scene differ."""
    return {
        words.split("/")[0]: Thing(tuple(words.split("/")), height, aspect, (colour,), pattern)
        for (words, height, aspect, colour), pattern in zip(rows, cycle(get_args(Pattern)), strict=False)
    }


THINGS: dict[str, Thing] = _things(
    ("boat/vessel", 0.34, 1.7, (196, 52, 44)),
    ("sailboat/yacht", 0.57, 0.85, (150, 92, 44)),
    ("ship/vessel", 0.42, 2.0, (44, 56, 76)),
    ("lighthouse", 0.72, 0.36, (240, 240, 238)),
    ("bird/seagull", 0.21, 1.3, (250, 250, 250)),
    ("umbrella/parasol", 0.47, 0.9, (226, 60, 60)),
    ("palm/palmtree", 0.72, 0.75, (66, 150, 60)),
    ("ball/football", 0.2, 1.0, (220, 50, 50)),
    ("person/man/woman", 0.52, 0.42, (210, 60, 70)),
    ("barn/stable", 0.57, 1.2, (158, 38, 34)),
    ("cow/cattle", 0.36, 1.45, (238, 234, 228)),
    ("sheep/lamb", 0.31, 1.3, (244, 242, 234)),
    ("horse/pony", 0.44, 1.25, (124, 70, 34)),
    ("dog/puppy", 0.31, 1.2, (196, 146, 84)),
    ("cat/kitten", 0.34, 0.85, (232, 146, 60)),
    ("camel/dromedary", 0.47, 1.2, (190, 142, 78)),
    ("tractor", 0.44, 1.3, (60, 150, 56)),
    ("fence/railing", 0.29, 2.2, (176, 130, 84)),
    ("tree/oak", 0.72, 0.85, (56, 130, 50)),
    ("fir/spruce", 0.68, 0.62, (28, 84, 56)),
    ("car/automobile", 0.31, 1.9, (204, 38, 40)),
    ("bus/coach", 0.44, 1.8, (236, 170, 30)),
    ("truck/lorry", 0.44, 1.7, (40, 100, 170)),
    ("bicycle/bike", 0.36, 1.4, (210, 40, 60)),
    ("building/skyscraper", 0.81, 0.6, (136, 132, 138)),
    ("house/cottage", 0.57, 1.1, (236, 220, 180)),
    ("bench", 0.29, 1.7, (146, 94, 52)),
    ("kite", 0.31, 0.8, (220, 50, 130)),
    ("bottle/flask", 0.47, 0.38, (40, 120, 66)),
    ("cup/mug", 0.29, 1.1, (236, 232, 224)),
    ("apple", 0.22, 1.0, (206, 36, 40)),
    ("banana", 0.23, 1.4, (244, 214, 66)),
    ("fridge/refrigerator", 0.78, 0.55, (222, 226, 230)),
    ("bed/mattress", 0.44, 2.0, (90, 120, 190)),
    ("lamp/lantern", 0.52, 0.6, (246, 216, 130)),
    ("clock/watch", 0.26, 1.0, (60, 40, 30)),
    ("window", 0.44, 0.9, (244, 242, 236)),
    ("sofa/couch", 0.42, 1.8, (150, 60, 66)),
    ("television/tv", 0.39, 1.4, (70, 120, 190)),
    ("plant/houseplant", 0.47, 0.75, (58, 140, 66)),
    ("chair/stool", 0.47, 0.65, (150, 98, 50)),
    ("flower/blossom", 0.39, 0.6, (230, 70, 130)),
    ("butterfly", 0.23, 1.1, (240, 140, 30)),
    ("cactus/succulent", 0.55, 0.65, (70, 134, 70)),
    ("pyramid", 0.6, 1.5, (206, 170, 100)),
    ("rock/stone", 0.29, 1.5, (136, 132, 126)),
    ("sun", 0.26, 1.0, (252, 214, 70)),
    ("airplane/plane/jet", 0.36, 1.9, (238, 240, 242)),
    ("balloon", 0.47, 0.75, (220, 60, 60)),
    ("laptop/notebook", 0.34, 1.3, (90, 150, 210)),
    ("book/novel", 0.23, 1.4, (170, 50, 50)),
)

STUFFS: dict[str, Stuff] = {
    stuff.words[0]: stuff
    for stuff in (
        Stuff(("sky", "cloud"), ((122, 178, 232), (150, 196, 238), (236, 170, 130)), "clouds"),
        Stuff(("water", "ocean", "sea"), ((32, 98, 158), (40, 120, 150), (24, 80, 132)), "waves"),
        Stuff(("grass", "lawn", "meadow"), ((104, 168, 66), (124, 178, 74), (92, 152, 60)), "tufts"),
        Stuff(("road", "asphalt"), ((86, 86, 92), (100, 100, 104)), "dashes"),
        Stuff(("sand", "dune"), ((230, 204, 150), (222, 192, 132)), "speckle"),
        Stuff(("wall", "wallpaper"), ((224, 214, 200), (188, 204, 210), (214, 190, 190)), "flat"),
        Stuff(("floor", "parquet"), ((170, 118, 68), (150, 104, 62)), "planks"),
        Stuff(("snow", "ice"), ((240, 244, 250), (228, 236, 246)), "speckle"),
        Stuff(("mountain", "peak"), ((118, 116, 134), (96, 104, 126)), "speckle"),
        Stuff(("soil", "mud", "dirt"), ((112, 76, 50), (96, 66, 44)), "furrows"),
        Stuff(("pavement", "sidewalk"), ((176, 172, 166), (186, 178, 168)), "tiles"),
        Stuff(("carpet", "rug"), ((150, 70, 80), (90, 90, 130), (130, 110, 84)), "tiles"),
        Stuff(("forest", "woodland"), ((34, 82, 44), (44, 94, 48)), "leaves"),
        Stuff(("table", "counter"), ((196, 150, 98), (120, 78, 50)), "planks"),
        Stuff(("brick", "brickwork"), ((164, 84, 62), (150, 76, 58)), "bricks"),
    )
}

CLASSES: tuple[str, ...] = (*THINGS, *STUFFS)
"""Names of the drawn classes. Class i in a mask is CLASSES[i - 1], 0 is background."""

SCENES: dict[str, Scene] = {
    "harbour": Scene(
        ("harbour", "port"),
        ((("sky",), 0.0), (("water",), 0.42), (("", "", "pavement"), 0.84)),
        {
            "boat": (3, "ground"),
            "sailboat": (2, "ground"),
            "ship": (2, "ground"),
            "lighthouse": (1, "ground"),
            "bird": (1, "air"),
            "sun": (0.5, "air"),
        },
    ),
    "beach": Scene(
        ("beach", "coast"),
        ((("sky",), 0.0), (("water",), 0.32), (("sand",), 0.58)),
        {
            "umbrella": (2, "ground"),
            "palm": (2, "ground"),
            "ball": (1, "ground"),
            "person": (2, "ground"),
            "sun": (1, "air"),
            "kite": (0.6, "air"),
            "bird": (0.6, "air"),
            "rock": (0.7, "ground"),
        },
    ),
    "farm": Scene(
        ("farm", "countryside"),
        ((("sky",), 0.0), (("", "forest"), 0.38), (("grass", "grass", "soil"), 0.5)),
        {
            "barn": (1.4, "ground"),
            "cow": (2, "ground"),
            "sheep": (2, "ground"),
            "horse": (2, "ground"),
            "tractor": (1.5, "ground"),
            "fence": (1.3, "ground"),
            "tree": (0.8, "ground"),
        },
    ),
    "street": Scene(
        ("street", "city"),
        ((("sky", "brick"), 0.0), (("pavement",), 0.48), (("road",), 0.62)),
        {
            "car": (3, "ground"),
            "bus": (2, "ground"),
            "bicycle": (2, "ground"),
            "building": (2, "ground"),
            "person": (1.5, "ground"),
            "truck": (1, "ground"),
            "dog": (0.5, "ground"),
        },
    ),
    "park": Scene(
        ("park", "playground"),
        ((("sky",), 0.0), (("forest", ""), 0.34), (("grass",), 0.52)),
        {
            "tree": (2, "ground"),
            "bench": (2, "ground"),
            "dog": (2, "ground"),
            "person": (1.4, "ground"),
            "ball": (1.2, "ground"),
            "kite": (1, "air"),
            "bird": (0.7, "air"),
            "bicycle": (0.8, "ground"),
            "balloon": (0.5, "air"),
        },
    ),
    "kitchen": Scene(
        ("kitchen", "restaurant"),
        ((("wall", "brick"), 0.0), (("table",), 0.6)),
        {
            "bottle": (2, "ground"),
            "cup": (2, "ground"),
            "apple": (2, "ground"),
            "banana": (2, "ground"),
            "fridge": (1.4, "ground"),
            "clock": (0.5, "wall"),
            "window": (0.6, "wall"),
        },
    ),
    "bedroom": Scene(
        ("bedroom", "hotel"),
        ((("wall",), 0.0), (("carpet", "floor"), 0.6)),
        {
            "bed": (3, "ground"),
            "lamp": (1.6, "ground"),
            "cat": (1.2, "ground"),
            "clock": (0.8, "wall"),
            "window": (1.4, "wall"),
            "book": (0.6, "ground"),
        },
    ),
    "lounge": Scene(
        ("lounge", "apartment"),
        ((("wall", "wall", "brick"), 0.0), (("floor", "carpet"), 0.62)),
        {
            "sofa": (2.4, "ground"),
            "television": (1.6, "wall"),
            "lamp": (1.2, "ground"),
            "cat": (1.4, "ground"),
            "plant": (1.2, "ground"),
            "chair": (1.2, "ground"),
            "dog": (0.5, "ground"),
            "window": (0.5, "wall"),
        },
    ),
    "garden": Scene(
        ("garden", "yard"),
        ((("sky", "forest"), 0.0), (("grass",), 0.45), (("soil", ""), 0.76)),
        {
            "flower": (3, "ground"),
            "fence": (1.2, "ground"),
            "butterfly": (1.4, "air"),
            "house": (1.6, "ground"),
            "tree": (1, "ground"),
            "bird": (0.6, "air"),
            "cat": (0.4, "ground"),
        },
    ),
    "desert": Scene(
        ("desert", "egypt"),
        ((("sky",), 0.0), (("sand",), 0.5)),
        {
            "cactus": (2, "ground"),
            "camel": (2, "ground"),
            "pyramid": (2, "ground"),
            "rock": (1.2, "ground"),
            "sun": (1, "air"),
            "person": (0.3, "ground"),
        },
    ),
    "alps": Scene(
        ("alps", "resort"),
        ((("sky",), 0.0), (("mountain",), 0.3), (("snow",), 0.56)),
        {
            "fir": (2.6, "ground"),
            "house": (1.6, "ground"),
            "person": (1.2, "ground"),
            "rock": (0.8, "ground"),
            "sun": (0.5, "air"),
        },
    ),
    "airport": Scene(
        ("airport", "airfield"),
        ((("sky",), 0.0), (("grass", ""), 0.56), (("road",), 0.66)),
        {"airplane": (3, "ground"), "truck": (1.2, "ground"), "balloon": (0.9, "air"), "bus": (0.4, "ground")},
    ),
    "office": Scene(
        ("office", "library"),
        ((("wall",), 0.0), (("table",), 0.62)),
        {
            "laptop": (2.4, "ground"),
            "book": (2, "ground"),
            "cup": (1, "ground"),
            "clock": (1, "wall"),
            "plant": (1.2, "ground"),
            "lamp": (0.8, "ground"),
            "window": (0.6, "wall"),
        },
    ),
}

ABSTRACT: tuple[str, ...] = (
    "freedom", "holiday", "love", "summer", "travel", "design", "business",
    "idea", "quality", "adventure", "peace", "health", "history", "success",
)  # fmt: skip
"""Words that occur in captions but are never drawn."""

UNINFORMATIVE: tuple[str, ...] = ("photo", "image", "picture", "view")
ADJECTIVES: tuple[str, ...] = (
    "small",
    "large",
    "old",
    "new",
    "beautiful",
    "red",
    "blue",
    "green",
    "nice",
    "bright",
    "single",
    "modern",
)

KINDS: dict[str, Thing | Stuff] = {**THINGS, **STUFFS}
WORDS: dict[str, frozenset[str]] = {
    word: frozenset(name for name, kind in KINDS.items() if word in kind.words)
    for kinds in KINDS.values()
    for word in kinds.words
}
"""Every noun that names a drawn class -> the classes that it may name."""

assert THINGS.keys() == SHAPES.keys()
