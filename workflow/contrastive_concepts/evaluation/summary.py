"""The benchmark on one page: all tables, the paired differences, and which concepts took the pixels."""

from collections.abc import Iterable, Sequence

import polars as pl

from contrastive_concepts.evaluation.table_files import markdown
from contrastive_concepts.evaluation.tables import Table

LARGEST = 5


def summary(
    tables: Sequence[Table],
    scores: pl.DataFrame,
    differences: pl.DataFrame,
    classes: pl.DataFrame,
    taken: pl.DataFrame,
) -> str:
    """Markdown, from what `results` made."""
    parts = ["# Benchmark\n", *(markdown(table) for table in tables)]
    if differences.height:
        parts.append(_differences(differences))
    for place, own in classes.filter(pl.col("metric") == "IoU-single").group_by(
        "segmenter", "backbone", "dataset", maintain_order=True
    ):
        title = f"## Classes: {', '.join(str(name) for name in place)}\n"
        mined = scores.filter(_at(place) & (pl.col("column") == "CC_D"))["set"].to_list()
        parts += [title, _classes(own, taken.filter(_at(place) & pl.col("set").is_in(mined[:1])))]
    return "\n".join(parts)


def _at(place: Sequence[object]) -> pl.Expr:
    names = ("segmenter", "backbone", "dataset")
    return pl.all_horizontal(pl.col(name).eq(value) for name, value in zip(names, place, strict=True))


def _differences(differences: pl.DataFrame) -> str:
    lines: list[Sequence[str]] = [
        (
            row["metric"],
            *(row[name] for name in ("segmenter", "backbone", "dataset")),
            f"{row['first']} - {row['second']}{' *' if row['original'] else ''}",
            f"{row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]",
        )
        for row in differences.iter_rows(named=True)
    ]
    heads = ("metric", "segmenter", "backbone", "data set", "difference", "points [95 %]")
    return "## Paired differences\n\n" + _table(heads, lines)


def _classes(classes: pl.DataFrame, taken: pl.DataFrame) -> str:
    """A row a class: its IoU under each set, and what took most of the pixels under CC^D."""
    sets = classes["set"].unique(maintain_order=True).to_list()
    wide = classes.pivot("set", index=["class", "images"], values="iou", aggregate_function="first")
    share = (100 * pl.col("share")).round().cast(pl.Int32).cast(pl.String)
    named = taken.select("query", text=pl.col("concept") + " " + share + " %")
    most = {query: texts[:LARGEST] for query, texts in named.group_by("query").agg("text").iter_rows()}
    lines = [
        (
            row["class"],
            str(row["images"]),
            *("-" if row[name] is None else f"{row[name]:.1f}" for name in sets),
            ", ".join(most.get(row["class"], ())),
        )
        for row in wide.iter_rows(named=True)
    ]
    return _table(("class", "images", *sets, "most pixels under CC_D"), lines)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)
