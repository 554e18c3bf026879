"""Table of all contrastive sets of the benchmark: the length of their lists and their scores."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet


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
