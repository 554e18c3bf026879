"""The benchmark on one page: all tables, the paired differences, and which concepts took the pixels."""

from collections.abc import Iterable, Sequence

import polars as pl

from contrastive_concepts.evaluation.table_files import markdown
from contrastive_concepts.evaluation.tables import Table

LARGEST = 5


def summary(tables: Sequence[Table], differences: pl.DataFrame, classes: pl.DataFrame, taken: pl.DataFrame) -> str:
    """Markdown. classes: the IoU of each class with its images; taken: shares of the pixels that were taken."""
    parts = ["# Benchmark\n", *(markdown(table) for table in tables)]
    if differences.height:
        parts.append(_differences(differences))
    for place, own in classes.filter(pl.col("metric") == "IoU-single").group_by(
        "segmenter", "backbone", "dataset", maintain_order=True
    ):
        title = f"## Classes: {', '.join(str(name) for name in place)}\n"
        parts += [title, _classes(own, taken.filter(_at(place)))]
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
    """A row a class: its IoU under each set, and what took most of its pixels under the mined set."""
    sets = classes["set"].unique(maintain_order=True).to_list()
    wide = classes.pivot("set", index=["class", "images"], values="iou", aggregate_function="first")
    lists = {
        (row["set"], row["query"]): row["concepts"]
        for row in taken.group_by("set", "query", maintain_order=True)
        .agg(
            (pl.col("concept") + " " + (100 * pl.col("share")).round().cast(pl.Int32).cast(pl.String) + " %")
            .head(LARGEST)
            .alias("concepts")
        )
        .iter_rows(named=True)
    }
    most = max(sets, key=lambda name: sum(len(found) for (own, _), found in lists.items() if own == name))
    lines = [
        (
            row["class"],
            str(row["images"]),
            *("-" if row[name] is None else f"{row[name]:.1f}" for name in sets),
            ", ".join(lists.get((most, row["class"]), ())),
        )
        for row in wide.iter_rows(named=True)
    ]
    return _table(("class", "images", *sets, f"most pixels under {most}"), lines)


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)
