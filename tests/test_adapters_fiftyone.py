"""Negatives in FiftyOne: its zoo's zero-shot detector and its views. Its database is a MongoDB of its own.

FiftyOne needs an older starlette and OpenCV than this project's locked environment; elsewhere: docs/using.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from contrastive_concepts.adapters import Prompts
from contrastive_concepts.errors import UserError

fo = pytest.importorskip("fiftyone")

PROMPTS = Prompts(("boat", "dog"), ("water", "white sky"))


@pytest.fixture
def dataset() -> Iterator[Any]:
    """Two photos. On the first, water takes a boat; the second has no detection."""
    found = fo.Dataset()
    # Boxes are x, y, width, height, as shares of the photo.
    rows = [
        ("boat", 0.5, [0.0, 0.0, 0.2, 0.2]),
        ("boat", 0.4, [0.6, 0.6, 0.2, 0.2]),
        ("water", 0.8, [0.0, 0.0, 0.2, 0.16]),
        ("dog", 0.9, [0.0, 0.0, 0.2, 0.18]),
        ("white sky", 0.9, [0.0, 0.5, 0.5, 0.5]),
    ]
    boxes = [fo.Detection(label=label, confidence=score, bounding_box=box) for label, score, box in rows]
    found.add_samples([fo.Sample(filepath="a.png", found=fo.Detections(detections=boxes)), fo.Sample(filepath="b.png")])
    yield found
    found.delete()


def shown(view: Any) -> list[list[tuple[str, float, str | None]]]:
    """Label, confidence and taker of the detections of each photo of a view."""
    return [
        [(each.label, each.confidence, each.to_dict().get("taken_by")) for each in sample.found.detections]
        for sample in view
    ]


def test_views_of_what_is_kept_and_what_is_taken(dataset: Any) -> None:
    from contrastive_concepts.adapters.fiftyone import save_views

    kept, taken = save_views(dataset, "found", PROMPTS)
    assert shown(kept) == [[("boat", 0.4, None), ("dog", 0.9, None)]]
    assert shown(taken) == [[("boat", 0.5, "water")]]
    assert sorted(dataset.list_saved_views()) == ["found queries", "found taken"]
    assert shown(dataset.load_saved_view("found taken")) == shown(taken)
    assert dataset.count("found.detections") == 5
    assert dataset.count_values("found.detections.taken_by") == {"water": 1, None: 4}
    # The attribute is in the schema, so that the app has it.
    assert "found.detections.taken_by" in dataset.get_field_schema(flat=True)
    # Again, with an overlap that nothing has.
    kept, taken = save_views(dataset, "found", PROMPTS, overlap=1)
    assert (len(taken), shown(kept)) == (0, [[("boat", 0.5, None), ("boat", 0.4, None), ("dog", 0.9, None)]])
    assert len(dataset.list_saved_views()) == 2


def test_fields_without_such_detections(dataset: Any) -> None:
    from contrastive_concepts.adapters.fiftyone import save_views

    with pytest.raises(UserError, match="found: label 2: found 'water', expected one of the 2 texts asked"):
        save_views(dataset, "found", Prompts(("boat", "dog"), ()))
    with pytest.raises(UserError, match="other: found no such field in the data set"):
        save_views(dataset, "other", PROMPTS)
    with pytest.raises(UserError, match="filepath: found str, expected Detections"):
        save_views(dataset, "filepath", PROMPTS)
    dataset.clear_sample_field("found")
    with pytest.raises(UserError, match="found: found no detection in the data set"):
        save_views(dataset, "found", PROMPTS)
    assert not dataset.list_saved_views()


def test_a_detector_of_the_zoo(tmp_path: Path) -> None:
    import fiftyone.zoo as foz

    from contrastive_concepts.adapters.fiftyone import save_views
    from tests.tiny_detectors import save_owl_vit

    random = np.random.default_rng(0)
    for name in range(6):
        Image.fromarray(random.integers(0, 256, (60, 90, 3), np.uint8)).save(tmp_path / f"{name}.png")
    model = foz.load_zoo_model(
        "zero-shot-detection-transformer-torch",
        name_or_path=str(save_owl_vit(tmp_path / "owlvit")),
        classes=list(PROMPTS.texts),
    )
    dataset = fo.Dataset.from_images_dir(str(tmp_path))
    try:
        dataset.apply_model(model, label_field="found", confidence_thresh=0.01)
        # A detector with random weights has boxes everywhere: a small overlap is enough for some to be taken.
        kept, taken = save_views(dataset, "found", PROMPTS, overlap=0.1)
        found = dataset.count_values("found.detections.label")
        assert set(found) <= set(PROMPTS.texts)
        of_queries = found["boat"] + found.get("dog", 0)
        assert kept.count("found.detections") + taken.count("found.detections") == of_queries
        assert 0 < taken.count("found.detections") < of_queries
        assert set(taken.distinct("found.detections.taken_by")) <= set(PROMPTS.negatives)
    finally:
        dataset.delete()
