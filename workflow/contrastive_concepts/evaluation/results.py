"""Collects all cells: scores with intervals, paired differences, classes, and the concepts that took the pixels."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from contrastive_concepts.config.benchmark import BenchmarkSettings, Cell
from contrastive_concepts.evaluation.datasets import DatasetDescription
from contrastive_concepts.evaluation.gains import GAINS, Facts, class_gains
from contrastive_concepts.evaluation.grid_bound import bound_of
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
from contrastive_concepts.evaluation.pixels import PixelCounts, dense_counts
from contrastive_concepts.evaluation.presence import SHOWN, Measured, measure

PERCENT = 100


@dataclass(frozen=True)
class Results:
    """scores: one row per cell and metric, in percent, with the grid bound. sweeps: one row per value of a threshold.
    differences: first - second with its interval, in percentage points. classes: IoU of each class. taken: contrastive
    concepts with the number of pixels they took. absent: one row per cell, kind of absent queries and metric, in
    percent; absent_differences: as `differences`, for each kind. Both are empty if no absent queries were asked. gains:
    CC_D - BG for each class, see `gains.class_gains`."""

    scores: pl.DataFrame
    sweeps: pl.DataFrame
    differences: pl.DataFrame
    classes: pl.DataFrame
    taken: pl.DataFrame
    absent: pl.DataFrame
    absent_differences: pl.DataFrame
    gains: pl.DataFrame


Encoding = tuple[str, str, str]
"""Segmenter, backbone, data set."""


@dataclass(frozen=True)
class Scored:
    """One cell or point of a sweep, with its numbers of pixels."""

    cell: Cell
    images: list[str]
    table: pl.DataFrame
    taken: pl.DataFrame
    description: DatasetDescription
    presence: pl.DataFrame | None

    def counts(self, metric: str) -> tuple[Counts, Counts]:
        """Intersections and unions, int64 [n, C], of the classes that count. IoU-single excludes the background."""
        return dense_counts(self.table.filter(pl.col("metric") == metric), self.images, len(self.description.classes))


def collect(
    settings: BenchmarkSettings,
    folders: Mapping[Encoding, Path],
    descriptions: Mapping[str, DatasetDescription],
    facts: Callable[[Cell], Facts] | None = None,
) -> Results:
    """The results of all cells of a benchmark.

    folders: the numbers of pixels of each encoding, see `PixelCounts`. descriptions: by data set. facts: what is known
    beforehand of the classes, for a cell of CC_D; None: there are no gains."""
    with_absent = settings.asked_absent is not None
    counts = {encoding: PixelCounts.load(folder, with_absent) for encoding, folder in folders.items()}
    images = {encoding: each.images["image"].to_list() for encoding, each in counts.items()}
    by_experiment = {
        (encoding, str(name)): own
        for encoding, each in counts.items()
        for (name,), own in each.counts.group_by("experiment", maintain_order=True)
    }
    bound = {
        encoding: bound_of(each.cells, len(descriptions[encoding[2]].classes)) for encoding, each in counts.items()
    }

    def scored(cell: Cell, experiment: str) -> Scored:
        encoding = cell[:3]
        taken = counts[encoding].taken.filter(pl.col("experiment") == experiment).drop("experiment")
        empty = counts[encoding].counts.clear()
        table = by_experiment.get((encoding, experiment), empty)
        answers = counts[encoding].presence
        own = None if answers is None else answers.filter(pl.col("experiment") == experiment)
        return Scored(cell, images[encoding], table, taken, descriptions[cell.dataset], own)

    cells = [scored(cell, cell.experiment) for cell in settings.cells()]
    scores = [
        _score(settings, cell, metric, bound)
        for cell in cells
        for metric in settings.metrics(cell.cell.set, cell.cell.segmenter, cell.cell.dataset)
    ]
    sweeps = [
        {
            "threshold": point.threshold,
            "step": point.value,
            **_score(settings, scored(point.cell, point.experiment), point.metric, bound),
        }
        for point in settings.sweep_points()
    ]
    classes = [row for cell in cells for row in _classes(settings, cell)]
    taken = [
        cell.taken.with_columns(**{name: pl.lit(value) for name, value in cell.cell._asdict().items()})
        for cell in cells
    ]
    measures = _measures(settings, cells)
    return Results(
        pl.DataFrame(scores, SCORES),
        pl.DataFrame(sweeps, {"threshold": pl.String, "step": pl.Float64, **SCORES}),
        pl.DataFrame(list(_differences(settings, cells)), DIFFERENCES, orient="row"),
        pl.DataFrame(classes, infer_schema_length=None),
        _largest(pl.concat(taken)),
        pl.DataFrame(list(_absent(settings, cells, measures)), ABSENT),
        pl.DataFrame(list(_absent_differences(settings, cells, measures)), ABSENT_DIFFERENCES, orient="row"),
        pl.concat([pl.DataFrame(schema=PLACE | GAINS), *(_gains(settings, cells, facts) if facts else ())]),
    )


def _score(
    settings: BenchmarkSettings, files: Scored, metric: str, bounds: Mapping[Encoding, Ratios]
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


def _classes(settings: BenchmarkSettings, files: Scored) -> Iterator[dict[str, Any]]:
    for metric in settings.metrics(files.cell.set, files.cell.segmenter, files.cell.dataset):
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


def _pairs(
    settings: BenchmarkSettings, cells: Sequence[Scored]
) -> Iterator[tuple[tuple[object, ...], bool, str, str, Scored, Scored]]:
    """Segmenter, backbone and data set; whether own background handling is on; and two columns with their cells, which
    both use it or both do not."""
    by_column: dict[tuple[object, ...], Scored] = {
        (*files.cell[:3], settings.sets[files.cell.set].original, settings.column(files.cell.set)): files
        for files in cells
    }
    for (*place, original, column), files in by_column.items():
        for first, second in settings.differences:
            other = by_column.get((*place, original, second))
            if column != first or other is None:
                continue
            yield tuple(place), bool(original), first, second, files, other


def _differences(settings: BenchmarkSettings, cells: Sequence[Scored]) -> Iterator[tuple[Any, ...]]:
    for place, original, first, second, files, other in _pairs(settings, cells):
        for metric in settings.metrics(files.cell.set, files.cell.segmenter, files.cell.dataset):
            if metric in settings.metrics(other.cell.set, other.cell.segmenter, other.cell.dataset):
                interval = paired_bootstrap(files.counts(metric), other.counts(metric), settings.draws)
                yield (*place, metric, first, second, original, *_percent(interval).values())


def _gains(
    settings: BenchmarkSettings, cells: Sequence[Scored], facts: Callable[[Cell], Facts]
) -> Iterator[pl.DataFrame]:
    """Of each encoding whose difference CC_D - BG is asked: what CC_D gains for each class, see `class_gains`."""
    for place, original, first, second, files, other in _pairs(settings, cells):
        if (first, second) == ("CC_D", "BG") and not original:
            contrastive, background = files.counts("IoU-single"), other.counts("IoU-single")
            known, classes = facts(files.cell), files.description.classes
            found = class_gains(contrastive, background, classes, files.taken, known, settings.draws)
            named = (pl.lit(value).alias(name) for name, value in zip(PLACE, place, strict=True))
            yield found.select(*named, pl.all())


Measures = Mapping[tuple[Cell, str], Mapping[str, Measured]]
"""Cell and kind of absent queries -> metric -> its value and samples."""


def _measures(settings: BenchmarkSettings, cells: Sequence[Scored]) -> Measures:
    """Of the cells with absent queries: those with IoU-single."""
    if settings.asked_absent is None:
        return {}
    return {
        (each.cell, kind): measured
        for each in cells
        if each.presence is not None
        for kind in settings.asked_absent.kinds
        if (measured := measure(each.presence, kind, each.images, settings.asked_absent.min_area, settings.draws))
    }


def _absent(settings: BenchmarkSettings, cells: Sequence[Scored], measures: Measures) -> Iterator[dict[str, Any]]:
    answers = {each.cell: each.presence for each in cells}
    for (cell, kind), measured in measures.items():
        asked = answers[cell]
        assert asked is not None
        numbers = dict(asked["absent"].value_counts().iter_rows())
        for metric, each in measured.items():
            yield {
                **describe_cell(settings, cell),
                "absent": kind,
                "metric": metric,
                **_percent(each.interval),
                "queries": numbers[kind],
                "shown": numbers[SHOWN],
            }


def _absent_differences(
    settings: BenchmarkSettings, cells: Sequence[Scored], measures: Measures
) -> Iterator[tuple[Any, ...]]:
    for place, original, first, second, files, other in _pairs(settings, cells):
        for kind in () if settings.asked_absent is None else settings.asked_absent.kinds:
            own, others = (measures.get((each.cell, kind), {}) for each in (files, other))
            for metric in own:
                if metric in others:
                    interval = own[metric].minus(others[metric])
                    yield (*place, kind, metric, first, second, original, *_percent(interval).values())


CELL = {
    **dict.fromkeys(
        ("segmenter", "backbone", "dataset", "set", "method", "training_data", "kind", "column"), pl.String
    ),
    "original": pl.Boolean,
}
SCORES = {
    **CELL,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high", "pair_mean", "image_mean", "grid_bound"), pl.Float64),
    "images": pl.Int64,
}
DIFFERENCES = {
    **dict.fromkeys(("segmenter", "backbone", "dataset", "metric", "first", "second"), pl.String),
    "original": pl.Boolean,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
}
ABSENT = {
    **CELL,
    **dict.fromkeys(("absent", "metric"), pl.String),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    **dict.fromkeys(("queries", "shown"), pl.Int64),
}
PLACE: dict[str, type[pl.DataType]] = dict.fromkeys(("segmenter", "backbone", "dataset"), pl.String)
ABSENT_DIFFERENCES = {
    **dict.fromkeys(("segmenter", "backbone", "dataset", "absent", "metric", "first", "second"), pl.String),
    "original": pl.Boolean,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
}


def _largest(taken: pl.DataFrame, count: int = 10) -> pl.DataFrame:
    """For each query the at most `count` concepts that took most pixels, with their share of all taken pixels."""
    place = ["segmenter", "backbone", "dataset", "set", "query"]
    share = (pl.col("pixels") / pl.col("pixels").sum().over(place)).alias("share")
    ranked = taken.with_columns(share).sort("pixels", descending=True, maintain_order=True)
    return ranked.group_by(place, maintain_order=True).head(count).sort(place, maintain_order=True)
