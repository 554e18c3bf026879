"""The report on verdicts, the page of measurements, and the command that writes them."""

from pathlib import Path

import polars as pl
import pytest

from benchmarks.page import write_section
from contrastive_concepts.cli import audit as command
from contrastive_concepts.config.visibility import AuditSettings
from contrastive_concepts.errors import UserError
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.visibility.audit import audit, write_audit

ROWS = [
    ("boat", 0.97, True, True, "yes"),
    ("Dog", 0.61, True, True, "yes"),
    ("a|b <i>", 0.45, False, True, "no"),
    ("liberty", 0.93, True, True, "yes"),
    ("logic", 0.05, False, True, "no"),
    ("hill", 0.20, False, True, "no"),
    ("ehm", None, False, False, "maybe\nso"),
]
RATED = "WORD,IMAG,CONC\nboat,6.3,6.0\ndog,6.4,\nliberty,3.0,2.2\nlogic,2.0,2.0\nhill,6.1,5.9\nehm,6.0,6.0\n"


def verdicts() -> pl.DataFrame:
    table = pl.DataFrame(ROWS, schema=["concept", "p_visible", "visible", "parsed", "answer"], orient="row")
    return table.with_columns(judge=pl.lit("vllm"), model=pl.lit("m"), revision=pl.lit("r"), prompt_hash=pl.lit("h"))


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    path = tmp_path / "ratings.csv"
    path.write_text(RATED)
    return path


def test_words_come_by_p_then_in_doubt_then_unparsed() -> None:
    table, sections = audit(verdicts(), 0.5, AuditSettings(nearest=2))
    assert table["concept"].to_list() == ["boat", "liberty", "Dog", "a|b <i>", "hill", "logic", "ehm"]
    by_title = {section.title: section.table for section in sections}
    assert list(by_title) == ["Summary", "In doubt", "Unparsed", "All words by P(visible)"]
    assert by_title["In doubt"]["concept"].to_list() == ["a|b <i>", "Dog"]
    assert by_title["Unparsed"].rows() == [("ehm", "maybe\nso")]
    assert dict(by_title["Summary"].iter_rows())["visible"] == "3"


def test_with_ratings_agreement_and_the_surest_mistakes_are_told(ratings: Path) -> None:
    table, sections = audit(verdicts(), 0.5, AuditSettings(ratings=["IMAG", "CONC"]), ratings)
    assert dict(table.select("concept", "IMAG").iter_rows())["Dog"] == 6.4
    by_title = {section.title: section.table for section in sections}
    image = by_title["Agreement with people"].row(0, named=True)
    # boat, dog and hill are seen, liberty and logic are not: of six pairs, liberty wins over dog and hill.
    assert (image["words"], image["auc"], image["accuracy"]) == (5, pytest.approx(4 / 6), pytest.approx(3 / 5))
    assert by_title["Agreement with people"]["words"].to_list() == [5, 4]
    assert by_title["Worst disagreements"]["concept"].to_list() == ["liberty", "hill"]


def test_two_judges_stand_side_by_side_with_the_words_on_which_they_differ(ratings: Path, tmp_path: Path) -> None:
    second = verdicts().with_columns(
        p_visible=pl.Series([0.9, 0.3, 0.2, 0.1, 0.02, 0.8, None]), judge=pl.lit("embedding"), model=pl.lit("e")
    )
    table, sections = audit(verdicts(), 0.5, AuditSettings(ratings=["IMAG", "CONC"]), ratings, second)
    by_title = {section.title: section.table for section in sections}
    counts = dict(by_title["Two judges"].iter_rows())
    assert counts["words that both judged"] == "6"
    assert counts["both: visible"] == "1"
    assert counts["both: not visible"] == "2"
    assert counts["only vllm m: visible"] == "2"
    assert counts["only embedding e: visible"] == "1"
    assert counts["embedding e, IMAG"] == "AUC 1.000, accuracy 0.800 of 5 words"
    differ = by_title["Where the judges differ"]
    assert differ.columns == ["concept", "vllm m", "embedding e", "IMAG", "CONC"]
    assert differ["concept"].to_list() == ["liberty", "hill", "Dog"]
    assert {"p_first", "p_second"}.isdisjoint(table.columns)
    _, same = audit(verdicts(), 0.5, AuditSettings(), None, verdicts().with_columns(p_visible=pl.lit(0.9)))
    assert same[2].table.columns == ["concept", "vllm m (first)", "vllm m (second)"]
    (tmp_path / "v").mkdir()
    verdicts().write_parquet(tmp_path / "v" / "a.parquet")
    second.write_parquet(tmp_path / "v" / "b.parquet")
    command.audit(tmp_path / "v" / "a.parquet", tmp_path / "out", second=tmp_path / "v" / "b.parquet")
    assert "## Where the judges differ" in (tmp_path / "out" / "audit.md").read_text()


