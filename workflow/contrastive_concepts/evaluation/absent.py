"""Absent queries: classes that an image does not show, drawn at random or chosen because they are easily confused."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.config.evaluation import AbsentKind, AbsentSettings
from contrastive_concepts.evaluation.metrics import Ratios

if TYPE_CHECKING:
    from contrastive_concepts.evaluation.texts import TextRows

TOGETHER: dict[str, type[pl.DataType]] = {"query": pl.String, "other": pl.String, "frequency": pl.Float64}


@dataclass(frozen=True)
class AbsentQueries:
    """Chooses an image's absent queries.

    queries: the labels of all queries. together: how often captions with one query (row) mention another (column).
    similarity: cosines of the queries' texts. Both float64 [Q, Q], and None if no kind needs them."""

    queries: Sequence[int]
    kinds: Sequence[AbsentKind]
    seed: int = 0
    together: Ratios | None = None
    similarity: Ratios | None = None

    def choose(self, image: str, shown: Collection[int]) -> list[tuple[AbsentKind, int]]:
        """The absent queries of one image, kind by kind: of each kind as many as it shows classes, or all there are.

        seen_together leaves out classes that no caption mentions with a shown one. Ties are in the order of labels."""
        absent = [row for row, label in enumerate(self.queries) if label not in shown]
        present = [row for row, label in enumerate(self.queries) if label in shown]
        count = min(len(present), len(absent))
        chosen: list[tuple[AbsentKind, int]] = []
        for kind in self.kinds if count else ():
            if kind == "random":
                # The seed includes the image, so that a draw does not depend on the images before it.
                rows = sorted(random.Random(f"{self.seed}:{image}").sample(absent, count))
            elif kind == "seen_together":
                assert self.together is not None
                frequency = self.together[present].sum(axis=0)
                rows = [row for row in _highest(frequency, absent) if frequency[row] > 0][:count]
            else:
                assert self.similarity is not None
                rows = _highest(self.similarity[present].max(axis=0), absent)[:count]
            chosen += [(kind, self.queries[row]) for row in rows]
        return chosen


def _highest(values: Ratios, rows: Sequence[int]) -> list[int]:
    return sorted(rows, key=lambda row: -values[row])


def absent_queries(
    settings: AbsentSettings,
    classes: Sequence[str],
    queries: Sequence[int],
    texts: "TextRows",
    together: Ratios | None = None,
) -> AbsentQueries:
    """texts: the embeddings of at least the queries' names. together: for the kind seen_together."""
    similarity = None
    if "similar" in settings.kinds:
        vectors = texts.select([classes[label] for label in queries]).astype(np.float64)
        similarity = vectors @ vectors.T
    return AbsentQueries(queries, settings.kinds, settings.seed, together, similarity)


def seen_together(matches: pl.DataFrame, row_of: Mapping[str, int], matrix: sparse.csr_array) -> pl.DataFrame:
    """For each two queries the share X[i, j] / X[i, i] of the captions with the first that mention the second.

    matches: query, and its nearest concept. row_of: concept -> its row in X. Pairs that no caption mentions are left
    out, and so are queries with the same concept."""
    named = [(query, row_of[concept]) for query, concept in matches.select("query", "concept").iter_rows()]
    rows = [row for _, row in named]
    near = matrix[rows][:, rows].toarray()
    pairs = [
        (query, other, float(near[i, j] / near[i, i]))
        for i, (query, row) in enumerate(named)
        for j, (other, column) in enumerate(named)
        if row != column and near[i, j]
    ]
    return pl.DataFrame(pairs, TOGETHER, orient="row")


def read_together(path: Path, queries: Sequence[str]) -> Ratios:
    """Read a table of `seen_together` as float64 [Q, Q]."""
    row = {query: number for number, query in enumerate(queries)}
    frequency = np.zeros((len(row), len(row)))
    for query, other, share in pl.read_parquet(path).select(list(TOGETHER)).iter_rows():
        frequency[row[query], row[other]] = share
    return frequency
