"""Builds the paper's tables from the scores of a run, with the published value, if any, in each cell."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.report.published import DATASETS, Published, PublishedValue

CONTROLS = ("BG + boost", "BG words", "empty", "pseudo-words", "random", "random by frequency", "vocabulary")
OWN_COLUMNS = ("original", "none", "BG", *CONTROLS, "CC_L", "CC_D", "image oracle", "oracle", "grid bound")
"""Columns for a data set that is not in the paper."""


@dataclass(frozen=True)
class TableCell:
    """One value in percent with its 95 % interval, or only a published value. original: own background handling."""

    value: float | None
    low: float | None = None
    high: float | None = None
    original: bool = False
    published: PublishedValue | None = None

    @property
    def difference(self) -> float | None:
        """Measured minus published value, in percentage points."""
        if self.value is None or self.published is None:
            return None
        return self.value - self.published.value


@dataclass(frozen=True)
class Table:
    """labels: headers of the leading columns. columns: (group, column) of each cell. rows: labels and cells."""

    number: str
    caption: str
    labels: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[tuple[str, ...], tuple[TableCell, ...]], ...]

    @property
    def is_empty(self) -> bool:
        return not any(cell.value is not None for _, cells in self.rows for cell in cells)


class Model(NamedTuple):
    """A segmenter on a backbone. method, training_data: the paper's names."""

    segmenter: str
    backbone: str
    method: str
    training_data: str


@dataclass(frozen=True)
class Scores:
    """Looks up the score for a cell of a table: the best of the sets for its column (the paper's asterisk rule)."""

    table: pl.DataFrame
    published: Published

    def models(self) -> list[Model]:
        """All models: methods in the order of the paper's tables, training data in the order of the config."""
        found = self.table.select("segmenter", "backbone", "method", "training_data").unique(maintain_order=True)
        order = list(METHODS)
        rows = sorted(found.iter_rows(), key=lambda row: order.index(row[2]))
        return [Model(segmenter, backbone, METHODS[method].title, data) for segmenter, backbone, method, data in rows]

    def labels(self, model: Model) -> tuple[str, str]:
        """Method and training data. The segmenter's name is added if several segmenters share the method."""
        same = {other.segmenter for other in self.models() if other.method == model.method}
        name = model.method if len(same) == 1 else f"{model.method} ({model.segmenter})"
        return name, model.training_data

    def groups(self, paper: Sequence[str]) -> list[str]:
        """The data sets of the run: first those in the paper's table, then those that are not in the paper."""
        run = self.table["group"].unique(maintain_order=True).to_list()
        return [name for name in paper if name in run] + [name for name in run if name not in DATASETS.values()]

    def cell(self, number: str, metric: str, model: Model, group: str, column: str) -> TableCell:
        printed = self.published.value(number, group, model.method, model.training_data, column)
        place = {"metric": metric, "group": group, "segmenter": model.segmenter, "backbone": model.backbone}
        found = self.table.filter(*(pl.col(name) == value for name, value in place.items()))
        if column == "grid bound":
            bound = found["grid_bound"].drop_nulls()
            return TableCell(bound[0] if len(bound) else None)
        best = found.filter(pl.col("column") == column).sort("value", descending=True, nulls_last=True)
        if best.is_empty():
            return TableCell(None, published=printed)
        row = best.row(0, named=True)
        return TableCell(row["value"], row["low"], row["high"], row["original"], printed)


def build_tables(scores: pl.DataFrame, sweeps: pl.DataFrame, published: Published) -> list[Table]:
    """Tables 1 to 7 from a run's scores. Tables without any cell in the run are left out.

    scores, sweeps: tables of `evaluation.results`."""
    paper = pl.col("kind").replace_strict(DATASETS, default=None, return_dtype=pl.String)
    alone = pl.col("dataset").n_unique().over("kind") == 1
    made = Scores(scores.with_columns(group=pl.coalesce(pl.when(alone).then(paper), pl.col("dataset"))), published)
    tables = [
        _by_dataset(made, "1", "IoU-single", ("VOC21", "Cityscapes", "ADE20k"), _columns_1),
        _filter_steps(made),
        _by_dataset(made, "2b", "IoU-single", ("Cityscapes", "ADE20k"), _columns_2b),
        _backbones(made),
        _by_dataset(made, "3", "mIoU", ("VOC21", "Cityscapes", "ADE20k"), _columns_3),
        _sweep("4", "IoU-single", ("gamma", "delta"), sweeps, published),
        _sweep("5", "mIoU", ("beta",), sweeps, published),
        _sweep("boost", "IoU-single", ("boost",), sweeps, published),
        _by_dataset(made, "6", "mIoU", tuple(DATASETS.values()), _columns_6),
        _by_dataset(made, "7", "IoU-single", tuple(DATASETS.values()), _columns_7),
    ]
    return [table for table in tables if not table.is_empty]


