"""Computes one cell of the benchmark: all images of a data set under one contrastive set, from encoded features."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from contrastive_concepts.config.selection import BETA
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.classic import classic_query, classic_texts
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.features import EncodedSample
from contrastive_concepts.evaluation.metrics import Confusion, Counts
from contrastive_concepts.evaluation.single import SingleScores, score_image, single_texts
from contrastive_concepts.evaluation.texts import TextRows
from contrastive_concepts.segmenters.segmenter import Segmenter

COUNTS = {"image": pl.String, "class": pl.Int32, "intersection": pl.Int64, "union": pl.Int64}
TAKEN = {"query": pl.String, "concept": pl.String, "pixels": pl.Int64}


@dataclass(frozen=True)
class CellScores:
    """counts: metric -> table of image, class, intersection and union in pixels, with a row if the union is not empty.

    taken: the number of pixels that each contrastive text took from each query under IoU-single."""

    images: list[str]
    counts: dict[str, pl.DataFrame]
    taken: pl.DataFrame

    def save(self, folder: Path) -> None:
        """Write counts.parquet with a column `metric`, images.parquet and taken.parquet to `folder`."""
        stacked = [table.with_columns(metric=pl.lit(metric)) for metric, table in self.counts.items()]
        pl.concat(stacked).write_parquet(folder / "counts.parquet")
        pl.DataFrame({"image": self.images}).write_parquet(folder / "images.parquet")
        self.taken.write_parquet(folder / "taken.parquet")


def cell_texts(
    segmenter: Segmenter, classes: Sequence[str], queries: Sequence[int], contrastive_set: ContrastiveSet
) -> list[str]:
    """All distinct texts that a cell can need."""
    single = single_texts(segmenter, classes, queries, [contrastive_set])
    return list(dict.fromkeys([*single, *classic_texts(classes, queries, contrastive_set)]))


def run_cell(
    segmenter: Segmenter,
    samples: Iterable[EncodedSample],
    classes: Sequence[str],
    queries: Sequence[int],
    contrastive_set: ContrastiveSet,
    texts: TextRows,
    metrics: Sequence[str] = ("IoU-single", "mIoU"),
    beta: float = BETA,
    progress: Callable[[int], None] = lambda done: None,
) -> CellScores:
    """IoU-single and classic mIoU (paper 3.6, 4.1) in one pass. `progress` receives the number of finished images.

    Raises UserError if there are no images."""
    single = SingleScores(contrastive_set.name, tuple(classes))
    classic = Confusion(len(classes))
    query = classic_query(segmenter, classes, queries, contrastive_set, texts, beta) if "mIoU" in metrics else None
    images = []
    for sample in samples:
        images.append(sample.name)
        if "IoU-single" in metrics:
            score_image(segmenter, sample, classes, queries, [contrastive_set], texts, [single])
        if query is not None:
            classic.add(query.predict(segmenter, sample.encoded, texts), sample.labels)
        progress(len(images))
    if not images:
        raise UserError("benchmark: found 0 images, expected at least one")
    counts = {}
    if "IoU-single" in metrics:
        counts["IoU-single"] = _rows(images, single.intersection, single.union)
    if query is not None:
        counts["mIoU"] = _rows(images, classic.intersection, classic.union)
    taken = [(query, text, count) for query, each in single.taken.items() for text, count in each.most_common()]
    return CellScores(images, counts, pl.DataFrame(taken, TAKEN, orient="row"))


def dense_counts(table: pl.DataFrame, images: Sequence[str], classes: int) -> tuple[Counts, Counts]:
    """Convert a cell's rows to intersections and unions, int64 [n, C], over all of its images."""
    position = {image: row for row, image in enumerate(images)}
    rows = np.array([position[image] for image in table["image"]], np.int64)
    columns = table["class"].to_numpy()
    result = []
    for name in ("intersection", "union"):
        dense = np.zeros((len(images), classes), np.int64)
        dense[rows, columns] = table[name].to_numpy()
        result.append(dense)
    return result[0], result[1]


def _rows(images: Sequence[str], intersection: Counts, union: Counts) -> pl.DataFrame:
    image, label = np.nonzero(union)
    columns = {
        "image": [images[row] for row in image.tolist()],
        "class": label.astype(np.int32),
        "intersection": intersection[image, label],
        "union": union[image, label],
    }
    return pl.DataFrame(columns, COUNTS)
