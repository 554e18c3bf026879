"""Names from the web that are scripts, markup or formulas: every page and table shows them and runs nothing."""

import csv
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.config.visibility import AuditSettings
from contrastive_concepts.dictionary.explorer import write_explorer
from contrastive_concepts.dictionary.export import export
from contrastive_concepts.report.frequencies import draw_frequencies
from contrastive_concepts.report.listing import latex, markdown
from contrastive_concepts.report.panels import draw_rows, query_panel
from contrastive_concepts.visibility.audit import audit, write_audit
from tests.helpers import dom_of, release_dictionary

MARKUP = [
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "</td></table><script>document.title='run'</script>",
    "</script><script>document.title='run'</script>",
    "<svg/onload=document.title='run'>",
    "' onmouseover='document.title=1",
    "{{ 7*7 }}{% raw %}",
    "[x](javascript:document.title='run')",
    "![x](http://x/y.png)",
    "<!--",
    "a|b",
    "new\n| line |",
    "`code` *and* _more_ ~~so~~",
    "&lt;b&gt;",
    "$x_1$ \\input{/etc/passwd}",
]
FORMULAS = [
    '=HYPERLINK("http://x","y")',
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1,1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "＝1+1",
]
NAMES = [*MARKUP, *FORMULAS]
TAGS = {"script", "img", "svg", "iframe", "object", "a"}


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names and the model's answers alike."""
    folder = tmp_path_factory.mktemp("audit")
    rows = [(name, 0.5, True, number % 2 == 0, name) for number, name in enumerate(NAMES)]
    table = pl.DataFrame(rows, schema=["concept", "p_visible", "visible", "parsed", "answer"], orient="row")
    table = table.with_columns(**{name: pl.lit(MARKUP[0]) for name in ("judge", "model", "revision", "prompt_hash")})
    write_audit(*audit(table, 0.5, AuditSettings()), folder / "a.md", folder / "a.html", folder / "a.parquet")
    return folder


@pytest.fixture(scope="module")
def dictionary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    size = len(NAMES)
    folder = tmp_path_factory.mktemp("names") / "a"
    return release_dictionary(folder, names=NAMES, counts=(9 * np.eye(size, dtype=int) + 1).tolist())


def test_the_audit_page_has_no_element_of_a_name(audited: Path) -> None:
    page = Elements(audited / "a.html")
    assert not TAGS & set(page.tags)
    assert not page.handlers
    assert all(" ".join(name.split()) in " ".join(page.text.split()) for name in NAMES)


def test_the_explorer_has_no_element_of_a_name(dictionary: Path, tmp_path: Path) -> None:
    write_explorer(dictionary, tmp_path / "page.html")
    page = Elements(tmp_path / "page.html")
    assert page.tags.count("script") == 2
    assert not {"img", "svg", "iframe", "object", "a"} & set(page.tags)
    assert not page.handlers


def test_markdown_is_a_table_of_plain_cells(audited: Path) -> None:
    listed = markdown(dict.fromkeys(NAMES, NAMES), "Contrastive concepts")
    rows = [line for line in listed.splitlines() if line.startswith("|")]
    assert len(rows) == len(NAMES) + 2
    for text in (listed, (audited / "a.md").read_text(encoding="utf-8")):
        for line in (
            line for line in text.splitlines() if line.startswith("|") and "---" not in line and "p_visible" not in line
        ):
            plain = line.replace("\\\\", "")
            for mark in "<>[]`*_~&":
                assert plain.count(mark) == plain.count(f"\\{mark}"), line
            assert plain.replace("\\|", "").count("|") in (3, 4, 5)


def test_latex_reads_no_file() -> None:
    text = latex(dict.fromkeys(NAMES, NAMES), "Contrastive concepts")
    assert "\\input" not in text
    assert text.count("\\\\\n") == len(NAMES) + 1


def test_figures_draw_names(tmp_path: Path) -> None:
    draw_frequencies(dict.fromkeys(NAMES, 3), NAMES, tmp_path / "a.png")
    image = np.zeros((4, 4, 3), np.uint8)
    draw_rows([[query_panel(name, image, np.ones((4, 4), bool), name)] for name in NAMES], tmp_path / "b.png")
    assert all(Image.open(tmp_path / name).size > (9, 9) for name in ("a.png", "b.png"))


def test_no_cell_of_a_csv_is_a_formula_and_parquet_is_exact(dictionary: Path, tmp_path: Path) -> None:
    loaded = ContrastiveConcepts.load(dictionary, background=False)
    export(loaded, NAMES, tmp_path / "a.csv", "csv")
    export(loaded, NAMES, tmp_path / "a.parquet", "parquet")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        cells = [
            value
            for row in csv.DictReader(file)
            for value in (row["query"], row["concept"], row["contrastive_concept"])
        ]
    assert not any(cell.startswith(tuple("=+-@\t\r\n＝")) for cell in cells)
    assert {cell.removeprefix("'") if cell[1:] in FORMULAS else cell for cell in cells} == set(NAMES)
    assert set(pl.read_parquet(tmp_path / "a.parquet")["contrastive_concept"]) == set(NAMES)


@pytest.mark.browser
def test_a_browser_runs_nothing(audited: Path, dictionary: Path, tmp_path: Path) -> None:
    write_explorer(dictionary, tmp_path / "page.html")
    shown = [dom_of(audited / "a.html"), dom_of(tmp_path / "page.html")]
    shown += [dom_of(tmp_path / "page.html", f"#{quoted(name)}") for name in MARKUP[:4]]
    for page in shown:
        assert "<title>run" not in page
        assert "document.title" in page
    (tmp_path / "bad.html").write_text(f"<title>a</title><table><tr><td>{MARKUP[0]}</td></tr></table>")
    assert "<title>run" in dom_of(tmp_path / "bad.html")


def quoted(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")