def test_the_judges_of_a_cascade_are_compared_on_the_words_that_both_judged() -> None:
    asked = verdicts().with_columns(
        p_embedding=pl.Series([0.97, 0.61, 0.6, 0.93, 0.05, 0.3, 0.4]),
        p_second=pl.Series([None, 0.61, 0.45, None, None, 0.2, None]),
    )
    _, sections = audit(asked, 0.5, AuditSettings())
    by_title = {section.title: section.table for section in sections}
    assert dict(by_title["Two judges"].iter_rows())["words that both judged"] == "3"
    assert by_title["Where the judges differ"].columns == ["concept", "embedding", "vllm"]
    assert by_title["Where the judges differ"]["concept"].to_list() == ["a|b <i>"]
    assert "Two judges" not in {section.title for section in audit(verdicts(), 0.5, AuditSettings())[1]}


def test_the_command_writes_three_files_and_nothing_in_a_name_is_markup(ratings: Path, tmp_path: Path) -> None:
    verdicts().write_parquet(tmp_path / "v.parquet")
    command.audit(tmp_path / "v.parquet", tmp_path / "out", ratings, nearest=3)
    markdown, html = ((tmp_path / "out" / f"audit.{kind}").read_text() for kind in ("md", "html"))
    assert r"| a\|b \<i\> | 0.45 | no | no |" in markdown
    assert "| ehm | maybe so |" in markdown
    assert "<td>a|b &lt;i&gt;</td>" in html
    assert pl.read_parquet(tmp_path / "out" / "audit.parquet").height == len(ROWS)
    with pytest.raises(UserError, match=r"none.parquet: cannot be read as verdicts"):
        command.audit(tmp_path / "none.parquet", tmp_path / "out")
    pl.DataFrame({"concept": ["boat"]}).write_parquet(tmp_path / "other.parquet")
    for files in ((tmp_path / "other.parquet", None), (tmp_path / "v.parquet", tmp_path / "other.parquet")):
        with pytest.raises(UserError, match=r"other.parquet: found the columns concept, expected answer, concept,"):
            command.audit(files[0], tmp_path / "out", second=files[1])


def test_no_verdicts_and_no_known_word_are_a_report_too(ratings: Path, tmp_path: Path) -> None:
    table, sections = audit(verdicts().head(0), 0.5, AuditSettings(ratings=["IMAG", "CONC"]), ratings)
    write_audit(table, sections, tmp_path / "a.md", tmp_path / "a.html", tmp_path / "a.parquet")
    assert "| IMAG | 0 |" in (tmp_path / "a.md").read_text()


def test_a_section_of_the_page_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    write_section(page, "Mining", "fast\n")
    write_section(page, "Judge", markdown_table(["a"], [[1]]))
    write_section(page, "Mining", "faster")
    text = page.read_text()
    assert text.startswith("# Performance\n")
    assert text.index("## Mining\n\nfaster\n") < text.index("## Judge\n\n| a |\n| --- |\n| 1 |\n")
    assert "fast\n\n" not in text
    before = page.read_text()
    write_section(page, "Judge", markdown_table(["a"], [[1]]))
    assert page.read_text() == before