CAPTIONS = {
    "1": "IoU-single under different contrastive concepts",
    "2a": "Impact of the filters of CC^D, IoU-single",
    "2b": 'With and without "background", IoU-single',
    "2c": "MaskCLIP on CLIPs of different training data, IoU-single",
    "3": "mIoU with all classes as queries",
    "4": "gamma and delta, IoU-single",
    "5": "beta, mIoU",
    "boost": 'A number added to the cosine of "background", IoU-single',
    "6": "mIoU with all classes as queries, all data sets",
    "7": "IoU-single, all data sets",
}


def _columns_1(group: str) -> Sequence[str]:
    if group not in DATASETS.values():
        return OWN_COLUMNS
    return ("BG", "CC_L", "CC_D") if group == "VOC21" else ("oracle", "BG", "CC_L", "CC_D")


def _columns_2b(group: str) -> Sequence[str]:
    return ("CC_L only", "CC_L", "CC_D only", "CC_D")


def _columns_3(group: str) -> Sequence[str]:
    return ("none", "BG", "CC_L", "CC_D")


def _columns_6(group: str) -> Sequence[str]:
    return ("original", "none", "BG", "CC_L", "CC_D")


def _columns_7(group: str) -> Sequence[str]:
    return ("original", "oracle", "BG", "CC_L", "CC_D") if group in DATASETS.values() else OWN_COLUMNS


def _by_dataset(
    scores: Scores, number: str, metric: str, paper: Sequence[str], columns_of: Callable[[str], Sequence[str]]
) -> Table:
    """One row per method, data sets side by side. Columns without a measured or published value are left out."""
    columns = tuple((group, column) for group in scores.groups(paper) for column in columns_of(group))
    rows = tuple(
        (scores.labels(model), tuple(scores.cell(number, metric, model, *place) for place in columns))
        for model in scores.models()
    )
    return _without_empty(Table(number, CAPTIONS[number], ("method", "CLIP data"), columns, rows))


def _filter_steps(scores: Scores) -> Table:
    """Table 2a: one row per step, methods side by side."""
    places = [(group, model) for group in scores.groups(("ADE20k",)) for model in scores.models()]
    steps = {"no filtering": "no filtering", "+ visible": "+ visible", "+ semantic similarity": "CC_D"}
    rows = tuple(
        ((label,), tuple(scores.cell("2a", "IoU-single", model, group, column) for group, model in places))
        for label, column in steps.items()
    )
    columns = tuple((group, " ".join(scores.labels(model))) for group, model in places)
    return _without_empty(Table("2a", CAPTIONS["2a"], ("step",), columns, rows))


def _backbones(scores: Scores) -> Table:
    """Table 2c: MaskCLIP only."""
    only = Scores(scores.table.filter(pl.col("method") == "maskclip"), scores.published)
    return _by_dataset(only, "2c", "IoU-single", ("VOC21",), lambda group: ("BG", "CC_L", "CC_D"))


def _sweep(number: str, metric: str, thresholds: Sequence[str], sweeps: pl.DataFrame, published: Published) -> Table:
    """Tables 4 and 5: the values of a threshold are columns, the data sets are rows."""
    found = sweeps.filter(pl.col("threshold").is_in(thresholds) & (pl.col("metric") == metric))
    columns = tuple(found.select("threshold", "step").unique(maintain_order=True).iter_rows())
    models = found.select("dataset", "segmenter", "backbone", "method", "training_data").unique(maintain_order=True)

    def cells(dataset: str, segmenter: str, backbone: str, method: str, data: str) -> Iterator[TableCell]:
        for threshold, step in columns:
            place = {"dataset": dataset, "segmenter": segmenter, "backbone": backbone} | {
                "threshold": threshold,
                "step": step,
            }
            rows = found.filter(*(pl.col(name) == value for name, value in place.items()))
            printed = published.value(number, threshold, METHODS[method].title, data, f"{step:g}")
            if rows.is_empty():
                yield TableCell(None, published=printed)
            else:
                value, low, high, original = rows.select("value", "low", "high", "original").row(0)
                yield TableCell(value, low, high, original, printed)

    def label(segmenter: str, method: str) -> str:
        alone = models.filter(pl.col("method") == method)["segmenter"].n_unique() == 1
        return METHODS[method].title if alone else f"{METHODS[method].title} ({segmenter})"

    rows = tuple(
        ((label(segmenter, method), data, dataset), tuple(cells(dataset, segmenter, backbone, method, data)))
        for dataset, segmenter, backbone, method, data in models.iter_rows()
    )
    named = tuple((threshold, f"{step:g}") for threshold, step in columns)
    return Table(number, CAPTIONS[number], ("method", "CLIP data", "data set"), named, rows)


def _without_empty(table: Table) -> Table:
    """Remove empty columns, and rows without a measured value."""
    kept = [
        index
        for index in range(len(table.columns))
        if any(cells[index].value is not None or cells[index].published for _, cells in table.rows)
    ]
    rows = tuple(
        (labels, tuple(cells[index] for index in kept))
        for labels, cells in table.rows
        if any(cell.value is not None for cell in cells)
    )
    columns = tuple(table.columns[index] for index in kept)
    return Table(table.number, table.caption, table.labels, columns, rows)
