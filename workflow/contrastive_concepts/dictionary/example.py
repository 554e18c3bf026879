"""Chooses the concept on which a page of a dictionary opens: one whose lists tell something."""

from collections.abc import Collection

import polars as pl

from contrastive_concepts.dictionary.packing import Tables

TOLD = 10
"""As many contrastive concepts are seen at a glance."""
FREQUENT = 0.75
"""Quantile of the counts from which on a concept is frequent."""


def telling_concept(tables: Tables, among: Collection[str] | None = None) -> str | None:
    """A frequent, visible concept with frequent contrastive concepts and several reasons for rejection.

    Asked are the visible concepts with contrastive concepts, in `among` if it is given, and of these the quarter that
    is most frequent. The most different reasons come first, then the greatest sum of the ten highest frequencies, then
    the longest list, then the dictionary's order. Without a visible concept, any may be chosen. None if there is no
    contrastive concept.
    """
    lists = tables.kept.group_by("concept").agg(told=pl.col("frequency").top_k(TOLD).sum(), size=pl.len())
    reasons = tables.rejected.group_by("concept").agg(reasons=pl.col("reason").n_unique())
    asked = tables.concepts.with_row_index().join(lists, on="concept").join(reasons, on="concept", how="left")
    if among is not None:
        asked = asked.filter(pl.col("concept").is_in(list(among)))
    asked = asked.filter(pl.col("visible")) if asked["visible"].any() else asked
    frequent = asked.filter(pl.col("count") >= pl.col("count").quantile(FREQUENT))
    order = [pl.col("reasons").fill_null(0), pl.col("told"), pl.col("size"), pl.col("index")]
    best = (frequent if frequent.height else asked).sort(order, descending=[True, True, True, False])
    return best["concept"][0] if best.height else None
