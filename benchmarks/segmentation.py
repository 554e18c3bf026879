"""Measures the time saved by encoding each image only once, and what each method costs beside MaskCLIP.

Images have eight classes each and are scored under four contrastive sets."""

import resource
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import open_clip
import torch

from contrastive_concepts.config.evaluation import ImageModelSettings, Protocol
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, background_only, from_mapping, image_oracle
from contrastive_concepts.evaluation.datasets import CLASSES, Sample, open_dataset
from contrastive_concepts.evaluation.features import crop_sample, encode_cropped
from contrastive_concepts.evaluation.metrics import IGNORED, Labels
from contrastive_concepts.evaluation.protocol import encode, label_map, similarities
from contrastive_concepts.evaluation.scoring import Experiment, Scorer, evaluate_single
from contrastive_concepts.evaluation.single import (
    SingleScores,
    added_channels,
    labels_in,
    present_names,
    shown_classes,
    single_query,
    single_texts,
)
from contrastive_concepts.evaluation.texts import Embed, embed_once
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter
from contrastive_concepts.segmentation.folder import segment_photos
from contrastive_concepts.segmentation.photos import find_photos
from contrastive_concepts.segmenters import build
from contrastive_concepts.segmenters.clip_dinoiser import head_shapes as dinoiser_shapes
from contrastive_concepts.segmenters.image_model import load_image_model
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.segmenters.tcl import head_shapes as tcl_shapes
from contrastive_concepts.segmenters.tower import Tower
from contrastive_concepts.text_files import read_lines

SIZE = (512, 683)
"""Height and width of most ADE20K photos."""


@dataclass(frozen=True)
class Timing:
    """Seconds of both ways. queries: number of (image, class, set) triples.

    CPU seconds measure the work even if other jobs share the machine."""

    cached: float
    straightforward: float
    cached_cpu: float
    straightforward_cpu: float
    images: int
    queries: int

    @property
    def ratio(self) -> float:
        return self.straightforward / self.cached

    @property
    def cpu_ratio(self) -> float:
        return self.straightforward_cpu / self.cached_cpu

    def __str__(self) -> str:
        wall = f"cached {self.cached:.2f} s, straightforward {self.straightforward:.2f} s, ratio {self.ratio:.1f}"
        cpu = f"{self.cached_cpu:.2f} s and {self.straightforward_cpu:.2f} s, ratio {self.cpu_ratio:.1f}"
        return f"{self.images} images, {self.queries} queries: {wall}; of the processor {cpu}"


class Cost(NamedTuple):
    """Processor seconds an image to encode it, and to score it. ratio: of their sum to MaskCLIP's in the same round."""

    method: str
    encode: float
    score: float
    ratio: float


