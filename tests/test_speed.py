"""The speed command: the same numbers both ways, and how often the encoder runs for them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from typer.testing import CliRunner

from benchmarks import segmentation
from benchmarks.segmentation import ade_photos, class_names, compare_ways, four_sets, generated
from contrastive_concepts.cli.main import app
from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters import build
from tests.drawn_photos import drawn_dataset
from tests.synthetic_clip import clip_model

SMALL = Protocol(short_side=64, long_side=256, window=64, stride=32)


@pytest.mark.parametrize("method", ["maskclip", "gem"])
def test_an_image_goes_through_the_encoder_once_not_once_a_query(method: str) -> None:
    segmenter = build(method, clip_model(layers=2, patch=8, size=64))
    calls: list[int] = []
    segmenter.tower.visual.conv1.register_forward_hook(lambda *_: calls.append(1))
    found = compare_ways(segmenter, list(generated(2)), SMALL)
    assert (found.images, found.queries) == (2, 2 * 8 * 4)
    # The windows of both images fit into one batch.
    assert len(calls) == 1 + found.queries
    assert "2 images, 64 queries" in str(found)


def test_different_numbers_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = segmentation.evaluate_straightforward

    def wrong(*arguments: Any) -> Any:
        results = plain(*arguments)
        results[2]._intersection[0][:] //= 2
        return results

    monkeypatch.setattr(segmentation, "evaluate_straightforward", wrong)
    with pytest.raises(UserError, match="set 'the list': cached and straightforward scores differ"):
        compare_ways(build("maskclip", clip_model(layers=2, patch=8, size=64)), list(generated(1)), SMALL)


def test_images_and_sets() -> None:
    first, again = list(generated(2)), list(generated(3))
    for one, other in zip(first, again, strict=False):
        assert (one.image == other.image).all()
        assert len(np.unique(one.labels)) == 8
    assert not (first[0].image == first[1].image).all()
    names = class_names()
    lengths = [len(each.negatives(names[3], names[:8])) for each in four_sets(names)]
    assert lengths == [1, 11, 21, 7]


def test_photos_keep_their_largest_classes(tmp_path: Path) -> None:
    drawn_dataset(tmp_path, "ade20k")
    whole, cut = list(ade_photos(tmp_path, 2, classes=150)), list(ade_photos(tmp_path, 2, classes=2))
    assert len(whole) == 2
    for one, other in zip(whole, cut, strict=True):
        kept = set(np.unique(other.labels)) - {255}
        sizes = {label: int((one.labels == label).sum()) for label in np.unique(one.labels) if label != 255}
        assert kept == set(sorted(sizes, key=lambda label: -sizes[label])[:2])
        assert ((other.labels == one.labels) | (other.labels == 255)).all()


def test_the_command(tmp_path: Path) -> None:
    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 64, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    architecture = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "tiny-for-bench.json").write_text(json.dumps(architecture))
    open_clip.add_model_config(tmp_path / "tiny-for-bench.json")
    done = CliRunner().invoke(app, ["bench", "segmentation", "--images", "1", "--model", "tiny-for-bench"])
    assert re.search(r"1 images, 32 queries: cached [\d.]+ s, straightforward [\d.]+ s, ratio [\d.]+", done.output)
    peak = CliRunner().invoke(app, ["bench", "segmentation", "--peak-of", "1", "--model", "tiny-for-bench"])
    assert int(peak.output) > 50
    wrong = CliRunner().invoke(app, ["bench", "segmentation", "--model", "ViT-Z"])
    assert "found 'ViT-Z'" in str(wrong.exception)
