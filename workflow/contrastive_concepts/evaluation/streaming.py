"""One pass over the images of a data set: each is read, encoded once, and scored under all experiments.

Each chunk of images leaves its numbers of pixels in a folder of its own, so that a killed pass goes on from there."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import polars as pl

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import Dataset
from contrastive_concepts.evaluation.features import (
    CroppedSample,
    EncodedSample,
    crop_sample,
    encode_cropped,
    features_fingerprint,
    read_features,
    write_features,
)
from contrastive_concepts.evaluation.grid_bound import GridBound, grid_of
from contrastive_concepts.evaluation.metrics import Counts
from contrastive_concepts.evaluation.pixels import COUNTS, TAKEN, PixelCounts
from contrastive_concepts.evaluation.presence import PRESENCE
from contrastive_concepts.evaluation.scoring import Experiment, ImageScores, Scorer
from contrastive_concepts.evaluation.single import of_tally, taken_by
from contrastive_concepts.segmenters.segmenter import Segmenter

IMAGES_PER_CHUNK = 32
SCORED = "scored.json"
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class KeptFeatures:
    """Encoded images on disk, one file for each chunk. fingerprint: of all that the features depend on."""

    folder: Path
    precision: Literal["float32", "float16"]
    fingerprint: str

    def file(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.safetensors"

    def has(self, chunk: int) -> bool:
        return features_fingerprint(self.file(chunk)) == self.fingerprint


def scored_before(folder: Path, fingerprint: str, presence: bool = False) -> tuple[PixelCounts | None, dict[str, str]]:
    """The numbers of pixels that `save_scored` left in a folder, and the fingerprint of each experiment in them.

    None if there are none, or if they depend on something else than `fingerprint` says. presence: with the table of
    absent queries."""
    try:
        described = json.loads((folder / SCORED).read_text())
        if described["fingerprint"] != fingerprint:
            return None, {}
        return PixelCounts.load(folder, presence), described["experiments"]
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return None, {}


def save_scored(folder: Path, counts: PixelCounts, fingerprint: str, experiments: Sequence[Experiment]) -> None:
    """Write the tables, and then what they depend on. What an unfinished pass left is removed."""
    # First, so that a job that is killed here leaves no description of other tables.
    (folder / SCORED).unlink(missing_ok=True)
    counts.save(folder)
    described = {"fingerprint": fingerprint, "experiments": {each.name: each.fingerprint for each in experiments}}
    (folder / f"{SCORED}.unfinished").write_text(json.dumps(described, indent=1) + "\n")
    os.replace(folder / f"{SCORED}.unfinished", folder / SCORED)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def chunks_of(images: Sequence[str]) -> list[Sequence[str]]:
    return [images[start : start + IMAGES_PER_CHUNK] for start in range(0, len(images), IMAGES_PER_CHUNK)]


def score_images(
    dataset: Dataset,
    segmenter: Segmenter,
    scorer: Scorer,
    protocol: Protocol,
    folder: Path,
    fingerprint: str,
    workers: int = 0,
    features: KeptFeatures | None = None,
    device: str = "cpu",
    progress: Callable[[int], None] = lambda done: None,
) -> PixelCounts:
    """Score all images of a data set.

    folder: where chunks are kept until the pass is finished. fingerprint: of all that the result depends on; chunks of
    another one are removed. workers: processes that read images beside this one. progress: receives the number of
    finished images. Raises UserError for an image that cannot be read, or if there are no images."""
    if not dataset.names:
        raise UserError("benchmark: found 0 images, expected at least one")
    own = folder / UNFINISHED / fingerprint
    for other in (folder / UNFINISHED).glob("*"):
        if other != own:
            shutil.rmtree(other)
    chunks = chunks_of(dataset.names)
    waiting = [number for number in range(len(chunks)) if not (own / f"{number:06d}").is_dir()]
    to_encode = [number for number in waiting if features is None or not features.has(number)]
    read = read_images(dataset, [name for number in to_encode for name in chunks[number]], protocol, workers)
    finished = sum(len(chunk) for chunk in chunks) - sum(len(chunks[number]) for number in waiting)
    progress(finished)
    for number in waiting:
        # A chunk is encoded apart from the others, so that its batches do not depend on where a pass began.
        if number in to_encode:
            samples: Iterable[EncodedSample] = encode_cropped(
                segmenter, islice(read, len(chunks[number])), protocol.batch
            )
            if features is not None:
                write_features(
                    features.file(number),
                    list(samples),
                    segmenter.scored_extra,
                    features.precision,
                    features.fingerprint,
                )
        if features is not None:
            samples = read_features(features.file(number), device)
        made = _ChunkCounts(dataset, scorer.asks_absent)
        for sample, scores in scorer.score_all(samples):
            made.add(sample, scores)
            finished += 1
            progress(finished)
        unfinished = own / f"{number:06d}.unfinished"
        made.result().save(unfinished)
        os.replace(unfinished, own / f"{number:06d}")
    return PixelCounts.of_parts(
        [PixelCounts.load(own / f"{number:06d}", scorer.asks_absent) for number in range(len(chunks))]
    )


def read_images(
    dataset: Dataset, names: Sequence[str], protocol: Protocol, workers: int = 0
) -> Iterator[CroppedSample]:
    """Read images in order and cut them into windows, in `workers` processes, or in this one if there are none.

    Raises UserError for the first image that cannot be read."""
    from torch.utils.data import DataLoader

    reading: Any = _Reading(dataset, names, protocol)
    if not names:
        return
    # A spawned process would run the job's script once more.
    options: dict[str, Any] = {"num_workers": workers, "prefetch_factor": 8, "multiprocessing_context": "fork"}
    options = options if workers else {}
    # Arrays go through a pipe: the shared memory that tensors would need is small in many containers.
    for sample in DataLoader(reading, batch_size=None, collate_fn=_unchanged, worker_init_fn=_one_thread, **options):
        if isinstance(sample, UserError):
            raise sample
        yield sample


@dataclass(frozen=True)
class _Reading:
    """The images of a data set by number, as torch's DataLoader asks for them."""

    dataset: Dataset
    names: Sequence[str]
    protocol: Protocol

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, number: int) -> CroppedSample | UserError:
        # Returned, because torch wraps what a worker raises into a message with a traceback.
        try:
            return crop_sample(self.dataset.read(self.names[number]), self.protocol)
        except UserError as error:
            return error


