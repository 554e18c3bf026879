"""The protocol: how images are resized and cut into windows, against the originals and against plain loops."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.evaluation.protocol import resize_shape, slide, sliding_window
from tests.helpers import PARITY, needs_parity, parity_arrays


@needs_parity
def test_resize_rule() -> None:
    for size, expected in json.loads((PARITY / "evaluation" / "resize_rule.json").read_text()).items():
        height, width = map(int, size.split("x"))
        assert resize_shape(height, width) == tuple(expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((375, 500), (448, 597)),  # 448 / 375 * 500 = 597.3
        ((640, 427), (671, 448)),  # 448 / 427 * 640 = 671.5
        ((448, 448), (448, 448)),
        ((100, 900), (228, 2048)),  # the long side decides: 2048 / 900 * 100 = 227.6
        ((1, 5000), (1, 2048)),
    ],
)
def test_resize_rule_by_hand(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resize_shape(*size) == expected


@needs_parity
def test_pixels_of_the_pipeline() -> None:
    from contrastive_concepts.evaluation.datasets import read_image
    from contrastive_concepts.evaluation.protocol import resize_image
    from contrastive_concepts.segmenters.tcl import IMAGENET_MEAN, IMAGENET_STD
    from contrastive_concepts.segmenters.tower import normalise_pixels

    resized = resize_image(read_image(PARITY / "evaluation" / "imgs" / "im0_375x500.png"))
    found = normalise_pixels(torch.from_numpy(resized).permute(2, 0, 1)[None].float(), IMAGENET_MEAN, IMAGENET_STD)
    assert np.abs(found[0].numpy() - parity_arrays("pipeline_im0.npz")["tcl_input_chw_float32"]).max() < 1e-5


@needs_parity
@pytest.mark.parametrize("name", ["slide_0.npz", "slide_1.npz"])
def test_sliding_window(name: str) -> None:
    stored = parity_arrays(name)
    height, width = (int(side) for side in stored["img_shape"])
    generator = np.random.RandomState(int(stored["img_seed"]))
    image = torch.from_numpy(generator.standard_normal((1, 3, height, width)).astype(np.float32))[0]
    weights = torch.from_numpy(stored["w"])
    original = (int(stored["ori_shape"][0]), int(stored["ori_shape"][1]))

    def forward(crops: torch.Tensor) -> torch.Tensor:
        # Channel k also has k times the mean red of its crop; not in the folder's README, read off the stored figures.
        tint = crops[:, 0].mean((1, 2)).view(-1, 1, 1, 1) * torch.arange(4.0).view(1, -1, 1, 1)
        return F.conv2d(crops, weights, padding=2) + tint

    averaged, probabilities = slide(image, forward, original)
    assert len(sliding_window(height, width)) == int(stored["n_crops"])
    assert np.abs(averaged[None, :, ::4, ::4].numpy() - stored["logits_before_resize_ds4"]).max() < 1e-4
    assert np.abs(probabilities[None, :, ::4, ::4].numpy() - stored["prob_ds4"]).max() < 1e-4
    assert (probabilities.argmax(0).numpy() != stored["pred"]).mean() < 1e-4


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 90), st.integers(1, 90))
def test_windows_cover_every_pixel_from_inside(height: int, width: int, crop: int, stride: int) -> None:
    stride = min(stride, crop)
    seen = np.zeros((height, width), int)
    for top, bottom, left, right in sliding_window(height, width, crop, stride):
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        assert (bottom - top, right - left) == (min(crop, height), min(crop, width))
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1


@pytest.mark.parametrize("size", [(448, 672), (448, 449), (300, 500)])
def test_sliding_window_against_loops(size: tuple[int, int]) -> None:
    """Each window's scores are added where it lies, and divided by the number of windows there."""
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((3, *size)).astype(np.float32))

    def forward(crops: torch.Tensor) -> torch.Tensor:
        return torch.stack([crop[:2] - crop[2].mean() for crop in crops])

    sums, times = np.zeros((2, *size)), np.zeros(size)
    for top in {0, max(size[0] - 448, 0)}:
        for left in {*range(0, max(size[1] - 448, 0), 224), max(size[1] - 448, 0)}:
            crop = image[:, top : top + 448, left : left + 448].double().numpy()
            sums[:, top : top + 448, left : left + 448] += crop[:2] - crop[2].mean()
            times[top : top + 448, left : left + 448] += 1
    averaged, probabilities = slide(image, forward, size)
    assert np.allclose(averaged.numpy(), sums / times, atol=1e-4)
    odds = np.exp(sums / times)
    assert np.allclose(probabilities.numpy(), odds / odds.sum(0), atol=1e-4)
