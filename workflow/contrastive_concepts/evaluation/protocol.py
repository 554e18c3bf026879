"""mmsegmentation's test protocol (paper 6.1): shorter side 448, windows of 448 with stride 224, averaged scores."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.winners import Window, possible_winners
from contrastive_concepts.segmenters.segmenter import Features, Pixels, Segmenter


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


PIXEL_SCORES = 1 << 26
"""Scores of pixels in memory at once when the best text is looked for: 256 MB."""


class Crops(NamedTuple):
    """The windows of one image, uint8 [n, h, w, 3], where they lie in the resized image, and two sizes in pixels."""

    pixels: Pixels
    windows: tuple[Window, ...]
    resized: tuple[int, int]
    original: tuple[int, int]


@dataclass(frozen=True)
class EncodedImage:
    """One encoded image: the features of its windows, and its sizes in pixels."""

    features: Features
    windows: tuple[Window, ...]
    resized: tuple[int, int]
    original: tuple[int, int]


def crop(image: Pixels, protocol: Protocol) -> Crops:
    """Resize an image and cut it into windows, which all have the same size."""
    resized = resize_image(image, protocol.short_side, protocol.long_side)
    windows = sliding_window(resized.shape[0], resized.shape[1], protocol.window, protocol.stride)
    pixels = np.stack([resized[top:bottom, left:right] for top, bottom, left, right in windows])
    height, width = resized.shape[:2]
    return Crops(pixels, tuple(windows), (height, width), (image.shape[0], image.shape[1]))


def encode(segmenter: Segmenter, image: Pixels, protocol: Protocol) -> EncodedImage:
    """Encode the windows of one image."""
    [encoded] = encode_all(segmenter, [crop(image, protocol)], protocol.batch)
    return encoded


def encode_all(segmenter: Segmenter, images: Iterable[Crops], batch: int) -> Iterator[EncodedImage]:
    """Encode images in order. A batch of at most `batch` windows holds windows of several images if they fit."""
    waiting: list[Crops] = []
    for image in images:
        windows = sum(len(each.pixels) for each in waiting) + len(image.pixels)
        if waiting and (windows > batch or image.pixels.shape[1:] != waiting[0].pixels.shape[1:]):
            yield from _encode_together(segmenter, waiting, batch)
            waiting = []
        waiting.append(image)
    if waiting:
        yield from _encode_together(segmenter, waiting, batch)


def _encode_together(segmenter: Segmenter, images: Sequence[Crops], batch: int) -> Iterator[EncodedImage]:
    pixels = np.concatenate([image.pixels for image in images])
    encoded = [segmenter.encode_image(pixels[start : start + batch]) for start in range(0, len(pixels), batch)]
    size = encoded[0].size
    dense = torch.cat([features.dense for features in encoded])
    extra = {name: torch.cat([features.extra[name] for features in encoded]) for name in encoded[0].extra}
    first = 0
    for image in images:
        own = slice(first, first + len(image.pixels))
        features = Features(dense[own], size, single=False, extra={name: value[own] for name, value in extra.items()})
        yield EncodedImage(features, image.windows, image.resized, image.original)
        first = own.stop


@torch.inference_mode()
def similarities(segmenter: Segmenter, encoded: EncodedImage, texts: Tensor, boosts: Sequence[float] = ()) -> Tensor:
    """Compare all texts with the image, by one matrix product: [n, T, h, w].

    boosts: of each text, added to its cosines; empty: none. If the segmenter refines the map of each text, the result
    has refined maps at the original size, [1, T, H, W]."""
    added = (torch.tensor(list(boosts)),) if any(boosts) else ()
    compared = segmenter.similarities(encoded.features, texts, *added)
    if not segmenter.refines:
        return compared
    image = average(encoded.windows, encoded.features.extra["pixels"], *encoded.resized)
    scores = segmenter.combine(encoded.features, compared)
    refine = segmenter.refiner(image, encoded.original)
    step = max(PIXEL_SCORES // (encoded.original[0] * encoded.original[1]), 1)
    return torch.cat([refine(_at_pixels(encoded, part)) for part in torch.split(scores, step, dim=1)])[None]


@torch.inference_mode()
def label_map(
    segmenter: Segmenter,
    encoded: EncodedImage,
    compared: Tensor,
    columns: Sequence[int],
    background: bool = False,
    classes: Sequence[int] | None = None,
) -> Tensor:
    """Index of the best of some of the texts for each pixel of the original image, int64 [H, W].

    compared: the result of `similarities`. columns: indices of these texts in it. If the background handling adds a
    channel, label 0 is that channel and text k has label k + 1. classes: the class of each of these texts, 0 for
    negatives. Texts that cannot win at any pixel are not resized: of ten million pixels this changed two, where two
    texts are equal but for rounding."""
    rows = torch.tensor(list(columns), device=compared.device)
    if segmenter.refines:
        return _best(segmenter.finish(compared[0].index_select(0, rows), background, classes))
    scores = segmenter.combine(encoded.features, compared.index_select(1, rows), background)
    # A repeated text is resized once: as another channel, its scores could be rounded differently.
    first: Tensor | None = None
    if len(set(columns)) < len(columns):
        channels = [*range(-(scores.shape[1] - len(rows)), 0), *columns]
        first = torch.tensor([channels.index(each) for each in dict.fromkeys(channels)], device=compared.device)
        scores = scores.index_select(1, first)
    if segmenter.finishes_by_text(background):
        possible = possible_winners(scores, encoded.features.size, encoded.windows, encoded.resized, encoded.original)
        found = possible[_best_at_pixels(encoded, scores.index_select(1, possible))]
        return found if first is None else first[found]
    pixels = _at_pixels(encoded, scores)
    if first is not None:
        rows_of = {channels[place]: row for row, place in enumerate(first.tolist())}
        pixels = pixels[[rows_of[each] for each in channels]]
    return _best(segmenter.finish(pixels, background, classes))


@torch.inference_mode()
def label_maps(
    segmenter: Segmenter,
    encoded: EncodedImage,
    compared: Tensor,
    columns: Sequence[Sequence[int]],
    scores_at_once: int = 0,
) -> Iterator[tuple[range, Tensor]]:
    """`label_map` of several sets with equally many texts each, without background handling, in the same order.

    Yields which of the sets, and their maps int64 [Q, H, W]. scores_at_once: scores of pixels in memory; 0: one set at
    a time. A GPU is faster with many sets at once, a CPU if it leaves out the texts that cannot win. Sets at once are
    resized by matrix products, which round differently: of 10,000 pixels, a few that lie between two texts change."""
    size = encoded.features.size
    pixels = max(len(encoded.windows) * size[0] * size[1], encoded.original[0] * encoded.original[1])
    step = scores_at_once // (len(columns[0]) * pixels)
    repeated = any(len(set(each)) < len(each) for each in columns)
    one_by_one = repeated or segmenter.refines or not segmenter.combines_many or not segmenter.finishes_by_text()
    if step < 2 or one_by_one:
        for number, each in enumerate(columns):
            yield range(number, number + 1), label_map(segmenter, encoded, compared, each)[None]
        return
    # Not blocking: the host can go on while the GPU is busy.
    rows = torch.tensor(columns).to(compared.device, non_blocking=True)
    for first in range(0, len(columns), step):
        part = rows[first : first + step]
        gathered = compared[:, part.flatten()]
        scores = segmenter.combine(encoded.features, gathered.reshape(-1, part.shape[1], *gathered.shape[2:]))
        of_windows = scores.reshape(len(gathered), part.numel(), *scores.shape[2:])
        coarse = tuple(scores.shape[2:]) != size
        at_pixels = (_by_matrices if coarse else _at_pixels)(encoded, of_windows)
        yield range(first, first + len(part)), at_pixels.reshape(*part.shape, *at_pixels.shape[1:]).max(dim=1).indices


@torch.inference_mode()
def best_margins(
    segmenter: Segmenter,
    encoded: EncodedImage,
    compared: Tensor,
    columns: Sequence[Sequence[int]],
    own: range,
    scores_at_once: int = 0,
) -> Tensor:
    """The best margin of several queries over their negatives, float32 [Q]: the maximum, over all windows and
    positions, of the query's score minus that of its best negative; of its score alone if it has no negatives.

    The queries have equally many texts, and their own names at the same places `own`. The scores are those of
    `combine`, without own background handling, before they are resized. The other arguments: see `label_maps`."""
    step = 1
    if segmenter.combines_many and not segmenter.refines:
        pixels = len(encoded.windows) * encoded.features.size[0] * encoded.features.size[1]
        step = max(scores_at_once // (len(columns[0]) * pixels), 1)
    rows = torch.tensor(columns).to(compared.device, non_blocking=True)
    found = []
    for part in torch.split(rows, step):
        scores = compared[:, part.flatten()]
        scores = scores.reshape(-1, part.shape[1], *scores.shape[2:])
        # Refined maps are combined already.
        scores = scores if segmenter.refines else segmenter.combine(encoded.features, scores)
        best = scores[:, own.start : own.stop].amax(dim=1)
        if len(own) < part.shape[1]:
            best = best - torch.cat([scores[:, : own.start], scores[:, own.stop :]], dim=1).amax(dim=1)
        found.append(best.reshape(-1, len(part), *best.shape[1:]).amax(dim=(0, 2, 3)))
    return torch.cat(found)


def _best(scores: Tensor) -> Tensor:
    """The first channel with the highest score at each pixel: [C, H, W] -> int64 [H, W]."""
    # On a CPU `argmax` over the first axis takes 3 to 25 times as long for the same result.
    return scores.max(dim=0).indices


def _best_at_pixels(encoded: EncodedImage, scores: Tensor) -> Tensor:
    """As `_best` of `_at_pixels`. Of many or large maps, only some rows are in memory at a time."""
    size = encoded.features.size
    pixels = max(len(encoded.windows) * size[0] * size[1], encoded.original[0] * encoded.original[1])
    if pixels * scores.shape[1] <= PIXEL_SCORES:
        return _best(_at_pixels(encoded, scores))
    grid, down, across = _as_matrices(encoded, scores)
    height, width = encoded.original
    found = torch.empty(encoded.original, dtype=torch.int64, device=scores.device)
    # A CPU is twice as fast with parts that its cache holds.
    at_once = PIXEL_SCORES // 16 if scores.device.type == "cpu" else PIXEL_SCORES
    step = max(at_once // (scores.shape[1] * width), 1)
    for top in range(0, height, step):
        found[top : top + step] = _best(down[top : top + step] @ grid @ across.T)
    return found


@torch.inference_mode()
def pixel_scores(segmenter: Segmenter, encoded: EncodedImage, compared: Tensor, columns: Sequence[int]) -> Tensor:
    """Scores of some of the texts at the size of the original image, [C, H, W]. The arguments: see `label_map`."""
    rows = torch.tensor(list(columns), device=compared.device)
    if segmenter.refines:
        return compared[0].index_select(0, rows)
    return _at_pixels(encoded, segmenter.combine(encoded.features, compared.index_select(1, rows)))


def _at_pixels(encoded: EncodedImage, scores: Tensor) -> Tensor:
    """Scores of the windows [n, C, h, w] -> [C, H, W] at the original size."""
    averaged = average(encoded.windows, _resized(scores, encoded.features.size), *encoded.resized)
    return _resized(averaged[None], encoded.original)[0]


def _by_matrices(encoded: EncodedImage, scores: Tensor) -> Tensor:
    """As `_at_pixels`. Both resizes and the mean over windows are linear in each axis: two matrices do them all."""
    grid, down, across = _as_matrices(encoded, scores)
    return down @ grid @ across.T


def _as_matrices(encoded: EncodedImage, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scores of all windows as one grid for each text, and the matrices that take it to pixels from both sides."""
    rows, columns = (sorted({window[first : first + 2] for window in encoded.windows}) for first in (0, 2))
    texts, height, width = scores.shape[1:]
    grid = scores.reshape(len(rows), len(columns), texts, height, width).permute(2, 0, 3, 1, 4)
    down, across = (
        _axis(tuple(spans), patches, encoded.resized[axis], encoded.original[axis], str(scores.device))
        for axis, (spans, patches) in enumerate([(rows, height), (columns, width)])
    )
    return grid.reshape(texts, len(rows) * height, len(columns) * width), down, across


@lru_cache(maxsize=256)
def _axis(spans: tuple[tuple[int, int], ...], patches: int, resized: int, original: int, device: str) -> Tensor:
    """Patches of all windows of one axis -> pixels of the original image: [original, windows * patches]."""
    averaged = torch.zeros(resized, len(spans) * patches)
    for number, (start, stop) in enumerate(spans):
        averaged[start:stop, number * patches : (number + 1) * patches] = _linear(patches, stop - start)
    averaged /= averaged.sum(dim=1, keepdim=True)
    return (_linear(resized, original) @ averaged).to(device)


def _linear(source: int, size: int) -> Tensor:
    """A linear resize as a matrix [size, source]."""
    return F.interpolate(torch.eye(source)[None], size, mode="linear", align_corners=False)[0].T


def _resized(scores: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(scores.shape[-2:]) == size:
        return scores
    # On a CPU the kernel for this layout takes a quarter of the time; its results differ by rounding.
    scores = scores.contiguous(memory_format=torch.channels_last) if scores.device.type == "cpu" else scores
    return F.interpolate(scores, size, mode="bilinear", align_corners=False)


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
