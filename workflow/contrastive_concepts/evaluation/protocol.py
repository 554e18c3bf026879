"""mmsegmentation's test protocol (paper 6.1): shorter side 448, windows of 448 with stride 224, averaged scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.segmenters.segmenter import Features, Pixels, Segmenter

Window = tuple[int, int, int, int]
"""top, bottom, left, right"""


def resize_shape(height: int, width: int, short: int = 448, long: int = 2048) -> tuple[int, int]:
    """Height and width after mmsegmentation's keep-ratio resize, each at least one pixel."""
    scale = min(long / max(height, width), short / min(height, width))
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def resize_image(image: Pixels, short: int = 448, long: int = 2048) -> Pixels:
    """Resize uint8 [H, W, 3] bilinearly without antialiasing, with OpenCV."""
    height, width = resize_shape(image.shape[0], image.shape[1], short, long)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def sliding_window(height: int, width: int, crop: int = 448, stride: int = 224) -> list[Window]:
    """Windows in reading order. The last one of an axis is shifted back inside. A short side gives smaller windows."""
    return [(*rows, *columns) for rows in _spans(height, crop, stride) for columns in _spans(width, crop, stride)]


def _spans(length: int, crop: int, stride: int) -> list[tuple[int, int]]:
    count = max(length - crop + stride - 1, 0) // stride + 1
    ends = [min(index * stride + crop, length) for index in range(count)]
    return [(max(end - crop, 0), end) for end in ends]


def average(windows: Sequence[Window], outputs: Tensor, height: int, width: int) -> Tensor:
    """Scores of windows [n, C, h, w] at pixel resolution -> their mean [C, height, width]."""
    if len(windows) == 1:
        return outputs[0]
    total = outputs.new_zeros((outputs.shape[1], height, width))
    count = outputs.new_zeros((1, height, width))
    for (top, bottom, left, right), output in zip(windows, outputs, strict=True):
        total[:, top:bottom, left:right] += output
        count[:, top:bottom, left:right] += 1
    return total / count


@dataclass(frozen=True)
class EncodedImage:
    """One encoded image: the features of its windows, batch by batch, and its sizes in pixels."""

    features: tuple[Features, ...]
    windows: tuple[Window, ...]
    resized: tuple[int, int]
    original: tuple[int, int]


def encode(segmenter: Segmenter, image: Pixels, protocol: Protocol) -> EncodedImage:
    """Encode the windows of an image, which all have the same size."""
    resized = resize_image(image, protocol.short_side, protocol.long_side)
    windows = sliding_window(resized.shape[0], resized.shape[1], protocol.window, protocol.stride)
    crops = np.stack([resized[top:bottom, left:right] for top, bottom, left, right in windows])
    batches = [crops[start : start + protocol.batch] for start in range(0, len(crops), protocol.batch)]
    return EncodedImage(
        tuple(segmenter.encode_image(batch) for batch in batches),
        tuple(windows),
        (resized.shape[0], resized.shape[1]),
        (image.shape[0], image.shape[1]),
    )


@torch.inference_mode()
def similarities(segmenter: Segmenter, encoded: EncodedImage, texts: Tensor) -> list[Tensor]:
    """Compare all texts with the image, by one matrix product per batch of windows: [n, T, h, w] each."""
    return [segmenter.similarities(features, texts) for features in encoded.features]


@torch.inference_mode()
def label_map(
    segmenter: Segmenter,
    encoded: EncodedImage,
    compared: Sequence[Tensor],
    columns: Sequence[int],
    background: bool = False,
) -> Tensor:
    """Index of the best of some of the texts for each pixel of the original image, int64 [H, W].

    compared: the result of `similarities`. columns: indices of these texts in it. If the background handling adds a
    channel, label 0 is that channel and text k has label k + 1."""
    rows = torch.tensor(list(columns), device=compared[0].device)
    outputs = []
    for features, maps in zip(encoded.features, compared, strict=True):
        scores = segmenter.combine(features, maps.index_select(1, rows), background)
        outputs.append(F.interpolate(scores, features.size, mode="bilinear", align_corners=False))
    averaged = average(encoded.windows, torch.cat(outputs), *encoded.resized)
    full = F.interpolate(averaged[None], encoded.original, mode="bilinear", align_corners=False)[0]
    return segmenter.finish(full, background).argmax(dim=0)


def slide(
    image: Tensor, forward: Callable[[Tensor], Tensor], original: tuple[int, int], crop: int = 448, stride: int = 224
) -> tuple[Tensor, Tensor]:
    """Apply any segmenter to windows: image [3, H, W], forward [n, 3, h, w] -> [n, C, h, w].

    Returns the averaged scores [C, H, W] and their softmax at the original size."""
    height, width = int(image.shape[1]), int(image.shape[2])
    windows = sliding_window(height, width, crop, stride)
    crops = torch.stack([image[:, top:bottom, left:right] for top, bottom, left, right in windows])
    averaged = average(windows, forward(crops), height, width)
    full = F.interpolate(averaged[None], original, mode="bilinear", align_corners=False)[0]
    return averaged, full.softmax(dim=0)
