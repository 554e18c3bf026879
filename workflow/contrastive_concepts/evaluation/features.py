"""Images cut into windows, encoded in batches, and kept on disk in chunks if a benchmark asks for it."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.metrics import Labels
from contrastive_concepts.evaluation.protocol import Crops, EncodedImage, crop, encode_all
from contrastive_concepts.segmenters.segmenter import Features, Segmenter


class CroppedSample(NamedTuple):
    """The windows of an image with its labels, uint8 [H, W], 255 = ignored."""

    name: str
    labels: Labels
    crops: Crops


class EncodedSample(NamedTuple):
    """An encoded image with its labels, uint8 [H, W], 255 = ignored."""

    name: str
    labels: Labels
    encoded: EncodedImage


def crop_sample(sample: Sample, protocol: Protocol) -> CroppedSample:
    return CroppedSample(sample.name, sample.labels, crop(sample.image, protocol))


def encode_samples(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol) -> Iterator[EncodedSample]:
    """Encode each image once, with the images of one batch of windows in memory."""
    return encode_cropped(segmenter, (crop_sample(sample, protocol) for sample in samples), protocol.batch)


def encode_cropped(segmenter: Segmenter, samples: Iterable[CroppedSample], batch: int) -> Iterator[EncodedSample]:
    """Encode images in order. batch: number of windows of a batch, which can be windows of several images."""
    waiting: deque[CroppedSample] = deque()

    def crops() -> Iterator[Crops]:
        for sample in samples:
            waiting.append(sample)
            yield sample.crops

    for encoded in encode_all(segmenter, crops(), batch):
        sample = waiting.popleft()
        yield EncodedSample(sample.name, sample.labels, encoded)


def write_features(
    path: Path,
    samples: Sequence[EncodedSample],
    extras: Iterable[str] = (),
    precision: Literal["float32", "float16"] = "float32",
    fingerprint: str = "",
) -> None:
    """Write the features that scores need to one file, which appears when it is complete.

    extras: names of the extra features to write. fingerprint: of all that the features depend on."""
    from safetensors.torch import save_file

    kept, kind = tuple(extras), torch.float16 if precision == "float16" else torch.float32
    tensors: dict[str, Tensor] = {}
    images: list[dict[str, object]] = []
    for number, sample in enumerate(samples):
        features = sample.encoded.features
        tensors[f"{number}.labels"] = torch.from_numpy(sample.labels.copy())
        for key, value in {"dense": features.dense, **{name: features.extra[name] for name in kept}}.items():
            tensors[f"{number}.{key}"] = value.to("cpu", kind).contiguous()
        images.append(
            {
                "name": sample.name,
                "windows": sample.encoded.windows,
                "resized": sample.encoded.resized,
                "original": sample.encoded.original,
                "size": features.size,
            }
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    save_file(tensors, unfinished, metadata={"images": json.dumps(images), "fingerprint": fingerprint})
    os.replace(unfinished, path)


def features_fingerprint(path: Path) -> str | None:
    """The fingerprint that `write_features` was given; None if there is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("fingerprint")
    except (OSError, SafetensorError):
        return None


def read_features(path: Path, device: str | torch.device = "cpu") -> Iterator[EncodedSample]:
    """Read the features that `write_features` wrote, in order, as float32, with one image in memory at a time."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        images = json.loads(file.metadata()["images"])
        keys = [key.split(".", 1) for key in file.keys()]  # noqa: SIM118  no mapping
        extras = {name for _, name in keys} - {"dense", "labels"}
        for number, image in enumerate(images):
            features = Features(
                file.get_tensor(f"{number}.dense").to(device, torch.float32),
                (image["size"][0], image["size"][1]),
                single=False,
                extra={name: file.get_tensor(f"{number}.{name}").to(device, torch.float32) for name in extras},
            )
            windows = tuple((top, bottom, left, right) for top, bottom, left, right in image["windows"])
            resized, original = ((int(h), int(w)) for h, w in (image["resized"], image["original"]))
            encoded = EncodedImage(features, windows, resized, original)
            yield EncodedSample(image["name"], file.get_tensor(f"{number}.labels").numpy(), encoded)
