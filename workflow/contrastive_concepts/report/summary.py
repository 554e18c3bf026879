"""Writes the benchmark's results on one page, and each table as parquet, CSV, Markdown and LaTeX."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
from markupsafe import Markup

from contrastive_concepts.markup import latex_table, markdown_table
from contrastive_concepts.report.tables import Table, TableCell

LEGEND = (
    "In percent, with the 95 % interval of an image bootstrap; `paper`: the published value and our difference to it. "
    "An asterisk marks the method's own background handling, where it gives the better result."
)
NEEDED = re.compile(r"([\\`*<>|&~]|\](?=[\[(])|(?<!\w)_|_(?!\w))")
NUMBERS = ("value", "low", "high", "paper", "difference")


def write_table(table: Table, folder: Path) -> None:
    """Write table_<number>.parquet and .csv (one row per cell), .md and .tex (the paper's layout)."""
    stem = folder / f"table_{table.number}"
    cells = long_form(table)
    cells.write_parquet(stem.with_suffix(".parquet"))
    cells.write_csv(stem.with_suffix(".csv"), float_precision=2)
    stem.with_suffix(".md").write_text(markdown(table), encoding="utf-8")
    stem.with_suffix(".tex").write_text(latex(table), encoding="utf-8")


def long_form(table: Table) -> pl.DataFrame:
    """One row per cell: the row's labels, group, column, value, low, high, original, paper, difference."""
    rows = [
        {
            "table": table.number,
            **dict(zip(table.labels, labels, strict=True)),
            "group": group,
            "column": column,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "original": cell.original,
            "paper": cell.published.value if cell.published else None,
            "difference": cell.difference,
        }
        for labels, cells in table.rows
        for (group, column), cell in zip(table.columns, cells, strict=True)
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(NUMBERS, pl.Float64))


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown under its caption."""
    heads = [ours(head) for head in (*table.labels, *(f"{group} {column}" for group, column in table.columns))]
    rows = ([*map(ours, labels), *(ours(_text(cell)) for cell in cells)] for labels, cells in table.rows)
    return f"**Table {table.number}.** {table.caption}\n\n{markdown_table(heads, rows)}\n{LEGEND}\n"


def latex(table: Table) -> str:
    """A tabular with booktabs, with the data sets above their columns."""
    spans = Counter(group for group, _ in table.columns)
    heads = [*table.labels, *(column for _, column in table.columns)]
    rows = ([*labels, *map(_text, cells)] for labels, cells in table.rows)
    columns = "l" * len(table.labels) + "c" * len(table.columns)
    return f"% {table.caption}. {LEGEND}\n" + latex_table(columns, heads, rows, list(spans.items()))


def ours(text: str) -> Markup:
    """Markdown of numbers and of names in the configuration, escaped as little as is needed to stay readable.

    A bracket that begins no link and an underscore inside a word are not escaped."""
    return Markup(NEEDED.sub(r"\\\1", " ".join(text.split())))


def _text(cell: TableCell) -> str:
    if cell.value is None:
        return f"(paper {_published(cell)})" if cell.published else "-"
    interval = "" if cell.low is None or cell.high is None else f" [{cell.low:.1f}, {cell.high:.1f}]"
    paper = f" (paper {_published(cell)}, {cell.difference:+.1f})" if cell.published else ""
    return f"{cell.value:.1f}{'*' * cell.original}{interval}{paper}"


def _published(cell: TableCell) -> str:
    assert cell.published is not None
    return f"{cell.published.value:.1f}{'*' * cell.published.original}"


LARGEST = 5


def summary(
    tables: Sequence[Table],
    scores: pl.DataFrame,
    differences: pl.DataFrame,
    classes: pl.DataFrame,
    taken: pl.DataFrame,
    absent: pl.DataFrame | None = None,
    absent_differences: pl.DataFrame | None = None,
) -> str:
    """The page in Markdown, from the tables of `evaluation.results`."""
    parts = ["# Benchmark\n", *(markdown(table) for table in tables)]
    if differences.height:
        parts.append(_differences(differences))
    if absent is not None and absent.height:
        parts.append(_absent(absent))
    if absent_differences is not None and absent_differences.height:
        parts.append(_absent_differences(absent_differences))
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
            ours(f"{row['first']} - {row['second']}{' *' if row['original'] else ''}"),
            ours(f"{row['value']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"),
        )
        for row in differences.iter_rows(named=True)
    ]
    heads = ("metric", "segmenter", "backbone", "data set", "difference", "points [95 %]")
    return "## Paired differences\n\n" + markdown_table([*map(ours, heads)], lines)


ABSENT = (
    "Queries for classes that the image does not show. claimed: the share of the pixels that they take; non-empty: the "
    "share of the queries with a mask over `min_area`; presence: the area under the ROC curve that tells shown from "
    "absent queries by their best margin over the negatives (50: chance). In percent, with the 95 % interval of an "
    "image bootstrap."
)
ABSENT_METRICS = ("claimed", "non-empty", "presence")


def _absent(absent: pl.DataFrame) -> str:
    place = ["segmenter", "backbone", "dataset", "absent", "set"]
    return f"## Absent queries\n\n{ABSENT}\n\n" + _by_metric(absent, place, lambda value: f"{value:.1f}")


def _absent_differences(differences: pl.DataFrame) -> str:
    """The differences to "background", or all if there are none."""
    to_background = differences.filter(pl.col("second") == "BG")
    own = pl.when("original").then(pl.lit(" *")).otherwise(pl.lit(""))
    named = (to_background if to_background.height else differences).with_columns(
        difference=pl.format("{} - {}{}", "first", "second", own)
    )
    place = ["segmenter", "backbone", "dataset", "absent", "difference"]
    return "### Paired differences of absent queries\n\n" + _by_metric(named, place, lambda value: f"{value:+.1f}")


def _by_metric(table: pl.DataFrame, place: Sequence[str], written: Callable[[float], str]) -> str:
    """One row per place, with a column for each metric of absent queries."""
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for row in table.iter_rows(named=True):
        value, low, high = (written(row[name]) for name in ("value", "low", "high"))
        rows.setdefault(tuple(row[name] for name in place), {})[row["metric"]] = f"{value} [{low}, {high}]"
    heads = ["data set" if name == "dataset" else name for name in place]
    lines = ([*key, *(values[metric] for metric in ABSENT_METRICS)] for key, values in rows.items())
    return markdown_table([*heads, *ABSENT_METRICS], ([ours(text) for text in line] for line in lines))


def _classes(classes: pl.DataFrame, taken: pl.DataFrame) -> str:
    """One row per class: its IoU under each set, and the concepts that took most of its pixels under CC^D."""
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
    return markdown_table([ours(head) for head in ("class", "images", *sets, "most pixels under CC_D")], lines)
