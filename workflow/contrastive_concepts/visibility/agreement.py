"""Compares verdicts with human ratings of imageability or concreteness."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata, spearmanr

from contrastive_concepts.config.visibility import Ratings
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.text_files import read_text

HIGH, MIDDLE, LOW = 5.8, 4.75, 3.4
"""4.2, 3.5 and 2.6 on a scale of 1-5, converted to 1-7. A word is clear-cut if its rating is >= HIGH or <= LOW."""

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Agreement:
    """Agreement of a score with the ratings on one set of words."""

    words: int
    clear_words: int
    clear_auc: float
    auc: float
    spearman: float


def read_ratings(path: str | Path, columns: Ratings) -> pl.DataFrame:
    """A table with `word` and one column for each of `columns.ratings`, on a scale of 1-7 (null if unrated).

    If a word occurs twice, its first row counts. Raises UserError if the file or a column is missing.
    """
    path = Path(path)
    text = read_text(path, f"ratings with the columns {columns.word}, {', '.join(columns.ratings)}")
    try:
        table = pl.read_csv(
            io.BytesIO(text.encode()),
            separator="\t" if path.suffix == ".tsv" else ",",
            columns=[columns.word, *columns.ratings],
            schema_overrides=dict.fromkeys(columns.ratings, pl.Float64),
        )
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"{path}: cannot be read as ratings with the columns {columns.word}, {', '.join(columns.ratings)} "
            f"({one_line(error)})"
        ) from None
    onto_7 = 6 / (columns.high - columns.low)
    return (
        table.select(
            pl.col(columns.word).alias("word"),
            *[(1 + (pl.col(name) - columns.low) * onto_7).alias(name) for name in columns.ratings],
        )
        .drop_nulls("word")
        .unique("word", keep="first", maintain_order=True)
    )


def auc(scores: NDArray[Any], seen: Bools) -> float:
    """Probability that a visible word scores higher than an invisible one. Ties count half. NaN if either is absent."""
    positives = int(seen.sum())
    if positives in (0, len(seen)):
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[seen].sum() - positives * (positives + 1) / 2) / (positives * (len(seen) - positives)))


def agreement(scores: Floats, ratings: Floats) -> Agreement:
    """AUC on the clear-cut words, AUC on all words split at MIDDLE, and rank correlation.

    Words without a score or a rating (NaN) are left out.
    """
    rated = ~np.isnan(ratings) & ~np.isnan(scores)
    scores, ratings = scores[rated], ratings[rated]
    clear = (ratings >= HIGH) | (ratings <= LOW)
    return Agreement(
        words=len(ratings),
        clear_words=int(clear.sum()),
        clear_auc=auc(scores[clear], ratings[clear] >= HIGH),
        auc=auc(scores, ratings >= MIDDLE),
        spearman=float(spearmanr(scores, ratings).statistic) if len(ratings) > 1 else float("nan"),
    )
