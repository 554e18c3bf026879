"""CC^D for the queries of a data set, also under other thresholds or fewer filters; nothing is mined again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl
from scipy import sparse

from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.cooccurrence.association import associate, count_captions
from contrastive_concepts.cooccurrence.candidates import find_candidates
from contrastive_concepts.cooccurrence.matrix import load_matrix
from contrastive_concepts.dictionary.pruning import prune
from contrastive_concepts.dictionary.selection import describe_concepts, select
from contrastive_concepts.similarity.semantic import measure_candidates
from contrastive_concepts.similarity.store import Embeddings, load_embeddings


@dataclass(frozen=True)
class StageTables:
    """What the stages before the selection left: concepts (concept_id, concept, count), X, verdicts, unit vectors.

    parts: concept, part; only where the dictionary leaves parts out (paper 6.4). captions: N, where it is known."""

    concepts: pl.DataFrame
    matrix: sparse.csr_array
    verdicts: pl.DataFrame
    embeddings: Embeddings
    parts: pl.DataFrame | None = None
    captions: int | None = None


def read_tables(files: Mapping[str, str]) -> StageTables:
    """From their files: concepts, matrix, verdicts, vectors; parts and statistics may be missing or empty."""
    parts, statistics = files.get("parts"), files.get("statistics")
    return StageTables(
        pl.read_parquet(files["concepts"]),
        load_matrix(files["matrix"]),
        pl.read_parquet(files["verdicts"]),
        load_embeddings(files["vectors"]),
        pl.read_parquet(parts) if parts else None,
        count_captions(pl.read_parquet(statistics)) if statistics else None,
    )


def select_lists(
    tables: StageTables,
    settings: SelectionSettings,
    gamma: float,
    unparsed: Literal["keep", "drop"],
    chosen: DictionarySet,
) -> dict[str, list[str]]:
    """Concept -> contrastive concepts as the selection of the dictionary gives them, but for what `chosen` changes."""
    names = tables.concepts["concept"].to_list()
    stoplist = settings.stoplist if "stop_list" in chosen.filters else []
    gamma = gamma if chosen.gamma is None else chosen.gamma
    delta = settings.delta if chosen.delta is None else chosen.delta
    candidates = find_candidates(tables.matrix, names, gamma, stoplist, settings.stoplist_by)
    association = chosen.association or settings.association
    if association:
        candidates = associate(candidates, tables.matrix, tables.captions, association)
    candidates = measure_candidates(candidates, tables.embeddings, delta)
    if "similar" not in chosen.filters:
        candidates = candidates.with_columns(pl.lit(False).alias("similar"))
    described = describe_concepts(tables.concepts, tables.verdicts, unparsed)
    if "visible" not in chosen.filters:
        described = described.with_columns(pl.lit(True).alias("visible"))
    kept, rejected = select(candidates, described, tables.parts)
    redundancy = settings.redundancy if chosen.redundancy is None else chosen.redundancy
    kept, _ = prune(kept, rejected, names, tables.embeddings, redundancy, chosen.max_concepts or settings.max_concepts)
    lists: dict[str, list[str]] = {name: [] for name in names}
    for concept, contrastive in kept.select("concept", "contrastive_concept").iter_rows():
        lists[concept].append(contrastive)
    return lists


def lists_of_queries(lists: Mapping[str, Sequence[str]], matches: pl.DataFrame) -> dict[str, list[str]]:
    """Query -> the contrastive concepts of its nearest concept (`matches`: query, concept), that concept left out."""
    return {
        query: [name for name in lists[concept] if name != concept]
        for query, concept in matches.select("query", "concept").iter_rows()
    }
