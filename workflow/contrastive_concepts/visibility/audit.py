"""A report of the verdicts for people to check: by P(visible), uncertain, unparsed, and against human ratings."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jinja2 import Environment
from markupsafe import Markup

from contrastive_concepts.config.visibility import AuditSettings
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.visibility.agreement import MIDDLE, agreement, auc, read_ratings

SHOWN = ["concept", "p_visible", "visible", "answer"]

MARKDOWN = """\
# Audit of the verdicts on visibility

{% for section in sections %}
## {{ section.title }}

{{ section.text }}
{% if section.table.height %}

{{ section.table | markdown | trim }}
{% endif %}

{% endfor %}"""

HTML = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit of the verdicts on visibility</title>
<style>body{font:15px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.15rem .7rem;border-bottom:1px solid #ddd;text-align:left}</style>
</head><body>
<h1>Audit of the verdicts on visibility</h1>
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p>{{ section.text }}</p>
{% if section.table.height %}
<table><thead><tr>{% for name in section.table.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in section.table.iter_rows() %}
<tr>{% for value in row %}<td>{{ value | cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table>
{% endif %}
{% endfor %}
</body></html>
"""


@dataclass(frozen=True)
class Section:
    """A heading, a sentence, and a table that may be empty."""

    title: str
    text: str
    table: pl.DataFrame


def audit(
    verdicts: pl.DataFrame,
    threshold: float,
    settings: AuditSettings,
    ratings_path: str | Path | None = None,
    second: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, list[Section]]:
    """The verdicts with their ratings, in descending order of P(visible), and the sections of the report.

    verdicts, second: results of `judging.give_verdicts`; the second judge's are compared with the first's. Without
    `second`, the two judges of a cascade are compared on the words that both were asked about. Ratings are joined by
    the concept's name in lower case, on a scale of 1-7. Raises UserError if the ratings cannot be read.
    """
    table = verdicts.sort("p_visible", descending=True, nulls_last=True, maintain_order=True)
    rated = [] if ratings_path is None else settings.ratings
    if ratings_path is not None:
        ratings = read_ratings(ratings_path, settings).rename({"word": "_word"})
        table = table.with_columns(_word=pl.col("concept").str.to_lowercase()).join(
            ratings, on="_word", how="left", maintain_order="left"
        )
        table = table.drop("_word")
    parsed = table.filter("parsed")
    doubtful = parsed.sort((pl.col("p_visible") - threshold).abs(), maintain_order=True).head(settings.nearest)
    unparsed = table.filter(~pl.col("parsed"))
    sections = [_summary(table, threshold)]
    if rated:
        sections.append(_agreement(parsed, rated))
        sections.append(_disagreements(parsed, rated[0], settings.nearest))
    if second is not None:
        theirs = second.select("concept", p_second="p_visible").unique("concept")
        both = table.drop("p_second", strict=False).join(theirs, on="concept", how="left", maintain_order="left")
        names = [_name(verdicts), _name(second)]
        sections += _two_judges(both.with_columns(p_first="p_visible"), names, threshold, rated)
    elif "p_second" in table.columns and table["p_second"].is_not_null().any():
        asked = table.filter(pl.col("p_second").is_not_null())
        second_judge = " + ".join(sorted({*asked["judge"]} - {"embedding", "label"}))
        names = ["embedding", second_judge or "the second judge"]
        sections += _two_judges(table.with_columns(p_first="p_embedding"), names, threshold, rated)
    sections += [
        Section("In doubt", f"The {doubtful.height} words nearest to the threshold.", doubtful.select(SHOWN + rated)),
        Section(
            "Unparsed", f"{unparsed.height} answers were neither yes nor no.", unparsed.select("concept", "answer")
        ),
        Section("All words by P(visible)", f"{parsed.height} words.", parsed.select(*SHOWN[:3], *rated)),
    ]
    return table, sections


def write_audit(table: pl.DataFrame, sections: list[Section], markdown: Path, html: Path, parquet: Path) -> None:
    """Write the sections as Markdown and as HTML, and the whole table as parquet."""
    for path, template, escape in ((markdown, MARKDOWN, False), (html, HTML, True)):
        environment = Environment(autoescape=escape, trim_blocks=True, lstrip_blocks=True)
        environment.filters |= {"cell": _cell, "markdown": _markdown}
        path.write_text(environment.from_string(template).render(sections=sections).rstrip() + "\n", encoding="utf-8")
    table.write_parquet(parquet)


