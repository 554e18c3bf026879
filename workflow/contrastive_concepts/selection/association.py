"""Beyond the paper: how much more often two concepts co-occur than expected by chance. Off by default."""

from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from scipy.special import log_ndtr, rel_entr

from contrastive_concepts.config.selection import AssociationSettings
from contrastive_concepts.errors import UserError

Counts = np.ndarray[tuple[int], np.dtype[Any]]
Scores = np.ndarray[tuple[int], np.dtype[np.float64]]


def associate(
    candidates: pl.DataFrame, matrix: sparse.csr_array, captions: int | None, settings: AssociationSettings
) -> pl.DataFrame:
    """Add `association` (float64) and `associated` (whether it passes the threshold), strongest first per concept.

    candidates: the result of `find_candidates`. captions: N, the number of captions X was counted in; `settings` can
    override it. association is the lift, the NPMI, or -ln p of the test. Raises UserError if N is unknown or smaller
    than the counts in X imply.
    """
    alone = matrix.diagonal()
    captions = _checked(settings.captions or captions, matrix)
    both = candidates["cooccurrences"].to_numpy()
    one, other = alone[candidates["concept_id"].to_numpy()], alone[candidates["candidate_id"].to_numpy()]
    if settings.measure == "lift":
        score = lift(both, one, other, captions)
        enough = score >= settings.at_least
    elif settings.measure == "npmi":
        score = npmi(both, one, other, captions)
        enough = score >= settings.at_least
    else:
        log_p = log_p_value(both, one, other, captions)
        score, enough = -log_p, log_p <= _largest_discovery(matrix, captions, settings.false_discovery)
    return candidates.with_columns(
        pl.Series("association", score, pl.Float64), pl.Series("associated", enough, pl.Boolean)
    ).sort("concept_id", "association", descending=[False, True], maintain_order=True)


def lift(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """P(i, j) / (P(i) P(j)): 1 if the two are independent."""
    return np.asarray(both * (captions / one) / other, np.float64)


def npmi(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """ln(lift) / -ln P(i, j), in [-1, 1]; 0 for two concepts that every caption mentions (Bouma 2009)."""
    surprise = -np.log(both / captions)
    information = np.log(lift(both, one, other, captions))
    return np.divide(information, surprise, out=np.zeros(len(surprise)), where=surprise > 0)


def log_p_value(both: Counts, one: Counts, other: Counts, captions: int) -> Scores:
    """ln p of co-occurring so often by chance, one-sided, from the signed root of Dunning's likelihood ratio (1993)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    observed = (both, one - both, other - both, captions - one - other + both)
    rest_one, rest_other = captions - one, captions - other
    expected = (one * other, one * rest_other, rest_one * other, rest_one * rest_other)
    ratio = sum(rel_entr(o, e / captions) for o, e in zip(observed, expected, strict=True))
    root = np.sqrt(2 * np.maximum(ratio, 0))
    return np.asarray(log_ndtr(np.where(both * captions >= one * other, -root, root)), np.float64)


def _largest_discovery(matrix: sparse.csr_array, captions: int, rate: float) -> float:
    """The largest ln p that passes the Benjamini-Hochberg procedure over all pairs of concepts that captions mention.

    Pairs that never co-occur count as tests too, with p = 1."""
    alone = matrix.diagonal()
    pairs = sparse.coo_array(sparse.triu(matrix, k=1))
    met = pairs.data > 0
    i, j = (axis[met] for axis in pairs.coords)
    log_p = np.sort(log_p_value(pairs.data[met], alone[i], alone[j], captions))
    named = int((alone > 0).sum())
    bound = np.log(rate * np.arange(1, len(log_p) + 1) / max(named * (named - 1) / 2, 1))
    passed = np.flatnonzero(log_p <= bound)
    return float(log_p[passed[-1]]) if len(passed) else -np.inf


def _checked(captions: int | None, matrix: sparse.csr_array) -> int:
    alone = matrix.diagonal()
    pairs = sparse.coo_array(matrix)
    i, j = pairs.coords
    least = int(np.max(alone[i] + alone[j] - pairs.data, initial=0))
    if captions is None or captions < least:
        raise UserError(f"association.captions: found {captions}, expected at least {least}, as X shows")
    return captions
