"""Tables of verdicts: their columns, reading them, and those that are kept so that their words are not judged again."""

import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.resources import RESOURCES
from contrastive_concepts.text_files import read_table

VERDICTS = {
    "concept": pl.String,
    "p_visible": pl.Float64,
    "visible": pl.Boolean,
    "parsed": pl.Boolean,
    "answer": pl.String,
    "remark": pl.String,
    "judge": pl.String,
    "model": pl.String,
    "revision": pl.String,
    "prompt_hash": pl.String,
    "weights": pl.String,
    "p_embedding": pl.Float64,
    "p_second": pl.Float64,
}
"""Of a verdict: its judge (two names if both decided), and what each judge of a cascade said; null without one."""

LATER = ("remark", "weights", "p_embedding", "p_second")
"""Columns that tables of earlier versions lack."""

KEPT = "verdicts/*.parquet"
"""The tables that the project keeps."""

SURE = 3.0
"""Log-odds of P(visible) that a label stands for: P is 0.95 or 0.05."""

LABELLED = {"word": pl.String, "visible": pl.Boolean}
YES_NO = {"yes": True, "no": False, "1": True, "0": False, "true": True, "false": False}


def read_verdicts(path: str | Path) -> pl.DataFrame:
    """What `judging.give_verdicts` wrote, with all columns. Raises UserError if it cannot be read or lacks a column."""
    needed = [name for name in VERDICTS if name not in LATER]
    try:
        table = pl.read_parquet(path, glob=False)
        if not set(table.columns) >= set(needed):
            found = ", ".join(table.columns)[:80] or "none"
            raise UserError(f"{path}: found the columns {found}, expected {', '.join(sorted(needed))}")
        absent = [pl.lit(None, VERDICTS[name]).alias(name) for name in LATER if name not in table.columns]
        table = table.with_columns(absent).select(pl.col(name).cast(kind) for name, kind in VERDICTS.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{path}: cannot be read as verdicts ({one_line(error)})") from None
    texts = [name for name, kind in VERDICTS.items() if kind == pl.String and name != "concept"]
    return table.drop_nulls("concept").with_columns(pl.col(texts).fill_null(""))


def kept_file(name: str) -> Path:
    """The file of `visibility.kept_verdicts`: the name of a table that the project keeps, or a path.

    Raises UserError if there is neither.
    """
    kept = {file.stem: file for file in sorted(RESOURCES.glob(KEPT))}
    path = kept.get(name) or Path(os.path.expanduser(name))
    try:
        found = path.is_file()
    except (OSError, ValueError) as error:
        raise UserError(f"config: visibility.kept_verdicts: {name[:80]!r} cannot be read ({one_line(error)})") from None
    if not found:
        raise UserError(
            f"config: visibility.kept_verdicts: found no file {name!r}, expected the visibility.parquet of a run, or "
            f"one of {', '.join(kept) or 'none'}"
        )
    return path


def check_kept(name: str, results: str | Path) -> Path:
    """The file of `visibility.kept_verdicts`, which is read. `results` is the folder of the run's results.

    Raises UserError if it cannot be used. A run would delete its own verdicts before it reads them.
    """
    path = kept_file(name)
    if Path(results).resolve() in path.resolve().parents:
        raise UserError(
            f"config: visibility.kept_verdicts: found {name!r} in the results of this run, which it replaces, expected "
            "a copy in another folder"
        )
    _read_kept(path)
    return path


def kept_verdicts(name: str, words: Sequence[str], threshold: float) -> pl.DataFrame:
    """The kept verdicts on those of the words that have one. A word's first parsed row counts.

    Raises UserError if the table cannot be read, has no verdict, or has a P(visible) that is none.
    """
    asked = pl.DataFrame({"concept": words}, schema={"concept": pl.String}).unique()
    kept = _read_kept(kept_file(name)).join(asked, on="concept", how="semi", maintain_order="left")
    return kept.with_columns(visible=pl.col("p_visible") >= threshold)


def _read_kept(path: Path) -> pl.DataFrame:
    table = read_verdicts(path).filter("parsed").unique("concept", keep="first", maintain_order=True)
    if not table.height:
        raise UserError(f"{path}: found no verdict that says yes or no, expected at least one")
    wrong = table.filter(~pl.col("p_visible").is_between(0, 1).fill_null(False))
    if wrong.height:
        concept, p = wrong.row(0)[:2]
        raise UserError(f"{path}: {concept!r}: found P(visible) {p}, expected a number from 0 to 1")
    return table


def read_labels(path: str | Path) -> pl.DataFrame:
    """Words that somebody has labelled: word, visible (bool). A CSV or TSV with these columns, visible as yes or no.

    Raises UserError, with the row of a label that is neither, or the word that has both.
    """
    path = Path(path)
    rows = read_table(path, "labels with the columns word, visible")
    head = [name.strip() for name in rows[0]] if rows else []
    if head != ["word", "visible"]:
        raise UserError(f"{path}: found the columns {', '.join(head)[:60] or 'none'}, expected word, visible")
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(head) or row[1].strip().lower() not in YES_NO or not row[0].strip():
            raise UserError(f"{path}: row {number}: found {','.join(row)[:60]!r}, expected a word and yes or no")
    table = [(row[0].strip(), YES_NO[row[1].strip().lower()]) for row in rows[1:]]
    labels = pl.DataFrame(table, schema=LABELLED, orient="row").unique(maintain_order=True)
    if both := labels.filter(pl.col("word").is_duplicated())["word"].to_list():
        raise UserError(f"{path}: {both[0]!r}: found yes and no, expected one label")
    return labels


def with_labels(verdicts: pl.DataFrame, labels: pl.DataFrame, name: str) -> pl.DataFrame:
    """The verdicts, where a label (see `read_labels`) decides about each word that has one.

    A label gives the log-odds SURE for or against, to which the embedding's are added where it says the same, so that
    the words keep their order. A labelled word has the judge `label` and the model `label:NAME`. What an embedding said
    stays in p_embedding.
    """
    given = labels.rename({"word": "concept", "visible": "label"})
    joined = verdicts.join(given, on="concept", how="left", maintain_order="left")
    has = pl.col("label").is_not_null()
    said = pl.when(pl.col("judge") == "embedding").then("p_visible").otherwise("p_embedding")
    agreed = (said / (1 - said)).log().abs()
    same = pl.when((said >= 0.5) == pl.col("label")).then(agreed).otherwise(0.0).fill_null(0.0)
    against = (1 + (SURE + same).exp()) ** -1  # P of the other side
    decided = {
        "p_embedding": said,
        "p_visible": pl.when("label").then(1 - against).otherwise(against),
        "visible": pl.col("label"),
        "parsed": pl.lit(True),
        "answer": pl.when("label").then(pl.lit("yes")).otherwise(pl.lit("no")),
        "remark": pl.lit(""),
        "judge": pl.lit("label"),
        "model": pl.lit(f"label:{name}"),
        **dict.fromkeys(("revision", "prompt_hash", "weights"), pl.lit("")),
    }
    changed = [pl.when(has).then(value).otherwise(name).alias(name) for name, value in decided.items()]
    return joined.with_columns(changed).select(list(VERDICTS))
