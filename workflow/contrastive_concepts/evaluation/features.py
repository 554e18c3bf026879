"""Encoded images, in memory or on disk in chunks: an image goes through the encoder once for all contrastive sets."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.confusion import Labels
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.protocol import EncodedImage, encode
from contrastive_concepts.segmenters.segmenter import Features, Segmenter

IMAGES_PER_CHUNK = 32


class EncodedSample(NamedTuple):
    """An encoded image with its labels uint8 [H, W], 255 ignored."""

    name: str
    labels: Labels
    encoded: EncodedImage


def encode_samples(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol) -> Iterator[EncodedSample]:
    """One pass through the encoder an image, one image in memory at a time."""
    for sample in samples:
        yield EncodedSample(sample.name, sample.labels, encode(segmenter, sample.image, protocol))


def write_features(
    folder: Path,
    encoded: Iterable[EncodedSample],
    extras: Iterable[str] = (),
    precision: Literal["float32", "float16"] = "float32",
) -> int:
    """Write chunks of images to a new folder, of each what scores need; memory is bounded by a chunk.

    extras: names of the extra features that are kept. Returns the number of images."""
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
    """What `write_features` wrote, in its order, one image in memory at a time; float32 again."""
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
