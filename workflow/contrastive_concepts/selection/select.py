"""Selects the candidates that become contrastive concepts and gives a reason for each rejected one (paper 3.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from scipy import sparse

from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.selection import AssociationSettings, SelectionSettings
from contrastive_concepts.cooccurrence.matrix import count_captions, load_matrix
from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError
from contrastive_concepts.selection.association import associate
from contrastive_concepts.selection.candidates import find_candidates, measure_candidates, stopped_by
from contrastive_concepts.selection.pruning import CAPPED, REDUNDANT, prune
from contrastive_concepts.similarity.store import load_embeddings

REASONS = ("stop-list", "not visible", "similar", "part", "not associated", REDUNDANT, CAPPED)
"""Reasons for rejecting a candidate, in the order in which the filters are applied."""


@dataclass(frozen=True)
class Tables:
    """Results of the stages before the selection.

    concepts: concept_id (row in X and in the vectors), concept, count, and further columns that a dictionary shows.
    matrix: X [T, T]. verdicts: concept, p_visible, visible, parsed. embeddings: unit vectors float32 [T, D].
    parts: concept, part; given only if parts are to be removed (paper 6.4). captions: the number of captions X was
    counted in, if known. similarities: cosines [T, T] to use instead of those of the embeddings.
    """

    concepts: pl.DataFrame
    matrix: sparse.csr_array
    verdicts: pl.DataFrame
    embeddings: Embeddings
    parts: pl.DataFrame | None = None
    captions: int | None = None
    similarities: "np.ndarray[tuple[int, int], np.dtype[Any]] | None" = None

    @classmethod
    def read(cls, files: Mapping[str, str]) -> Self:
        """Read the files concepts, matrix, verdicts and vectors. The files parts and statistics are optional."""
        parts, statistics = files.get("parts"), files.get("statistics")
        return cls(
            pl.read_parquet(files["concepts"]),
            load_matrix(files["matrix"]),
            pl.read_parquet(files["verdicts"]),
            load_embeddings(files["vectors"]),
            pl.read_parquet(parts) if parts else None,
            count_captions(pl.read_parquet(statistics)) if statistics else None,
        )


@dataclass(frozen=True)
class Thresholds:
    """Parameters of the filters: the paper's gamma, stop-list, visibility and delta, then those beyond the paper.

    delta None: no candidate is too similar. visible_only False: the verdicts are not used.
    """

    gamma: float
    delta: float | None
    stoplist: Sequence[str]
    stoplist_by: Literal["name", "lemma"] = "name"
    visible_only: bool = True
    unparsed: Literal["keep", "drop"] = "drop"
    association: AssociationSettings | None = None
    redundancy: float | None = None
    max_concepts: int | None = None

    @classmethod
    def of(cls, settings: SelectionSettings, corpus: str, unparsed: Literal["keep", "drop"]) -> Self:
        """The thresholds in a run's settings."""
        return cls(
            settings.gamma_for(corpus),
            settings.delta,
            settings.stoplist,
            settings.stoplist_by,
            unparsed=unparsed,
            association=settings.association,
            redundancy=settings.redundancy,
            max_concepts=settings.max_concepts,
        )

    def changed_by(self, set_settings: DictionarySet) -> "Thresholds":
        """The thresholds of a contrastive set that changes some values or disables filters."""
        delta = self.delta if set_settings.delta is None else set_settings.delta
        return replace(
            self,
            gamma=self.gamma if set_settings.gamma is None else set_settings.gamma,
            delta=delta if "similar" in set_settings.filters else None,
            stoplist=self.stoplist if "stop_list" in set_settings.filters else (),
            visible_only="visible" in set_settings.filters,
            association=set_settings.association or self.association,
            redundancy=self.redundancy if set_settings.redundancy is None else set_settings.redundancy,
            max_concepts=set_settings.max_concepts or self.max_concepts,
        )


