"""All contrastive sets of the benchmark side by side: the length of their lists, their scores, and absent queries."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.report.summary import ours


def mean_size(contrastive_set: ContrastiveSet, queries: list[str]) -> float | None:
    """Mean |CC| of the queries, including "background" if the set adds it; None if the set depends on the image."""
    if contrastive_set.present_only:
        return None
    return sum(len(contrastive_set.negatives(query, queries)) for query in queries) / len(queries)


def set_sizes(scores: pl.DataFrame, sizes: Mapping[tuple[str, str], float | None]) -> pl.DataFrame:
    """One row per data set, segmenter, backbone and set: mean |CC|, IoU-single with its interval, mIoU; in percent.

    scores: table of the benchmark's results. sizes: (data set, set) -> mean |CC|."""
    rows: list[dict[str, Any]] = []
    places = ["dataset", "segmenter", "backbone", "set"]
    for place, own in scores.group_by(places, maintain_order=True):
        by_metric = {row["metric"]: row for row in own.iter_rows(named=True)}
        single, several = by_metric.get("IoU-single", {}), by_metric.get("mIoU", {})
        rows.append(
            {
                **dict(zip(places, place, strict=True)),
                "mean |CC|": sizes[str(place[0]), str(place[3])],
                "IoU-single": single.get("value"),
                "low": single.get("low"),
                "high": single.get("high"),
                "mIoU": several.get("value"),
            }
        )
    numbers = dict.fromkeys(("mean |CC|", "IoU-single", "low", "high", "mIoU"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers)


SETS = """## All contrastive sets

|CC|: mean number of negatives of a query. IoU-single and mIoU in percent, the first with the 95 % interval of an image
bootstrap. *to CC_D*: the paired difference of IoU-single to the dictionary's set, with its interval, where it is one of
`benchmark.differences`. *claimed*: the share of an image's pixels that a query takes whose class the image does not
show, by kind of absent query; *presence*: how well the best margin tells shown from absent queries (50: chance).
"""


def sets_page(sizes: pl.DataFrame, differences: pl.DataFrame, columns: Mapping[str, str], absent: pl.DataFrame) -> str:
    """Markdown of one table for each data set, segmenter and backbone.

    sizes: result of `set_sizes`. differences, absent: of the benchmark's results. columns: set -> column."""
    parts = [SETS]
    kinds = absent["absent"].unique(maintain_order=True).to_list()
    heads = [
        "set",
        "|CC|",
        "IoU-single",
        "to CC_D",
        "mIoU",
        *(f"claimed: {k}" for k in kinds),
        *(f"presence: {k}" for k in kinds),
    ]
    for place, own in sizes.group_by("segmenter", "backbone", "dataset", maintain_order=True):
        asked = {
            (row["set"], row["metric"], row["absent"]): row["value"]
            for row in absent.filter(_at(place)).iter_rows(named=True)
        }
        to_dictionary = {
            row["second"] if row["first"] == "CC_D" else row["first"]: row
            for row in differences.filter(_at(place) & (pl.col("metric") == "IoU-single") & ~pl.col("original"))
            .filter((pl.col("first") == "CC_D") | (pl.col("second") == "CC_D"))
            .iter_rows(named=True)
        }
        rows = []
        for row in own.iter_rows(named=True):
            numbers = [asked.get((row["set"], metric, kind)) for metric in ("claimed", "presence") for kind in kinds]
            rows.append(
                [
                    row["set"],
                    _number(row["mean |CC|"]),
                    _interval(row["IoU-single"], row["low"], row["high"]),
                    _difference(to_dictionary.get(columns[row["set"]])),
                    _number(row["mIoU"]),
                    *map(_number, numbers),
                ]
            )
        parts += [f"### {', '.join(map(str, place))}\n", markdown_table([*map(ours, heads)], rows)]
    return "\n".join(parts)


def _at(place: Sequence[object]) -> pl.Expr:
    names = ("segmenter", "backbone", "dataset")
    return pl.all_horizontal(pl.col(name).eq(value) for name, value in zip(names, place, strict=True))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if value is None else ours(f"{value:.1f} [{low:.1f}, {high:.1f}]")


def _difference(row: Mapping[str, Any] | None) -> str:
    """The set minus CC_D, whichever of both is the first of the pair."""
    if row is None:
        return "-"
    sign = -1 if row["first"] == "CC_D" else 1
    low, high = sorted((sign * row["low"], sign * row["high"]))
    return ours(f"{sign * row['value']:+.1f} [{low:+.1f}, {high:+.1f}]")