def _summary(table: pl.DataFrame, threshold: float) -> Section:
    said: dict[str, object] = {
        "concepts": table.height,
        "visible": int(table["visible"].sum()),
        "not visible": int((table["parsed"] & ~table["visible"]).sum()),
        "unparsed": int((~table["parsed"]).sum()),
        "threshold": threshold,
    }
    said |= {name: ", ".join(sorted(set(table[name]))) for name in ("judge", "model", "revision", "prompt_hash")}
    rows = [(name, _cell(value)) for name, value in said.items()]
    return Section("Summary", "Who judged, and what came of it.", pl.DataFrame(rows, ["what", "value"], orient="row"))


def _agreement(parsed: pl.DataFrame, rated: list[str]) -> Section:
    rows = []
    for name in rated:
        ratings, scores = parsed[name].cast(pl.Float64).to_numpy(), parsed["p_visible"].to_numpy()
        known = ~np.isnan(ratings)
        right = parsed["visible"].to_numpy()[known] == (ratings[known] >= MIDDLE)
        accuracy = float(right.mean()) if known.any() else float("nan")
        rows.append({"rating": name, **asdict(agreement(scores, ratings)), "accuracy": accuracy})
    text = "AUC and accuracy split the ratings in the middle of their scale; clear-cut words lie in its outer parts."
    return Section("Agreement with people", text, pl.DataFrame(rows))


def _two_judges(table: pl.DataFrame, names: list[str], threshold: float, rated: list[str]) -> list[Section]:
    """Two judges side by side. Columns p_first and p_second: P(visible) of each, null if not asked or unparsed."""
    if names[0] == names[1]:  # With another calibration or prompt, perhaps.
        names = [f"{names[0]} (first)", f"{names[1]} (second)"]
    asked = table.filter(pl.col("p_first").is_not_null() & pl.col("p_second").is_not_null())
    first, second = asked["p_first"] >= threshold, asked["p_second"] >= threshold
    counts: dict[str, object] = {
        "words that both judged": asked.height,
        "both: visible": int((first & second).sum()),
        "both: not visible": int((~first & ~second).sum()),
        f"only {names[0]}: visible": int((first & ~second).sum()),
        f"only {names[1]}: visible": int((~first & second).sum()),
    }
    for name in rated:
        known = asked.filter(pl.col(name).is_not_null())
        for judge, column in zip(names, ("p_first", "p_second"), strict=True):
            scores, ratings = known[column].to_numpy(), known[name].cast(pl.Float64).to_numpy()
            right = float(((scores >= threshold) == (ratings >= MIDDLE)).mean()) if known.height else float("nan")
            counts[f"{judge}, {name}"] = (
                f"AUC {auc(scores, ratings >= MIDDLE):.3f}, accuracy {right:.3f} of {known.height} words"
            )
    rows = [(name, _cell(value)) for name, value in counts.items()]
    text = f"{names[0]} beside {names[1]}: {asked.height} of {table.height} words."
    differ = asked.filter(first != second).sort(
        (pl.col("p_first") - pl.col("p_second")).abs(), descending=True, maintain_order=True
    )
    shown = differ.select("concept", pl.col("p_first").alias(names[0]), pl.col("p_second").alias(names[1]), *rated)
    return [
        Section("Two judges", text, pl.DataFrame(rows, ["what", "value"], orient="row")),
        Section("Where the judges differ", f"{differ.height} words, those first on which they differ most.", shown),
    ]


def _name(verdicts: pl.DataFrame) -> str:
    """The judge and its model, or those of a cascade."""
    return ", ".join(sorted({f"{judge} {model}" for judge, model in verdicts.select("judge", "model").iter_rows()}))


def _disagreements(parsed: pl.DataFrame, rating: str, nearest: int) -> Section:
    seen = pl.col(rating) >= MIDDLE
    wrong = parsed.filter(pl.col(rating).is_not_null() & (seen != pl.col("visible")))
    wrong = wrong.sort((pl.col("p_visible") - seen.cast(pl.Float64)).abs(), descending=True, maintain_order=True)
    text = f"The judge and {rating} disagree on {wrong.height} words; those it was surest of:"
    return Section("Worst disagreements", text, wrong.head(nearest).select(*SHOWN, rating))


def _markdown(table: pl.DataFrame) -> str:
    heads = [Markup(name) if name in SHOWN else name for name in table.columns]
    return markdown_table(heads, (map(_cell, row) for row in table.iter_rows()))


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("\n", " ")
