"""Compares two dictionaries: the contrastive concepts that another corpus, threshold or judge adds or drops."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from contrastive_concepts.dictionary.manifest import read_manifest

COLUMNS = {
    "concept": pl.String(),
    "kept_in_both": pl.Int64(),
    "added": pl.List(pl.String),
    "dropped": pl.List(pl.String),
    "jaccard": pl.Float64(),
}


@dataclass(frozen=True)
class Comparison:
    """`concepts`: one row per common concept, with kept_in_both, added and dropped (lists in order of rank) and
    jaccard, in ascending order of jaccard. `only_a`, `only_b`: concepts that only one dictionary has."""

    concepts: pl.DataFrame
    only_a: list[str]
    only_b: list[str]

    @property
    def summary(self) -> dict[str, float]:
        """Counts over the common concepts, and their mean Jaccard index (1 for two empty lists)."""
        table = self.concepts
        return {
            "concepts in both": table.height,
            "only in the first": len(self.only_a),
            "only in the second": len(self.only_b),
            "unchanged": int((table["jaccard"] == 1).sum()),
            "added": int(table["added"].list.len().sum()),
            "dropped": int(table["dropped"].list.len().sum()),
            "mean Jaccard index": round(sum(table["jaccard"]) / table.height, 4) if table.height else 1.0,
        }


def compare(a: Path, b: Path) -> Comparison:
    """Compare the folders of two dictionaries. Raises UserError if a folder is not a dictionary."""
    first, second = _lists(a), _lists(b)
    rows = []
    for concept in (name for name in first if name in second):
        before, after = first[concept], second[concept]
        both, union = [x for x in before if x in set(after)], set(before) | set(after)
        added, dropped = [x for x in after if x not in set(before)], [x for x in before if x not in set(after)]
        rows.append((concept, len(both), added, dropped, len(both) / len(union) if union else 1.0))
    table = pl.DataFrame(rows, schema=COLUMNS, orient="row").sort("jaccard", maintain_order=True)
    return Comparison(table, [x for x in first if x not in second], [x for x in second if x not in first])


def _lists(folder: Path) -> dict[str, list[str]]:
    read_manifest(folder)
    lists: dict[str, list[str]] = {
        name: [] for name in pl.read_parquet(folder / "concepts.parquet", columns=["concept"])["concept"]
    }
    pairs = pl.read_parquet(folder / "contrastive_concepts.parquet", columns=["concept", "contrastive_concept"])
    for concept, text in pairs.iter_rows():
        lists[concept].append(text)
    return lists
