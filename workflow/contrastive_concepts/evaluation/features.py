"""Encodes images once for all contrastive sets, stores the features, and bounds the IoU that a patch grid allows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.metrics import IGNORED, Labels, Ratios
from contrastive_concepts.evaluation.protocol import EncodedImage, encode
from contrastive_concepts.segmenters.segmenter import Features, Segmenter

IMAGES_PER_CHUNK = 32


class EncodedSample(NamedTuple):
    """An encoded image with its labels, uint8 [H, W], 255 = ignored."""

    name: str
    labels: Labels
    encoded: EncodedImage


def encode_samples(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol) -> Iterator[EncodedSample]:
    """Encode each image once, with one image in memory at a time."""
    for sample in samples:
        yield EncodedSample(sample.name, sample.labels, encode(segmenter, sample.image, protocol))


def write_features(
    folder: Path,
    encoded: Iterable[EncodedSample],
    extras: Iterable[str] = (),
    precision: Literal["float32", "float16"] = "float32",
) -> int:
    """Write the features that scores need to a new folder, in chunks of images. Memory is bounded by one chunk.

    extras: names of the extra features to write. Returns the number of images."""
    folder.mkdir(parents=True)
    kept, kind = tuple(extras), torch.float16 if precision == "float16" else torch.float32
    tensors: dict[str, Tensor] = {}
    images: list[dict[str, object]] = []
    total = 0
    for sample in encoded:
        number = len(images)
        tensors[f"{number}.labels"] = torch.from_numpy(sample.labels.copy())
        for batch, features in enumerate(sample.encoded.features):
            for key, value in {"dense": features.dense, **{name: features.extra[name] for name in kept}}.items():
                tensors[f"{number}.{batch}.{key}"] = value.to("cpu", kind).contiguous()
        images.append(
            {
                "name": sample.name,
                "windows": sample.encoded.windows,
                "resized": sample.encoded.resized,
                "original": sample.encoded.original,
                "sizes": [features.size for features in sample.encoded.features],
            }
        )
        if len(images) == IMAGES_PER_CHUNK:
            _write_chunk(folder, total // IMAGES_PER_CHUNK, tensors, images)
            tensors, images = {}, []
        total += 1
    if images:
        _write_chunk(folder, total // IMAGES_PER_CHUNK, tensors, images)
    if total == 0:
        raise UserError("features: found 0 images, expected at least one")
    return total


def read_features(folder: Path, device: str | torch.device = "cpu") -> Iterator[EncodedSample]:
    """Read the features that `write_features` wrote, in order, as float32, with one image in memory at a time."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: found no encoded images, expected chunks of them")
    for file in files:
        with safe_open(file, framework="pt") as chunk:
            images = json.loads(chunk.metadata()["images"])
            keys = [key.split(".", 2) for key in chunk.keys()]  # noqa: SIM118  no mapping
            extras = {parts[2] for parts in keys if len(parts) == 3} - {"dense"}
            for number, image in enumerate(images):
                features = tuple(
                    Features(
                        chunk.get_tensor(f"{number}.{batch}.dense").to(device, torch.float32),
                        (size[0], size[1]),
                        single=False,
                        extra={
                            name: chunk.get_tensor(f"{number}.{batch}.{name}").to(device, torch.float32)
                            for name in extras
                        },
                    )
                    for batch, size in enumerate(image["sizes"])
                )
                windows = tuple((top, bottom, left, right) for top, bottom, left, right in image["windows"])
                resized, original = ((int(h), int(w)) for h, w in (image["resized"], image["original"]))
                encoded = EncodedImage(features, windows, resized, original)
                yield EncodedSample(image["name"], chunk.get_tensor(f"{number}.labels").numpy(), encoded)


def _write_chunk(folder: Path, number: int, tensors: dict[str, Tensor], images: list[dict[str, object]]) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / f"{number:06d}.safetensors", metadata={"images": json.dumps(images)})


Grid = tuple[int, int]


class GridBound:
    """Collects images one at a time. `iou` gives the bound over all of them."""

    def __init__(self, classes: int, queries: Sequence[int]) -> None:
        self._classes = classes
        self._cells: dict[int, list[tuple[Labels, Labels]]] = {label: [] for label in queries}

    def add(self, labels: Labels, grid: Grid) -> None:
        """Add one image. labels: [H, W], 255 = ignored. grid: number of rows and columns."""
        cell, size = _cells(labels.shape, grid), grid[0] * grid[1]
        kept = np.bincount(cell[labels != IGNORED], minlength=size)
        for label in set(np.unique(labels).tolist()) & set(self._cells):
            self._cells[label].append((np.bincount(cell[labels == label], minlength=size), kept))

    def require_any(self, root: Path | str, images: int) -> None:
        """Raises UserError if no image of the data set below `root` shows any of the queries."""
        if not any(self._cells.values()):
            raise UserError(
                f"{root}: found none of the {len(self._cells)} queried classes in any of {images} images, expected "
                "masks that show some (is the class list that of these masks?)"
            )

    def iou(self) -> Ratios:
        """Highest possible IoU of each class over the data set, float64 [C]; NaN if it is no query or never occurs."""
        bounds = np.full(self._classes, np.nan)
        for label, found in self._cells.items():
            if found:
                inside, kept = (np.concatenate([pair[k] for pair in found]) for k in (0, 1))
                bounds[label] = _best(inside, kept)
        return bounds


def grid_bound(label_maps: Iterable[Labels], classes: int, queries: Sequence[int], grid: Grid) -> Ratios:
    """The bound for label maps [H, W] and one grid. As in IoU-single, a class counts only the images that show it.

    A segmenter can exceed the bound slightly, because interpolated scores can divide a cell of the grid."""
    bound = GridBound(classes, queries)
    for labels in label_maps:
        bound.add(labels, grid)
    return bound.iou()


def grid_of(encoded: EncodedImage) -> Grid:
    """Number of rows and columns of patches in an encoded image."""
    features = encoded.features[0]
    cells = (features.dense.shape[-2] / features.size[0], features.dense.shape[-1] / features.size[1])
    rows, columns = (max(round(side * share), 1) for side, share in zip(encoded.resized, cells, strict=True))
    return rows, columns


def _best(inside: Labels, kept: Labels) -> float:
    # The best choice of cells is a prefix of the cells in descending order of the share of the class.
    taken = kept > 0
    inside, kept = inside[taken], kept[taken]
    order = np.argsort(-inside / kept, kind="stable")
    hits, extra = np.cumsum(inside[order]), np.cumsum((kept - inside)[order])
    return float((hits / (inside.sum() + extra)).max())


def _cells(shape: tuple[int, ...], grid: tuple[int, int]) -> Labels:
    rows = np.arange(shape[0]) * grid[0] // shape[0]
    columns = np.arange(shape[1]) * grid[1] // shape[1]
    return rows[:, None] * grid[1] + columns[None]
