"""The drawn world: the same everywhere, and what captions say is in the picture."""

import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from contrastive_concepts.errors import UserError
from contrastive_concepts.toyworld.captions import FUNCTION_WORDS, caption_image, mention
from contrastive_concepts.toyworld.corpus import HELD_OUT, contact_sheet, voc_palette, write_captions, write_images
from contrastive_concepts.toyworld.draws import BATCH, Draws, Stream, generator
from contrastive_concepts.toyworld.grammar import (
    ABSTRACT,
    ADJECTIVES,
    CLASSES,
    SCENES,
    STUFFS,
    THINGS,
    UNINFORMATIVE,
    WORDS,
)
from contrastive_concepts.toyworld.layout import compose
from contrastive_concepts.toyworld.render import SIZE, draw_image
from contrastive_concepts.toyworld.shapes import SHAPES, Ellipse

SAMPLE = 3000
PLACES = {word for scene in SCENES.values() for word in scene.words}
SAID_ONLY = {*PLACES, *ABSTRACT, *ADJECTIVES, *UNINFORMATIVE, *FUNCTION_WORDS, "background"}

seeds = st.integers(0, 2**32)
numbers = st.integers(0, 2**40)


@given(seeds, numbers, st.lists(st.booleans(), min_size=1, max_size=200))
def test_streams_that_are_drawn_in_turn_are_those_of_generators(seed: int, image: int, turns: list[bool]) -> None:
    streams = {first: Draws(seed, image, Stream.CAPTION + first) for first in (False, True)}
    drawn: dict[bool, list[float]] = {False: [], True: []}
    for first in turns:
        drawn[first].append(streams[first].uniform())
    for first, found in drawn.items():
        # Each batch is given out from its end.
        batches = generator(seed, image, Stream.CAPTION + first).random((len(found) // BATCH + 1, BATCH))[:, ::-1]
        assert found == batches.ravel()[: len(found)].tolist()


def words(caption: str) -> list[str]:
    return caption.replace(",", " ").split()


def test_captions_are_the_same_on_every_machine() -> None:
    text = "\n".join(caption_image(7, image, which) for image in range(200) for which in range(2))
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "ff138812508c35f0cb00be90de867ef56d669c1ea0060f96c92d0fe3b5a70926"
    )


def test_images_are_the_same_on_every_machine() -> None:
    digest = hashlib.sha256()
    for image in range(40):
        for picture in draw_image(7, image):
            digest.update(picture.tobytes())
    assert digest.hexdigest() == "2c0874d09f064955e8bb880178e283a3fa70a8f3cd8790acb17c2f8dd6c3853d"


@given(seeds, numbers)
def test_images_and_masks(seed: int, number: int) -> None:
    pixels, labels = draw_image(seed, number)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert pixels.dtype == labels.dtype == np.uint8
    assert labels.max() <= len(CLASSES)
    layout = compose(seed, number)
    shown = {CLASSES[label - 1] for label in np.unique(labels) if label}
    assert shown <= {placed.name for placed in (*layout.bands, *layout.things)}
    # Two large houses may hide sky, road and pavement, but nothing hides a thing; how seldom it happens is measured below.
    assert set(layout.drawn()) - shown <= {band.name for band in layout.bands}
    assert shown & set(layout.drawn())


def test_what_is_drawn_is_seldom_hidden_by_what_stands_before_it() -> None:
    """As in photographs: about two images of a thousand tell of a ground or a sky that nothing is left of."""
    hidden = 0
    for number in range(2_000):
        _, labels = draw_image(5, number)
        pixels = np.bincount(labels.ravel(), minlength=len(CLASSES) + 1)
        hidden += any(pixels[CLASSES.index(name) + 1] < 8 for name in compose(5, number).drawn())
    assert hidden <= 10


@given(seeds, numbers, st.integers(0, 5))
def test_every_word_is_drawn_or_never_drawn(seed: int, number: int, which: int) -> None:
    drawn = set(compose(seed, number).drawn())
    for word in words(caption_image(seed, number, which)):
        assert word in SAID_ONLY or WORDS[word] & drawn, word


@given(seeds, numbers)
def test_a_studio_is_one_object_and_a_texture_one_surface(seed: int, number: int) -> None:
    layout, (_, labels) = compose(seed, number), draw_image(seed, number)
    if layout.kind == "studio":
        assert set(np.unique(labels)) == {0, CLASSES.index(layout.things[0].name) + 1}
        assert layout.things[0].name in THINGS
    if layout.kind == "texture":
        assert {CLASSES[label - 1] for label in np.unique(labels)} == {layout.bands[0].name} <= STUFFS.keys()
    if layout.kind == "scene":
        assert layout.drawn()
        assert (labels > 0).all()


def test_objects_do_not_hide_each_other() -> None:
    for image in range(300):
        things = sorted(compose(11, image).things, key=lambda thing: thing.left)
        assert all(a.left + a.width <= b.left + 1e-9 for a, b in pairwise(things))


def test_shares_of_the_grammar() -> None:
    layouts = [compose(5, image) for image in range(SAMPLE)]
    mentions = [mention(layout, Draws(5, image, Stream.CAPTION)) for image, layout in enumerate(layouts)]
    captions = [words(caption_image(5, image)) for image in range(SAMPLE)]
    kinds = [layout.kind for layout in layouts]
    error = 4 * 0.5 / SAMPLE**0.5
    assert kinds.count("studio") / SAMPLE == pytest.approx(0.30, abs=error)
    assert kinds.count("texture") / SAMPLE == pytest.approx(0.08, abs=error)
    assert sum("background" in caption for caption in captions) / SAMPLE == pytest.approx(0.15, abs=error)
    assert sum(map(len, mentions)) / SAMPLE == pytest.approx(1.2, abs=0.06)
    drawn = [len(layout.drawn()) for layout in layouts]
    assert sum(drawn) / SAMPLE > 2.4
    assert {name for layout in layouts for name in layout.drawn()} == set(CLASSES)


def test_the_words_of_the_world() -> None:
    assert THINGS.keys() == SHAPES.keys()
    assert not SAID_ONLY & WORDS.keys()
    assert all(name in WORDS[name] for name in CLASSES)
    for scene in SCENES.values():
        assert scene.things.keys() <= THINGS.keys()
        assert {name for names, _ in scene.bands for name in names if name} <= STUFFS.keys()


def test_shapes_stay_in_their_box() -> None:
    for parts in SHAPES.values():
        for part in parts:
            if isinstance(part, Ellipse):
                spans = (part.cx - part.rx, part.cx + part.rx, part.cy - part.ry, part.cy + part.ry)
            else:
                spans = part.points
            assert min(spans) >= -0.05
            assert max(spans) <= 1.05


def test_caption_shards_are_bit_identical(tmp_path: Path) -> None:
    first, again = (write_captions(tmp_path / name, 101, 3, 9) for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    tables = [pq.read_table(file) for file in first]
    assert [table.column_names for table in tables] == [["URL", "TEXT"]] * 3
    assert [len(table) for table in tables] == [33, 34, 34]
    texts = [text for table in tables for text in table["TEXT"].to_pylist()]
    assert texts == [caption_image(9, image) for image in range(101)]
    assert len({url for table in tables for url in table["URL"].to_pylist()}) == 101


def test_more_shards_than_captions(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found 2, expected at least one for each of 3 shards"):
        write_captions(tmp_path, 2, 3, 0)


def test_images_in_vocs_layout(tmp_path: Path) -> None:
    write_images(tmp_path, 4, 9)
    names = (tmp_path / "ImageSets/Segmentation/val.txt").read_text().split()
    assert (tmp_path / "classes.txt").read_text().splitlines() == ["background", *CLASSES]
    assert len(names) == 4
    for image, name in enumerate(names):
        pixels, labels = draw_image(9, HELD_OUT + image)
        with Image.open(tmp_path / "SegmentationClass" / f"{name}.png") as mask:
            assert mask.mode == "P"
            assert np.array_equal(np.asarray(mask), labels)
        with Image.open(tmp_path / "JPEGImages" / f"{name}.jpg") as picture:
            assert np.abs(np.asarray(picture).astype(int) - pixels).mean() < 5


def test_vocs_colours() -> None:
    colours = np.frombuffer(voc_palette(), np.uint8).reshape(256, 3)
    assert colours[[0, 1, 2, 15, 20]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [0, 64, 128]]


def test_contact_sheet_shows_pixels_and_masks() -> None:
    pixels, labels = draw_image(9, 0)
    sheet = np.asarray(contact_sheet([[pixels, labels], [pixels]], scale=1))
    assert sheet.shape == (132, 132, 3)
    assert np.array_equal(sheet[:64, :64], pixels)
    assert np.array_equal(sheet[66:130, :64], pixels)