def _unchanged(sample: Any) -> Any:
    return sample


def _one_thread(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)


class _ChunkCounts:
    """The numbers of pixels of one chunk."""

    def __init__(self, dataset: Dataset, presence: bool) -> None:
        self._images: list[str] = []
        self._counts: list[tuple[str, str, str, int, int, int]] = []
        self._taken: dict[tuple[str, str, str], Counts] = {}
        self._presence: list[tuple[str, str, str, int, int, int, float]] | None = [] if presence else None
        self._bound = GridBound(len(dataset.classes), dataset.queries)

    def add(self, sample: EncodedSample, scores: ImageScores) -> None:
        name = sample.name
        self._images.append(name)
        self._bound.add(sample.labels, grid_of(sample.encoded))
        for experiment, label, query, asked, pixels, none in scores.tallies:
            intersection, union = of_tally(pixels, asked.own, none)
            self._counts.append((experiment.name, "IoU-single", name, label, intersection, union))
            for text, taken in taken_by(asked, pixels).items():
                key = (experiment.name, query, text)
                self._taken[key] = self._taken.get(key, 0) + taken
        if self._presence is not None:
            self._presence += [(each.experiment.name, name, *each[1:]) for each in scores.answers]
        for experiment, (both, predicted, labelled) in scores.confusions:
            union = predicted + labelled - both
            for label in union.nonzero()[0].tolist():
                self._counts.append((experiment.name, "mIoU", name, label, int(both[label]), int(union[label])))

    def result(self) -> PixelCounts:
        taken = [(*key, int(count.sum()), int(count[1])) for key, count in self._taken.items()]
        return PixelCounts(
            pl.DataFrame({"image": self._images}, {"image": pl.String}),
            pl.DataFrame(self._counts, COUNTS, orient="row"),
            pl.DataFrame(taken, TAKEN, orient="row"),
            self._bound.table(),
            None if self._presence is None else pl.DataFrame(self._presence, PRESENCE, orient="row"),
        )


def fingerprint_of(**parts: object) -> str:
    """Hash of named values, which must be plain data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