@dataclass(frozen=True)
class Selection:
    """The concepts with their verdicts, the kept pairs and the rejected pairs.

    Both tables of pairs have concept, contrastive_concept, cooccurrences, frequency, similarity and, if configured,
    association. `kept` also has rank, from 1 within a concept. `rejected` also has reason, one of REASONS.
    """

    concepts: pl.DataFrame
    kept: pl.DataFrame
    rejected: pl.DataFrame

    @property
    def lists(self) -> dict[str, list[str]]:
        """Concept -> its contrastive concepts in order of rank. Contains every concept."""
        lists: dict[str, list[str]] = {name: [] for name in self.concepts["concept"]}
        for concept, contrastive in self.kept.select("concept", "contrastive_concept").iter_rows():
            lists[concept].append(contrastive)
        return lists

    @property
    def counts(self) -> dict[str, int]:
        """The number of candidates, the number rejected by each filter, and the number kept."""
        reasons = dict(self.rejected.group_by("reason").len().iter_rows())
        return {
            "candidates": self.kept.height + self.rejected.height,
            **{f"rejected: {reason}": reasons.get(reason, 0) for reason in REASONS},
            "contrastive concepts": self.kept.height,
            "concepts without any": self.concepts.height - self.kept["concept"].n_unique(),
        }

    def save(self, folder: Path) -> None:
        """Write concepts.parquet, kept.parquet and rejected.parquet."""
        for name in ("concepts", "kept", "rejected"):
            getattr(self, name).write_parquet(folder / f"{name}.parquet")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the files that `save` wrote."""
        return cls(*(pl.read_parquet(folder / f"{name}.parquet") for name in ("concepts", "kept", "rejected")))


def select(tables: Tables, thresholds: Thresholds) -> Selection:
    """Filter the pairs above gamma in the paper's order. A rejected pair has the first reason that applies.

    Kept pairs are ranked by frequency, or by association if configured. If a name is repeated among the concepts, its
    first row counts as the concept, and any of its rows as a contrastive concept. Raises UserError if a concept has no
    verdict.
    """
    names = tables.concepts["concept"].to_list()
    concepts = describe_concepts(tables.concepts, tables.verdicts, thresholds.unparsed)
    pairs = find_candidates(tables.matrix, names, thresholds.gamma, thresholds.stoplist, thresholds.stoplist_by)
    if thresholds.association:
        pairs = associate(pairs, tables.matrix, tables.captions, thresholds.association)
    pairs = measure_candidates(pairs, tables.embeddings, thresholds.delta, tables.similarities)
    rows = first_rows(names)
    if len(rows) < len(names):
        pairs = _named_once(pairs, names, rows)
        concepts = concepts[rows].with_columns(concept_id=pl.int_range(len(rows), dtype=pl.Int32))
    if not thresholds.visible_only:
        concepts = concepts.with_columns(visible=pl.lit(True))
    kept, rejected = _split(pairs, concepts, tables.parts)
    kept, rejected = prune(
        kept,
        rejected,
        concepts["concept"].to_list(),
        tables.embeddings[rows] if len(rows) < len(names) else tables.embeddings,
        thresholds.redundancy,
        thresholds.max_concepts,
    )
    return Selection(concepts, kept, rejected)


def describe_concepts(
    concepts: pl.DataFrame, verdicts: pl.DataFrame, unparsed: Literal["keep", "drop"]
) -> pl.DataFrame:
    """The concepts with the judge's `p_visible`, `visible` and `parsed`.

    A concept with an unparsed answer is visible if `unparsed` is "keep". Raises UserError if a concept has no verdict.
    """
    answers = verdicts.select("concept", "p_visible", "visible", "parsed")
    table = concepts.join(answers, on="concept", how="left", maintain_order="left")
    unjudged = table.filter(pl.col("visible").is_null())["concept"]
    if len(unjudged):
        raise UserError(f"visibility: {len(unjudged)} concepts were not judged, the first is {unjudged[0]!r}")
    visible = pl.when(pl.col("parsed")).then(pl.col("visible")).otherwise(unparsed == "keep")
    return table.with_columns(visible.alias("visible"))


def select_all(tables: Tables, thresholds: Thresholds, concepts: Sequence[str]) -> dict[str, list[str]]:
    """For each of some concepts the other concepts of the vocabulary that pass the stop-list, visibility and delta.

    The same filters as in `select`, but co-occurrence does not count. In the order of the vocabulary."""
    names = tables.concepts["concept"].to_list()
    visible = describe_concepts(tables.concepts, tables.verdicts, thresholds.unparsed)["visible"].to_numpy()
    kept = visible & ~np.array(stopped_by(names, thresholds.stoplist, thresholds.stoplist_by), bool)
    rows = {names[row]: row for row in reversed(range(len(names)))}
    lists: dict[str, list[str]] = {}
    for concept in concepts:
        cosines = np.einsum("td,d->t", tables.embeddings, tables.embeddings[rows[concept]])
        far = kept if thresholds.delta is None else kept & (cosines < np.float32(thresholds.delta))
        listed = dict.fromkeys(names[row] for row in np.flatnonzero(far))
        lists[concept] = [name for name in listed if name != concept]
    return lists


def first_rows(names: Sequence[str]) -> list[int]:
    """The first row of each name, in order."""
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        first.setdefault(name, row)
    return list(first.values())


def _named_once(pairs: pl.DataFrame, names: Sequence[str], rows: Sequence[int]) -> pl.DataFrame:
    """The pairs with repeated names merged into their first row, and with new ids.

    Of several pairs of the same two names, a pair that is not too similar is preferred, then the most frequent.
    """
    number = {names[row]: place for place, row in enumerate(rows)}
    numbers = {row: number[name] for row, name in enumerate(names)}
    return (
        pairs.filter(pl.col("concept_id").is_in(rows))
        .with_columns(pl.col("concept_id", "candidate_id").replace_strict(numbers, return_dtype=pl.Int32))
        .filter(pl.col("concept_id") != pl.col("candidate_id"))
        .sort("similar", maintain_order=True)
        .unique(["concept_id", "candidate_id"], keep="first", maintain_order=True)
        .sort("concept_id", "cooccurrences", "candidate_id", descending=[False, True, False])
    )


def _split(
    candidates: pl.DataFrame, concepts: pl.DataFrame, parts: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The kept and the rejected pairs, with names instead of ids. Kept pairs stay in the order of the candidates."""
    names = concepts.select("concept_id", "concept", "visible")
    pairs = candidates.join(names.drop("visible"), on="concept_id", maintain_order="left").join(
        names.rename({"concept_id": "candidate_id", "concept": "contrastive_concept"}),
        on="candidate_id",
        maintain_order="left",
    )
    measured = "association" in pairs.columns
    reason = pl.coalesce(
        pl.when(rejected).then(pl.lit(name))
        for name, rejected in zip(
            REASONS,
            (
                pl.col("stopped"),
                ~pl.col("visible"),
                pl.col("similar"),
                _are_parts(pairs, parts),
                ~pl.col("associated") if measured else pl.lit(False),
            ),
            strict=False,  # The last reasons are assigned later, by pruning.
        )
    )
    columns = ["concept", "contrastive_concept", "cooccurrences", "frequency", "similarity"]
    columns += ["association"] if measured else []
    pairs = pairs.with_columns(reason=reason)
    kept = pairs.filter(pl.col("reason").is_null())
    kept = kept.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("concept_id").alias("rank"))
    return kept.select(*columns, "rank"), pairs.filter(pl.col("reason").is_not_null()).select(*columns, "reason")


def _are_parts(pairs: pl.DataFrame, parts: pl.DataFrame | None) -> pl.Series | pl.Expr:
    """Whether the contrastive concept is a part of the concept, ignoring case (paper 6.4)."""
    if parts is None:
        return pl.lit(False)
    listed = {(whole, part.casefold()) for whole, part in parts.iter_rows()}
    names = pairs.select("concept", "contrastive_concept").iter_rows()
    return pl.Series([(concept, name.casefold()) in listed for concept, name in names], dtype=pl.Boolean)
