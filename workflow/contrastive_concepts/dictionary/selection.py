"""Which candidates become contrastive concepts, and why the others do not (paper 3.4)."""

from typing import Literal

import polars as pl

from contrastive_concepts.dictionary.pruning import CAPPED, REDUNDANT
from contrastive_concepts.errors import UserError

REASONS = ("stop-list", "not visible", "similar", "part", "not associated", REDUNDANT, CAPPED)


def describe_concepts(
    concepts: pl.DataFrame, verdicts: pl.DataFrame, unparsed: Literal["keep", "drop"]
) -> pl.DataFrame:
    """The concepts with the judge's `p_visible`, `visible` and `parsed`.

    Where an answer could not be read the concept is visible if `unparsed` is keep.
    Raises UserError where a concept was not judged.
    """
    answers = verdicts.select("concept", "p_visible", "visible", "parsed")
    table = concepts.join(answers, on="concept", how="left", maintain_order="left")
    unjudged = table.filter(pl.col("visible").is_null())["concept"]
    if len(unjudged):
        raise UserError(f"visibility: {len(unjudged)} concepts were not judged, the first is {unjudged[0]!r}")
    visible = pl.when(pl.col("parsed")).then(pl.col("visible")).otherwise(unparsed == "keep")
    return table.with_columns(visible.alias("visible"))


def select(
    candidates: pl.DataFrame, concepts: pl.DataFrame, parts: pl.DataFrame | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the measured candidates into kept and rejected pairs.

    `candidates`: concept_id, candidate_id, cooccurrences, frequency, stopped, similarity, similar.
    `concepts`: concept_id, concept, visible. The filters act in the paper's order, so a rejected pair bears the first
    reason that holds: stop-list, not visible, similar, part, not associated (where the candidates have association and
    associated). Kept pairs are ranked from 1 within their concept in the candidates' order: by frequency, or by
    association. `parts`: concept, part; a pair whose names they are, without regard to case, is dropped (paper 6.4).
    """
    names = concepts.select("concept_id", "concept", "visible")
    pairs = candidates.join(names.drop("visible"), on="concept_id", maintain_order="left").join(
        names.rename({"concept_id": "candidate_id", "concept": "contrastive_concept"}),
        on="candidate_id",
        maintain_order="left",
    )
    measured = "association" in pairs.columns
    associated = pl.col("associated") if measured else pl.lit(True)
    pairs = pairs.with_columns(part=_are_parts(pairs, parts))
    reason = (
        pl.when("stopped")
        .then(pl.lit(REASONS[0]))
        .when(~pl.col("visible"))
        .then(pl.lit(REASONS[1]))
        .when("similar")
        .then(pl.lit(REASONS[2]))
        .when("part")
        .then(pl.lit(REASONS[3]))
        .when(~associated)
        .then(pl.lit(REASONS[4]))
        .otherwise(None)
    )
    columns = [
        "concept",
        "contrastive_concept",
        "cooccurrences",
        "frequency",
        "similarity",
        *["association"][:measured],
    ]
    pairs = pairs.with_columns(reason.alias("reason"))
    kept = pairs.filter(pl.col("reason").is_null())
    kept = kept.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("concept_id").alias("rank"))
    return kept.select(*columns, "rank"), pairs.filter(pl.col("reason").is_not_null()).select(*columns, "reason")


def _are_parts(pairs: pl.DataFrame, parts: pl.DataFrame | None) -> pl.Series:
    if parts is None:
        return pl.repeat(False, pairs.height, dtype=pl.Boolean, eager=True)
    listed = {(whole, part.casefold()) for whole, part in parts.iter_rows()}
    names = pairs.select("concept", "contrastive_concept").iter_rows()
    return pl.Series([(concept, name.casefold()) in listed for concept, name in names], dtype=pl.Boolean)
