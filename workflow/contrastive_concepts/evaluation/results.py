"""Collects all cells: scores with intervals, paired differences, classes, and the concepts that took the pixels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from contrastive_concepts.config.benchmark import BenchmarkSettings, Cell
from contrastive_concepts.evaluation.cell import dense_counts
from contrastive_concepts.evaluation.datasets import DatasetDescription
from contrastive_concepts.evaluation.metrics import (
    Counts,
    Interval,
    Ratios,
    bootstrap,
    class_image_mean,
    mean,
    paired_bootstrap,
    ratio,
)

PERCENT = 100


@dataclass(frozen=True)
class Results:
    """scores: one row per cell and metric, in percent, with the grid bound. sweeps: one row per value of a threshold.
    differences: first - second with its interval, in percentage points. classes: IoU of each class. taken: contrastive
    concepts with the number of pixels they took."""

    scores: pl.DataFrame
    sweeps: pl.DataFrame
    differences: pl.DataFrame
    classes: pl.DataFrame
    taken: pl.DataFrame


@dataclass(frozen=True)
class CellFiles:
    """One cell's files, read at first use."""

    cell: Cell
    folder: Path
    description: DatasetDescription

    @cached_property
    def images(self) -> list[str]:
        return pl.read_parquet(self.folder / "images.parquet")["image"].to_list()

    def counts(self, metric: str) -> tuple[Counts, Counts]:
        """Intersections and unions, int64 [n, C], of the classes that count. IoU-single excludes the background."""
        table = pl.read_parquet(self.folder / "counts.parquet").filter(pl.col("metric") == metric)
        return dense_counts(table, self.images, len(self.description.classes))


Encoding = tuple[str, str, str]
"""Segmenter, backbone, data set."""


def collect(
    settings: BenchmarkSettings,
    folders: Sequence[Path],
    descriptions: Mapping[str, DatasetDescription],
    bounds: Mapping[Encoding, Path],
) -> Results:
    """The results of all cells of a benchmark.

    folders: those of the cells, then those of the points of sweeps, in the order of the settings. descriptions: by data
    set. bounds: the file of grid bounds of each encoding."""
    cells, points = list(settings.cells()), list(settings.sweep_points())
    files = [
        CellFiles(cell, folder, descriptions[cell.dataset])
        for cell, folder in zip([*cells, *(point.cell for point in points)], folders, strict=True)
    ]
    bound = {encoding: pl.read_parquet(path)["bound"].to_numpy() for encoding, path in bounds.items()}
    scored, swept = files[: len(cells)], files[len(cells) :]
    scores = [
        _score(settings, cell, metric, bound)
        for cell in scored
        for metric in settings.metrics(cell.cell.set, cell.cell.segmenter)
    ]
    sweeps = [
        {"threshold": point.threshold, "step": point.value, **_score(settings, cell, point.metric, bound)}
        for point, cell in zip(points, swept, strict=True)
    ]
    classes = [row for cell in scored for row in _classes(settings, cell)]
    taken = [
        pl.read_parquet(cell.folder / "taken.parquet").with_columns(
            **{name: pl.lit(value) for name, value in cell.cell._asdict().items()}
        )
        for cell in scored
    ]
    return Results(
        pl.DataFrame(scores, SCORES),
        pl.DataFrame(sweeps, {"threshold": pl.String, "step": pl.Float64, **SCORES}),
        pl.DataFrame(list(_differences(settings, scored)), DIFFERENCES, orient="row"),
        pl.DataFrame(classes, infer_schema_length=None),
        _largest(pl.concat(taken)),
    )


def _score(
    settings: BenchmarkSettings, files: CellFiles, metric: str, bounds: Mapping[Encoding, Ratios]
) -> dict[str, Any]:
    intersection, union = files.counts(metric)
    by_image = ratio(intersection, union)
    single = metric == "IoU-single"
    return {
        **describe_cell(settings, files.cell),
        "metric": metric,
        **_percent(bootstrap(intersection, union, settings.draws)),
        "pair_mean": PERCENT * mean(by_image.ravel()) if single else None,
        "image_mean": PERCENT * class_image_mean(by_image) if single else None,
        "grid_bound": PERCENT * mean(bounds[files.cell[:3]]) if single else None,
        "images": len(files.images),
    }


def describe_cell(settings: BenchmarkSettings, cell: Cell) -> dict[str, Any]:
    """The names of a cell, and its method, training data and column in the tables."""
    set_settings = settings.sets[cell.set]
    return {
        **cell._asdict(),
        "method": settings.segmenters[cell.segmenter].method,
        "training_data": settings.backbones[cell.backbone].training_data,
        "kind": settings.datasets[cell.dataset].kind,
        "column": settings.column(cell.set),
        "original": set_settings.original,
    }


def _percent(interval: Interval) -> dict[str, float]:
    return {name: PERCENT * getattr(interval, name) for name in ("value", "low", "high")}


def _classes(settings: BenchmarkSettings, files: CellFiles) -> Iterator[dict[str, Any]]:
    for metric in settings.metrics(files.cell.set, files.cell.segmenter):
        intersection, union = files.counts(metric)
        ious = ratio(intersection.sum(0), union.sum(0))
        for label, name in enumerate(files.description.classes):
            if union[:, label].any():
                yield {
                    **files.cell._asdict(),
                    "metric": metric,
                    "class": name,
                    "iou": PERCENT * float(ious[label]),
                    "images": int((union[:, label] > 0).sum()),
                    "pixels": int(union[:, label].sum()),
                }


def _differences(settings: BenchmarkSettings, cells: Sequence[CellFiles]) -> Iterator[tuple[Any, ...]]:
    """Paired differences between sets that both use own background handling, or both do not."""
    by_column: dict[tuple[object, ...], CellFiles] = {
        (*files.cell[:3], settings.sets[files.cell.set].original, settings.column(files.cell.set)): files
        for files in cells
    }
    for (*place, original, column), files in by_column.items():
        for first, second in settings.differences:
            other = by_column.get((*place, original, second))
            if column != first or other is None:
                continue
            for metric in settings.metrics(files.cell.set, files.cell.segmenter):
                if metric in settings.metrics(other.cell.set, other.cell.segmenter):
                    interval = paired_bootstrap(files.counts(metric), other.counts(metric), settings.draws)
                    yield (*place, metric, first, second, original, *_percent(interval).values())


SCORES = {
    **dict.fromkeys(
        ("segmenter", "backbone", "dataset", "set", "method", "training_data", "kind", "column"), pl.String
    ),
    "original": pl.Boolean,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high", "pair_mean", "image_mean", "grid_bound"), pl.Float64),
    "images": pl.Int64,
}
DIFFERENCES = {
    **dict.fromkeys(("segmenter", "backbone", "dataset", "metric", "first", "second"), pl.String),
    "original": pl.Boolean,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
}


def _largest(taken: pl.DataFrame, count: int = 10) -> pl.DataFrame:
    """For each query the at most `count` concepts that took most pixels, with their share of all taken pixels."""
    place = ["segmenter", "backbone", "dataset", "set", "query"]
    share = (pl.col("pixels") / pl.col("pixels").sum().over(place)).alias("share")
    ranked = taken.with_columns(share).sort("pixels", descending=True, maintain_order=True)
    return ranked.group_by(place, maintain_order=True).head(count).sort(place, maintain_order=True)