def method_costs(
    model: str, samples: Sequence[Sample], rounds: int = 3, protocol: Protocol | None = None
) -> list[Cost]:
    """What every method without trained heads costs, random weights. Medians over rounds, in which methods alternate.

    ProxyCLIP's second model is a ViT-B with patches of 8 pixels, the size of its authors' DINO."""
    cropped = [crop_sample(sample, protocol or Protocol()) for sample in samples]
    segmenters = {name: random_segmenter(name, model) for name, method in METHODS.items() if not method.heads}
    scorers = {}
    for name, segmenter in segmenters.items():
        experiments = [Experiment(each.name, each, ("IoU-single",)) for each in four_sets(class_names())]
        classes = range(len(class_names()))
        texts = embed_once(
            single_texts(segmenter, class_names(), classes, four_sets(class_names())), random_vectors(segmenter)
        )
        scorers[name] = Scorer(segmenter, class_names(), classes, experiments, texts)
        list(scorers[name].score_all(encode_cropped(segmenter, cropped[:1], 8)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in segmenters}
    for _ in range(rounds):
        for name, segmenter in segmenters.items():
            clocks = [time.process_time()]
            encoded = list(encode_cropped(segmenter, cropped, 8))
            clocks.append(time.process_time())
            list(scorers[name].score_all(encoded))
            clocks.append(time.process_time())
            encode_s, score_s = np.diff(clocks).tolist()
            times[name].append((encode_s / len(cropped), score_s / len(cropped)))
    base = [sum(each) for each in times["maskclip"]]
    return [
        Cost(
            name,
            float(np.median([each[0] for each in found])),
            float(np.median([each[1] for each in found])),
            float(np.median([sum(each) / first for each, first in zip(found, base, strict=True)])),
        )
        for name, found in times.items()
    ]


class Questions(NamedTuple):
    """Seconds to encode a photo, and to ask it with some negatives; medians. peak: of this process so far, in MB."""

    photo: tuple[int, int]
    negatives: int
    encode: float
    ask: float
    peak: float


def question_costs(
    segmenter: Segmenter, photo: tuple[int, int], negatives: int, rounds: int = 5, protocol: Protocol | None = None
) -> Questions:
    """What a question about a photo of noise costs, height and width in pixels, beside encoding it once."""
    pixels = np.random.default_rng(0).integers(0, 256, (*photo, 3), np.uint8)
    texts = torch.from_numpy(random_vectors(segmenter)([f"text {number}" for number in range(negatives + 1)]))
    encoding, asking = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        encoded = encode(segmenter, pixels, protocol or Protocol())
        middle = time.perf_counter()
        label_map(segmenter, encoded, similarities(segmenter, encoded, texts), range(len(texts)))
        encoding.append(middle - start)
        asking.append(time.perf_counter() - middle)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Questions(photo, negatives, float(np.median(encoding)), float(np.median(asking)), peak)


class FolderCost(NamedTuple):
    """Seconds to encode photos that are in memory, and to segment their files by two queries, results written."""

    device: str
    photos: int
    encode: float
    segment: float

    def __str__(self) -> str:
        rate, share = self.photos / self.segment, self.encode / self.segment
        return (
            f"{self.device}: {self.photos} photos in {self.segment:.1f} s, {rate:.2f} images/s; encoding them alone "
            f"takes {self.encode:.1f} s, {100 * share:.0f} % of it"
        )


def folder_cost(folder: Path, method: str, model: str, device: str = "auto", batch: int = 32) -> FolderCost:
    """What `contrastive-concepts segment` costs beside its encoder. The weights are random, the dictionary is the toy
    world's. Raises UserError if the folder has no photos."""
    photos = find_photos([str(folder)])
    with tempfile.TemporaryDirectory() as made:
        torch.manual_seed(0)
        torch.save(open_clip.create_model(model, pretrained=None).state_dict(), f"{made}/weights.pt")
        asked = ConceptSegmenter(None, method, model, f"{made}/weights.pt", device=device, batch=batch)
        queries = ["boat", "dog"]
        for query in queries:  # their texts are embedded once
            asked(photos[0], query)
        cropped = [asked.cropped(photo) for photo in photos]
        clocks = [time.perf_counter()]
        for encoded in asked.encode_all(cropped):
            del encoded
        if asked.device.type == "cuda":
            torch.cuda.synchronize()
        clocks.append(time.perf_counter())
        segment_photos(asked, photos, queries, Path(made) / "out", {}, workers=4)
        clocks.append(time.perf_counter())
    named = torch.cuda.get_device_name(asked.device) if asked.device.type == "cuda" else "CPU"
    return FolderCost(named, len(photos), clocks[1] - clocks[0], clocks[2] - clocks[1])


def random_segmenter(method: str, model: str, precision: str = "float32", device: str = "cpu") -> Segmenter:
    """The same random weights for the same method and model."""
    torch.manual_seed(0)
    clip_model = open_clip.create_model(model, pretrained=None).eval()
    objects: dict[str, Any] = {}
    shapes = {"tcl": tcl_shapes, "clip_dinoiser": dinoiser_shapes}.get(method)
    if shapes is not None:
        objects["checkpoint"] = _random_heads(shapes(Tower(clip_model)))
    if METHODS[method].image_model:
        settings = ImageModelSettings(model="vit_base_patch8_224.dino", pretrained=False)
        objects["image_model"] = load_image_model(settings, ".", device)
    return build(method, clip_model.to(device), precision, **objects)


def _random_heads(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {
        name: 0.05 * torch.randn(shape) + float(len(shape) == 1 and "weight" in name) for name, shape in shapes.items()
    }


def compare_ways(segmenter: Segmenter, samples: Sequence[Sample], protocol: Protocol | None = None) -> Timing:
    """IoU-single both ways on the same images. Raises UserError if their results differ."""
    names = class_names()
    embed = random_vectors(segmenter)
    return compare(segmenter, samples, names, range(len(names)), four_sets(names), embed, protocol or Protocol())


def peak_memory_mb(segmenter: Segmenter, samples: Iterable[Sample], protocol: Protocol | None = None) -> float:
    """Score the images against "background" alone and return this process's peak memory so far."""
    names = class_names()
    embed = random_vectors(segmenter)
    evaluate_single(segmenter, samples, names, range(len(names)), [background_only()], embed, protocol or Protocol())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def class_names() -> list[str]:
    return read_lines(RESOURCES / "classes" / "ade20k.txt", CLASSES)


def ade_photos(folder: Path, images: int, classes: int = 8) -> Iterator[Sample]:
    """The first photos of an ADE20K folder, one in memory at a time, with only the largest classes of each."""
    dataset = open_dataset("ade20k", folder)
    for sample in replace(dataset, names=dataset.names[:images]):
        yield replace(sample, labels=_largest(sample.labels, classes))


def generated(images: int, classes: int = 8, seed: int = 0) -> Iterator[Sample]:
    """Noise images of ADE20K's size with vertical stripes as labels, one in memory at a time."""
    height, width = SIZE
    for number in range(images):
        random = np.random.default_rng((seed, number))
        shown = random.choice(len(class_names()), classes, replace=False).astype(np.uint8)
        labels = np.tile(shown[np.arange(width) * classes // width], (height, 1))
        yield Sample(f"generated_{number:06d}", random.integers(0, 256, (height, width, 3), np.uint8), labels)


def four_sets(classes: Sequence[str], listed: int = 20) -> list[ContrastiveSet]:
    """Four sets: "background", lists of about the length of CC^L and of CC^D, and the other classes of the image."""
    rows = {name: [*classes[k + 1 :], *classes[:k]] for k, name in enumerate(classes)}
    return [
        background_only(),
        from_mapping("half the list", {name: others[: listed // 2] for name, others in rows.items()}, background=True),
        from_mapping("the list", {name: others[:listed] for name, others in rows.items()}, background=True),
        image_oracle(classes),
    ]


def random_vectors(segmenter: Segmenter) -> Callable[[Sequence[str]], Embeddings]:
    """A function that gives each text a fixed random unit vector, as only the image side is measured."""

    def embed(texts: Sequence[str]) -> Embeddings:
        draws = [np.random.default_rng(zlib.crc32(text.encode())) for text in texts]
        vectors = np.stack([draw.standard_normal(segmenter.tower.embed) for draw in draws])
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    return embed


def _largest(labels: Labels, count: int) -> Labels:
    sizes = np.bincount(labels.ravel(), minlength=256)
    sizes[IGNORED] = 0
    kept = np.argsort(-sizes, kind="stable")[:count]
    return np.where(np.isin(labels, kept), labels, IGNORED).astype(np.uint8)


def evaluate_straightforward(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
) -> list[SingleScores]:
    """One full forward pass for each image, class and set, as in public implementations. Texts are embedded once here
    too, so that only the image side is compared."""
    texts = embed_once(single_texts(segmenter, classes, queries, sets), embed)
    results = [SingleScores(each.name, tuple(classes)) for each in sets]
    for sample in samples:
        labels = labels_in(sample.labels)
        shown, present = shown_classes(labels, queries), present_names(labels, classes)
        for each, result in zip(sets, results, strict=True):
            result.start(sample.name)
            for label in shown:
                asked = single_query(segmenter, each, classes[label], present)
                encoded = encode(segmenter, sample.image, protocol)
                compared = similarities(segmenter, encoded, torch.from_numpy(texts.select(asked.texts)))
                rows = range(len(asked.texts))
                found = label_map(segmenter, encoded, compared, rows, each.original, asked.classes).cpu().numpy()
                result.add_query(label, classes[label], asked, found - added_channels(segmenter, each), sample.labels)
    return results


def compare(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
    tolerance: float = 1e-3,
) -> Timing:
    """Time both ways. Raises UserError if an IoU differs by more than `tolerance`. Only ties can cause differences."""
    clocks = [_clocks()]
    cached = evaluate_single(segmenter, samples, classes, queries, sets, embed, protocol)
    clocks.append(_clocks())
    plain = evaluate_straightforward(segmenter, samples, classes, queries, sets, embed, protocol)
    clocks.append(_clocks())
    for first, second in zip(cached, plain, strict=True):
        if not np.allclose(first.per_class(), second.per_class(), atol=tolerance, equal_nan=True):
            raise UserError(f"benchmark: set {first.name!r}: cached and straightforward scores differ")
    asked = sum(int((each.union > 0).sum()) for each in plain)
    (cached_s, cached_cpu), (plain_s, plain_cpu) = np.diff(clocks, axis=0).tolist()
    return Timing(cached_s, plain_s, cached_cpu, plain_cpu, len(samples), asked)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
