"""A figure's row from the encoder on, and the figure that the rows make."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import background_only, from_mapping, none
from contrastive_concepts.evaluation.datasets import Dataset, Sample, open_dataset
from contrastive_concepts.evaluation.texts import embed_once
from contrastive_concepts.report.examples import named_examples
from contrastive_concepts.report.panels import QUERY, draw_rows, label_colour
from contrastive_concepts.report.segmented import segmented_row
from contrastive_concepts.segmenters import build
from tests.drawn_photos import drawn_dataset
from tests.helpers import vectors
from tests.synthetic_clip import clip_model

SMALL = Protocol(short_side=64, long_side=256, window=64, stride=32)
CLASSES = ["boat", "water"]


@pytest.fixture(scope="module")
def model() -> Any:
    return clip_model(layers=2, patch=8, size=64)


def sample() -> Sample:
    random = np.random.default_rng(1)
    return Sample(
        "a", random.integers(0, 256, (64, 90, 3), np.uint8), np.repeat([[0] * 45 + [1] * 45], 64, 0).astype(np.uint8)
    )


def test_a_row_is_image_truth_sets_and_full_map(model: Any) -> None:
    sets = {"BG": background_only(), "CC^D": from_mapping("d", {"boat": ["sky", "harbour"]}, background=True)}
    texts = embed_once(["boat", "background", "sky", "harbour"], vectors)
    row = segmented_row(build("maskclip", model), sample(), CLASSES, 0, sets, texts, SMALL, ["CC^D"], "boats")
    assert [panel.title for panel in row] == [
        "boat (nearest: boats)", "ground truth", "BG", "CC^D", "CC^D: all concepts",
    ]  # fmt: skip
    assert (row[0].pixels == sample().image).all()
    full, tinted = row[4].pixels, row[3].pixels
    colours = [QUERY, label_colour(1), label_colour(2), label_colour(3)]
    assert {tuple(colour) for colour in full.reshape(-1, 3).tolist()} <= set(colours)
    grey = np.repeat(sample().image.mean(axis=2, keepdims=True), 3, axis=2).round()
    is_query = (full == QUERY).all(axis=2)
    assert (np.abs(tinted.astype(float) - grey).max(axis=2) <= 1)[~is_query].all()
    assert {name for name, _ in row[4].legend} <= {"boat", "background", "sky", "harbour"}


def test_own_background_is_black(model: Any) -> None:
    texts = embed_once(["boat"], vectors)
    gem = build("gem", model, threshold=1.0)  # no softmax of one text exceeds 1: all is background
    row = segmented_row(gem, sample(), CLASSES, 0, {"original": none(original=True)}, texts, SMALL, ["original"])
    assert row[-1].title == "original: all concepts"
    assert (row[-1].pixels == 0).all()
    assert row[-1].legend == ()


def test_a_photo_becomes_a_figure(model: Any, tmp_path: Path) -> None:
    drawn_dataset(tmp_path, "voc", 1)
    data = open_dataset("voc21", tmp_path)
    shown = data.read(data.names[0])
    label = int(next(k for k in np.unique(shown.labels) if k not in (0, 255)))
    texts = embed_once([data.classes[label], "background"], vectors)
    sets = {"BG": background_only()}
    row = segmented_row(build("maskclip", model), shown, data.classes, label, sets, texts, SMALL, ["BG"])
    draw_rows([row, row], tmp_path / "figure.png")
    sheet = Image.open(tmp_path / "figure.png")
    assert sheet.height > 2 * 160
    assert sheet.width > 4 * 160 * shown.image.shape[1] / shown.image.shape[0]


def test_a_map_follows_each_set_that_asks_for_it(model: Any) -> None:
    sets = {"BG": background_only(), "CC^D": from_mapping("d", {"boat": ["sky"]}, background=True)}
    texts = embed_once(["boat", "background", "sky"], vectors)
    row = segmented_row(build("maskclip", model), sample(), CLASSES, 0, sets, texts, SMALL, ["BG", "CC^D"])
    maps = ["BG: all concepts", "CC^D: all concepts"]
    assert [panel.title for panel in row[2:]] == ["BG", maps[0], "CC^D", maps[1]]
    assert not {"sky"} & {name for name, _ in row[3].legend}


def voc_like(root: Path, areas: list[dict[int, int]]) -> Dataset:
    """A VOC folder of 8x8 images; areas: for each the pixels of each label, the rest ignored."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number, shown in enumerate(areas):
        labels = np.full(64, 255, np.uint8)
        flat = [label for label, pixels in shown.items() for _ in range(pixels)]
        labels[: len(flat)] = flat
        Image.fromarray(labels.reshape(8, 8)).save(root / "SegmentationClass" / f"{number}.png")
        Image.new("RGB", (8, 8), "grey").save(root / "JPEGImages" / f"{number}.jpg")
    (root / "ImageSets/Segmentation/val.txt").write_text("".join(f"{n}\n" for n in range(len(areas))))
    return Dataset("voc", root, ["background", "boat", "dog", "man"])


def test_examples_by_name(tmp_path: Path) -> None:
    data = voc_like(tmp_path, [{1: 3}, {2: 3}])
    [(shown, label)] = named_examples(data, [("1", "dog")])
    assert (shown.name, label) == ("1", 2)
    for example, message in (
        (("7", "dog"), "found image '7', expected one of the 2 of voc"),
        (("1", "cat"), "found class 'cat', expected one of the 4 of voc"),
        (("0", "dog"), "image '0': found no pixel of 'dog'"),
    ):
        with pytest.raises(UserError, match=message):
            list(named_examples(data, [example]))
