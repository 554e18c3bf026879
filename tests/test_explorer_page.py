"""The explorer's page in a real browser: lists, graph, search, addresses, keys, copying, themes, sizes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cli.main import app
from contrastive_concepts.dictionary.compare import compare
from contrastive_concepts.dictionary.explorer import write_explorer
from contrastive_concepts.dictionary.packing import Tables
from contrastive_concepts.resources import resource
from tests.helpers import release_dictionary

pytestmark = pytest.mark.browser
TOY = resource("dictionaries/toyworld")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """toy.html: the toy world's dictionary. names.html: odd names. diff.html: the toy world's, and one that lacks the
    boat's harbour and its last word, has an abstract one more, lacks the camel and has a cat."""
    place = tmp_path_factory.mktemp("pages")
    write_explorer(TOY, place / "toy.html")
    size = len(ODD)
    named = release_dictionary(place / "names", names=ODD, counts=(9 * np.eye(size, dtype=int) + 1).tolist())
    write_explorer(named, place / "names.html")
    other = place / "other"
    other.mkdir()
    for path in TOY.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    concepts, kept, rejected = (pl.read_parquet(TOY / f"{name}.parquet") for name in TABLES)
    boat, name = pl.col("concept") == "boat", pl.col("contrastive_concept")
    lost = kept.filter(boat & name.is_in(["harbour", "sailboat"]))
    gained = rejected.filter(boat & (name == "peace"))
    kept = pl.concat([kept.join(lost, on=kept.columns, how="anti"), gained.drop("reason")], how="diagonal")
    rejected = pl.concat([rejected.join(gained, on=rejected.columns, how="anti"), lost.head(1).drop("rank").with_columns(reason=pl.lit("similar"))])  # fmt: skip
    cat = concepts.head(1).with_columns(concept=pl.lit("猫"), count=pl.lit(5, pl.Int64))
    tables = [pl.concat([concepts, cat]), kept, rejected]
    for name, table in zip(TABLES, tables, strict=True):
        table.filter(pl.col("concept") != "camel").write_parquet(other / f"{name}.parquet")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"run": "other"}))
    write_explorer(TOY, place / "diff.html", other)
    return place


TABLES = ("concepts", "contrastive_concepts", "rejected")
ODD = [
    "plain", "two words", "C# sharp", "50% off", 'a "quote"', "it's", "Käse", "猫と犬", "%41", "a/b?c&d",
    "</script><script>document.title='run'</script>", "<img src=x onerror=\"document.title='run'\">",
]  # fmt: skip


class Page:
    """A page that is open, what it asked of a network and what went wrong in it."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.tab = self.context.new_page()
        self.requests: list[str] = []
        self.wrong: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.tab.on("console", lambda message: self.wrong.append(message.text))
        self.tab.goto(address)
        self.tab.locator("body[data-ready]").wait_for()

    @property
    def title(self) -> str:
        return str(self.tab.inner_text("#concept h2"))

    @property
    def status(self) -> str:
        return str(self.tab.get_by_role("status").inner_text())

    def table(self, label: str) -> list[list[str]]:
        """The texts of a table's cells, row by row."""
        rows = self.tab.get_by_role("table", name=label, exact=True).locator("tbody tr").all()
        return [row.locator("th, td").all_inner_texts() for row in rows]

    def options(self) -> list[str]:
        return [str(text) for text in self.tab.locator("#found .name").all_inner_texts()]

    def wait(self, name: str) -> None:
        self.tab.locator("#concept h2", has_text=name).wait_for()

    def focused(self) -> str:
        return str(self.tab.evaluate("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))


@pytest.fixture
def opened(browser: Any, pages: Path) -> Iterator[Any]:
    """Opens a page by name; at the end, none has asked for anything but itself, and nothing failed."""
    kept: list[Page] = []

    def visit(name: str, fragment: str = "", **options: Any) -> Page:
        kept.append(Page(browser, f"{(pages / name).as_uri()}{fragment}", **options))
        return kept[-1]

    yield visit
    for page in kept:
        page.context.close()
        assert page.wrong == []
        assert {url.partition("#")[0] for url in page.requests if not url.startswith("data:")} == {page.requests[0].partition("#")[0]}  # fmt: skip


def test_it_opens_on_an_example_with_its_lists(opened: Any) -> None:
    page = opened("toy.html")
    name, tables = page.title, Tables.read(TOY)
    kept = tables.kept.filter(pl.col("concept") == name)
    rows = page.table("Contrastive concepts")
    assert [row[0] for row in rows] == kept["contrastive_concept"].to_list()
    assert [row[2].removesuffix(" captions") for row in rows] == [f"{count:,}" for count in kept["cooccurrences"]]
    assert [float(row[1].removesuffix(" %")) for row in rows] == pytest.approx((kept["frequency"] * 100).to_list(), abs=0.06)  # fmt: skip
    rejected = tables.rejected.filter(pl.col("concept") == name)
    found = page.table("Rejected candidates")
    assert {row[0]: row[4].split("\n")[-1] for row in found} == dict(rejected.select("contrastive_concept", "reason").iter_rows())  # fmt: skip
    assert page.tab.title() == f"{name} · toy: contrastive concepts"
    assert page.tab.evaluate("location.hash") == ""
    assert page.tab.locator("#found [aria-current=true] .name").inner_text() == name  # in sight in the list, too


def test_bars_tell_what_the_numbers_tell(opened: Any) -> None:
    page = opened("toy.html", "#boat")
    widths = page.tab.eval_on_selector_all(
        "#kept-title ~ table tbody tr",
        "rows => rows.map(row => [...row.querySelectorAll('.bar')].map(bar => bar.firstChild.getBoundingClientRect().width / bar.getBoundingClientRect().width))",
    )
    tables = Tables.read(TOY)
    kept = tables.kept.filter(pl.col("concept") == "boat")
    most = max(kept["frequency"].max(), tables.rejected.filter(pl.col("concept") == "boat")["frequency"].max())  # type: ignore[type-var]
    assert [pair[0] for pair in widths] == pytest.approx((kept["frequency"] / most).to_list(), abs=0.02)
    assert [pair[1] for pair in widths] == pytest.approx(kept["similarity"].to_list(), abs=0.02)
    marks = page.tab.locator("#kept-title ~ table .similarity b")
    assert marks.count() == kept.height
    assert marks.first.get_attribute("style") == "left: 80%;"  # delta
    page.tab.get_by_role("button", name="confusable").click()
    assert [row[0] for row in page.table("Rejected candidates")] == ["vessel", "boat vessel"]
    page.tab.get_by_role("button", name="all 16").click()
    assert len(page.table("Rejected candidates")) == 16


def test_the_neighbourhood(opened: Any) -> None:
    page = opened("toy.html", "#boat")
    kept = Tables.read(TOY).kept
    names = kept.filter(pl.col("concept") == "boat")["contrastive_concept"].to_list()
    among = kept.filter(pl.col("concept").is_in(names) & pl.col("contrastive_concept").is_in(names))
    pairs = {frozenset(pair) for pair in among.select("concept", "contrastive_concept").iter_rows()}
    graph = page.tab.locator("svg.neighbourhood")
    assert sorted(graph.locator("a title").all_text_contents()) == sorted(names)
    assert graph.locator(".pair").count() == len(pairs)
    assert graph.locator(".spoke").count() == len(names)
    assert f"{len(names)} contrastive concepts, {len(pairs)} pairs among them" in graph.get_attribute("aria-label")
    sea = sorted(next(iter(pair - {"sea"})) for pair in pairs if "sea" in pair)
    label = graph.get_by_role("link", name="sea:").get_attribute("aria-label")
    assert sorted(label.split("pairs with ")[1].split(", ")) == sea
    drawing = graph.inner_html()
    again = opened("toy.html", "#boat").tab.locator("svg.neighbourhood").inner_html()
    assert drawing == again  # nothing in it is left to chance
    boxes = [text.bounding_box() for text in graph.locator("a text").all()]
    for k, a in enumerate(boxes):
        for b in boxes[k + 1 :]:
            assert a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"] or a["y"] + a["height"] <= b["y"] or b["y"] + b["height"] <= a["y"]  # fmt: skip

    graph.locator("[tabindex='0']").focus()
    first = page.tab.evaluate("document.activeElement.getAttribute('aria-label')")
    page.tab.keyboard.press("ArrowDown")
    second = page.tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first != second
    assert page.tab.locator("#graph .note").first.inner_text() == second
    page.tab.keyboard.press("Enter")
    page.wait(second.split(":")[0])
    assert page.focused() == "h2"


def test_addresses_and_history(opened: Any) -> None:
    page = opened("toy.html", "#boat")
    page.tab.get_by_role("table", name="Contrastive concepts").get_by_role("link", name="water").click()
    page.wait("water")
    assert page.focused() == "h2"
    page.tab.locator("#found li", has_text="sky").first.click()
    page.wait("sky")
    page.tab.go_back()
    page.wait("water")
    page.tab.go_back()
    page.wait("boat")
    page.tab.go_forward()
    page.wait("water")
    assert page.tab.title().startswith("water · ")


def test_a_click_while_the_list_moves_is_not_lost(opened: Any) -> None:
    page = opened("toy.html")
    box, row = page.tab.locator("#found"), page.tab.locator("#option-12")
    box.evaluate("box => { box.scrollTop = 0; }")
    row.wait_for()
    name, place = row.locator(".name").inner_text(), row.bounding_box()
    page.tab.mouse.move(place["x"] + 10, place["y"] + place["height"] / 2)
    page.tab.mouse.down()
    last = box.locator("[role=option]").last.get_attribute("id")
    box.evaluate("(box, height) => { box.scrollTop = 8 * height; }", place["height"])
    page.tab.wait_for_function("last => document.querySelector('#found li:last-child').id !== last", arg=last)
    page.tab.mouse.move(place["x"] + 10, place["y"] - 7.5 * place["height"])
    page.tab.mouse.up()
    page.wait(name)
    assert page.title == name
    # Rows that were added before and after those that stayed: none is missing, doubled or out of order.
    for top in (8, 60, 30, 0):
        box.evaluate("(box, top) => { box.scrollTop = top; }", top * place["height"])
        page.tab.wait_for_function("top => document.querySelector(`#option-${top}`)", arg=top)
        rows = box.evaluate("box => [...box.children].map(row => Number(row.dataset.row))")
        assert rows == list(range(rows[0], rows[0] + len(rows)))
        assert rows[0] <= top < rows[-1]


def test_odd_names_have_addresses(opened: Any) -> None:
    page = opened("names.html")
    for name in ODD:
        page.tab.evaluate("hash => { location.hash = hash; }", f"#{quote(name, safe='')}")
        page.tab.wait_for_function("name => document.querySelector('#concept h2').textContent === name", arg=name)
        others = [row[0] for row in page.table("Contrastive concepts")]
        assert sorted(others) == sorted(set(ODD) - {name})
        links = page.tab.locator("#kept-title ~ table a")
        links.first.click()
        page.tab.wait_for_function("name => document.querySelector('#concept h2').textContent === name", arg=others[0])
    for written, name in (("#50% off", "50% off"), ("#käse", "Käse"), ("#TWO WORDS", "two words"), ("#%2541", "%41")):
        assert opened("names.html", written).title == name
    assert page.tab.locator("main img, main script").count() == 0


def test_an_address_without_concept(opened: Any) -> None:
    page = opened("toy.html", "#old boat <b>")
    assert page.title == "old boat <b>"
    assert "No concept has this name." in page.tab.inner_text("#concept")
    page.tab.get_by_role("main").get_by_role("link", name="boat", exact=True).click()
    page.wait("boat")


def test_a_dictionary_without_pairs(browser: Any, tmp_path: Path) -> None:
    write_explorer(
        release_dictionary(tmp_path / "a", names=["boat", "dog"], counts=[[9, 0], [0, 9]]), tmp_path / "a.html"
    )
    page = Page(browser, (tmp_path / "a.html").as_uri())
    assert page.title == "Nothing to show"
    assert "no contrastive concept" in page.tab.inner_text("#concept")
    page.tab.locator("#found li").first.click()
    page.wait("boat")
    assert "no other concept is frequent enough" in page.tab.inner_text("#concept")
    assert page.tab.locator("svg").count() == 0
    assert page.wrong == []
    page.context.close()


def test_search_order_and_filter(opened: Any) -> None:
    page = opened("toy.html")
    concepts = Tables.read(TOY).concepts
    page.tab.focus("#found")
    page.tab.keyboard.press("Home")
    assert page.options()[:5] == concepts.sort("count", descending=True)["concept"].head(5).to_list()
    page.tab.select_option("#sort", "name")
    assert page.options()[:9] == sorted(concepts["concept"], key=str.lower)[:9]
    size = Tables.read(TOY).kept["concept"].value_counts()
    bar = page.tab.locator("#found li").first.locator(".bar i").get_attribute("style")
    first = size.filter(pl.col("concept") == page.options()[0])["count"].item()
    assert float(bar.split()[1].rstrip("%;")) == pytest.approx(100 * (first / size["count"].max()) ** 0.5, abs=0.01)
    page.tab.select_option("#sort", "size")
    sizes = Tables.read(TOY).kept["concept"].value_counts(sort=True)["count"].head(3).to_list()
    shown = page.tab.locator("#found li > span:nth-child(2)").all_inner_texts()[:3]
    assert [int(text) for text in shown] == sizes
    page.tab.fill("#search", "BOAT")
    assert page.options()[0] == "boat"
    assert set(page.options()) == {name for name in concepts["concept"] if "boat" in name}
    assert page.status == f"{len(page.options())} concepts found"
    page.tab.fill("#search", "zzz")
    assert page.options() == []
    assert "No concept has this in its name." in page.tab.inner_text("#found")
    page.tab.get_by_role("button", name="Show all").click()
    page.tab.select_option("#filter", "invisible")
    assert page.tab.inner_text("#number").startswith(f"{(~concepts['visible']).sum()} of {concepts.height} concepts")
    accents = opened("names.html")
    accents.tab.fill("#search", "KASE")
    assert accents.options() == ["Käse"]


def test_rows_in_sight_stay_when_another_is_chosen(opened: Any) -> None:
    """A row that is replaced between press and release gets no click."""
    page = opened("toy.html", "#boat")
    row = page.tab.locator("#found [aria-current=true]").element_handle()
    page.tab.focus("#search")
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_function("row => !row.hasAttribute('aria-current')", arg=row)
    assert row.evaluate("row => row.isConnected")


def test_keys(opened: Any) -> None:
    page = opened("toy.html")
    order = Tables.read(TOY).concepts.sort("count", descending=True)["concept"].to_list()
    page.tab.keyboard.press("/")
    assert page.focused() == "search"

    def chosen() -> str:
        active = page.tab.get_attribute("#search", "aria-activedescendant")
        assert page.tab.get_attribute(f"#{active}", "aria-selected") == "true"
        return str(page.tab.inner_text(f"#{active} .name"))

    assert chosen() == page.title
    page.tab.keyboard.type("w")
    found = page.options()
    page.tab.keyboard.press("ArrowDown")
    assert chosen() == found[1]
    page.tab.keyboard.press("Enter")
    page.wait(found[1])
    assert page.focused() == "search"
    assert page.status.startswith(f"{found[1]}: ")
    page.tab.keyboard.press("Escape")
    assert page.tab.input_value("#search") == ""
    page.tab.focus("#found")
    page.tab.keyboard.press("End")
    assert chosen() == order[-1]
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("PageDown")
    assert order.index(chosen()) > 5
    page.tab.keyboard.press("Escape")
    assert page.focused() == "search"
    # The order of Tab, from the beginning; whatever has the focus shows it.
    page = opened("toy.html")
    order = []
    for _ in range(12):
        page.tab.keyboard.press("Tab")
        order.append(page.focused())
        width = page.tab.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
        assert width >= 2
        assert page.tab.evaluate("document.activeElement.matches(':focus-visible')")
    assert order[:6] == ["skip", "theme", "search", "sort", "filter", "found"]
    assert order[6:10] == ["button", "button", "button", "a"] or order[6] == "main"
    page.tab.focus("#skip")
    page.tab.keyboard.press("Enter")
    assert page.focused() == "h2"


def test_names_and_roles(opened: Any) -> None:
    page = opened("toy.html", "#boat")
    for role, name in (
        ("combobox", "Search a concept"), ("listbox", "Concepts"), ("combobox", "Sort"), ("combobox", "Show"),
        ("combobox", "Theme"), ("table", "Contrastive concepts"), ("table", "Rejected candidates"),
        ("region", "Contrastive concepts"), ("region", "Neighbourhood"), ("group", "Copy"), ("group", "Reasons"),
        ("button", "Copy as list"), ("option", "boat, 2,418 captions"), ("columnheader", "Why rejected"),
    ):  # fmt: skip
        assert page.tab.get_by_role(role, name=name).first.count() == 1, (role, name)
    assert page.tab.get_by_role("main").count() == page.tab.get_by_role("search").count() == 1
    assert page.tab.locator("#found [role=option]").first.get_attribute("aria-setsize") == str(
        Tables.read(TOY).concepts.height
    )
    assert page.tab.evaluate("[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size")  # fmt: skip


def test_copying(opened: Any, tmp_path: Path) -> None:
    page = opened("toy.html", "#boat", permissions=["clipboard-read", "clipboard-write"])

    def copied(name: str) -> str:
        page.tab.get_by_role("button", name=f"Copy as {name}").click()
        page.tab.get_by_role("status").filter(has_text=f"{name.capitalize() if name != 'JSON' else name} copied").wait_for()  # fmt: skip
        return str(page.tab.evaluate("navigator.clipboard.readText()"))

    dictionary = ContrastiveConcepts.load(TOY)
    assert copied("list").split("\n") == dictionary.selected("boat")
    assert copied("prompt") == ", ".join(["boat", *dictionary["boat"]])
    (tmp_path / "classes.txt").write_text("boat\n", encoding="utf-8")
    arguments = ["--prompts", str(tmp_path / "classes.txt"), "-f", "json", "--types", "-o", str(tmp_path / "a.json")]
    assert CliRunner().invoke(app, ["export", str(TOY), *arguments]).exit_code == 0
    assert [json.loads(copied("JSON"))] == json.loads((tmp_path / "a.json").read_text())


@pytest.mark.parametrize("command", [True, False], ids=["old command", "by hand"])
def test_copying_without_a_clipboard(opened: Any, command: bool) -> None:
    page = opened("toy.html", "#boat")
    page.tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    if not command:
        page.tab.evaluate("() => { document.execCommand = () => { throw new Error('no'); }; }")
    page.tab.get_by_role("button", name="Copy as prompt").click()
    text = ", ".join(["boat", *ContrastiveConcepts.load(TOY)["boat"]])
    if command:
        page.tab.get_by_role("status").filter(has_text="Prompt copied").wait_for()
        page.tab.focus("#search")
        page.tab.keyboard.press("Control+V")
        assert page.tab.input_value("#search") == text
    else:
        shown = page.tab.get_by_role("textbox", name="Text to copy")
        assert shown.input_value() == text
        assert shown.evaluate("box => box.selectionEnd - box.selectionStart") == len(text)
        page.tab.keyboard.press("Escape")
        assert not page.tab.get_by_role("dialog").is_visible()
        assert "copied" not in page.status


LIGHT, DARK = "rgb(255, 255, 255)", "rgb(21, 24, 28)"


def back(page: Page) -> str:
    return str(page.tab.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_themes(opened: Any) -> None:
    page = opened("toy.html", color_scheme="dark")
    assert back(page) == DARK
    page.tab.select_option("#theme", "light")
    assert back(page) == LIGHT
    page.tab.reload()
    page.tab.locator("body[data-ready]").wait_for()
    assert back(page) == LIGHT
    assert page.tab.input_value("#theme") == "light"
    page.tab.select_option("#theme", "")
    assert back(page) == DARK
    assert back(opened("toy.html", color_scheme="light")) == LIGHT


def test_a_page_without_storage(opened: Any) -> None:
    page = opened("toy.html", color_scheme="light")
    page.tab.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('refused'); } })")
    page.tab.reload()
    page.tab.locator("body[data-ready]").wait_for()
    page.tab.select_option("#theme", "dark")
    assert back(page) == DARK


@pytest.mark.parametrize("name", ["toy.html", "diff.html", "names.html"])
def test_a_narrow_screen(opened: Any, name: str) -> None:
    page = opened(name, viewport={"width": 320, "height": 640})
    page.tab.locator("summary").click()
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 320
    list_, concept = page.tab.locator("#found").bounding_box(), page.tab.locator("#concept").bounding_box()
    assert list_["y"] + list_["height"] <= concept["y"]
    wide = page.tab.evaluate("[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 320.5 && !e.closest('thead')).length")  # fmt: skip
    assert wide == 0
    page.tab.locator("#found li").nth(2).click()
    page.tab.wait_for_function("document.querySelector('main').getBoundingClientRect().top < 5")


def test_less_motion(opened: Any) -> None:
    seconds = "getComputedStyle(document.querySelector('button')).transitionDuration"
    assert opened("toy.html", reduced_motion="reduce").tab.evaluate(seconds) == "0s"
    assert opened("toy.html", reduced_motion="no-preference").tab.evaluate(seconds) != "0s"


def test_two_dictionaries_side_by_side(opened: Any, pages: Path) -> None:
    page = opened("diff.html")
    assert page.title == "boat"  # the one that both gains and loses
    gained, lost, stays = (page.table(f"{what} ({count})") for what, count in (("Gained", 1), ("Lost", 2), ("Unchanged", 10)))  # fmt: skip
    assert [row[0].split("\n")[-1].lstrip("+") for row in gained] == ["peace"]
    assert "abstract" in gained[0][1]
    assert "1.5 %" in gained[0][2]
    assert [row[0].lstrip("−") for row in lost] == ["harbour", "sailboat"]
    assert ["confusable" in row[2] for row in lost] == [True, False]
    assert "too rare beside it" in lost[1][2]
    assert all("%" in row[1] and "%" in row[2] for row in stays)
    found = compare(TOY, pages / "other").concepts.row(0, named=True)
    assert found["concept"] == "boat"
    assert f"{found['jaccard']:.2f}" in page.tab.inner_text(".tiles")
    assert page.options()[0] == "boat"  # the most changes first
    assert page.tab.locator("#found li").first.get_attribute("aria-label") == "boat, 10 unchanged, 1 gained, 2 lost"
    assert "214 concepts in both, 213 unchanged; +1 gained, −2 lost" in page.tab.inner_text("#totals")
    for choice, names in (("first", ["camel"]), ("second", ["猫"]), ("changed", ["boat"])):
        page.tab.select_option("#filter", choice)
        assert page.options() == names
    page.tab.select_option("#filter", "second")
    page.tab.locator("#found li").first.click()
    page.wait("猫")
    assert "Only B: other has this concept." in page.tab.inner_text("#concept")
    page.tab.go_back()
    page.wait("boat")
    page.tab.get_by_role("button", name="B: other").click()
    assert "harbour" not in [row[0] for row in page.table("Contrastive concepts")]
    assert page.tab.locator("svg.neighbourhood a").count() == 11
    page.tab.get_by_role("button", name="A: toy").click()
    assert "harbour" in [row[0] for row in page.table("Contrastive concepts")]
    page.tab.get_by_role("table", name="Contrastive concepts").get_by_role("link", name="water").click()
    page.wait("water")
    assert page.tab.get_by_role("button", name="A: toy").get_attribute("aria-pressed") == "true"  # the view stays
    page.tab.locator("summary").click()
    assert page.tab.locator("#about tr.differs th").all_inner_texts() == ["run"]


def test_copying_a_comparison(opened: Any, pages: Path) -> None:
    page = opened("diff.html", "#boat", permissions=["clipboard-read", "clipboard-write"])
    found = compare(TOY, pages / "other").concepts.row(0, named=True)
    page.tab.get_by_role("button", name="Copy as JSON").click()
    page.tab.get_by_role("status").filter(has_text="JSON copied").wait_for()
    copied = json.loads(page.tab.evaluate("navigator.clipboard.readText()"))
    assert copied == found | {"jaccard": pytest.approx(found["jaccard"])}


@pytest.mark.parametrize(("size", "pairs"), [(4_000, 100_000), (40_000, 1_000_000)])
def test_large_dictionaries(tmp_path: Path, browser: Any, size: int, pairs: int, capsys: Any) -> None:
    small = release_dictionary(tmp_path / "small")
    rng = np.random.default_rng(0)
    names = [f"concept {number}" for number in range(size)]
    count = rng.integers(10**4, 10**6, size)
    pl.DataFrame({"concept": names, "count": count, "p_visible": rng.random(size), "visible": True}).write_parquet(small / "concepts.parquet")  # fmt: skip
    left, right = np.sort(rng.integers(0, size, pairs)), rng.integers(0, size, pairs)
    frequency = rng.random(pairs)
    table = pl.DataFrame(
        {
            "concept": [names[i] for i in left],
            "contrastive_concept": [names[j] for j in right],
            "cooccurrences": (frequency * count[left]).astype(np.int64),
            "frequency": frequency,
            "similarity": rng.random(pairs).astype(np.float32),
        }
    )
    kept, reason = rng.random(pairs) < 0.7, pl.lit("similar").alias("reason")
    table.filter(kept).write_parquet(small / "contrastive_concepts.parquet")
    table.filter(~kept).with_columns(reason).write_parquet(small / "rejected.parquet")
    write_explorer(small, tmp_path / "page.html")
    page = Page(browser, f"{(tmp_path / 'page.html').as_uri()}#concept%20{size - 1}")
    assert page.title == f"concept {size - 1}"
    assert page.tab.locator("#found li").count() < 60  # only what is in sight
    page.tab.focus("#found")
    page.tab.keyboard.press("End")
    last = int(page.tab.get_attribute("#found li[aria-selected=true]", "aria-posinset"))
    assert last == size
    typed = page.tab.evaluate(
        "() => { const start = performance.now(); document.getElementById('search').value = '99';"
        "document.getElementById('search').dispatchEvent(new Event('input')); document.body.offsetHeight; return performance.now() - start; }"
    )
    ready = int(page.tab.get_attribute("body", "data-ready"))
    with capsys.disabled():
        megabytes = (tmp_path / "page.html").stat().st_size / 1e6
        print(f"\n{size:,} concepts, {pairs:,} pairs: {megabytes:.1f} MB, opened in {ready} ms, searched in {typed:.0f} ms")  # fmt: skip
    assert page.wrong == []
    page.context.close()
    assert ready < (5_000 if size == 4_000 else 20_000)  # loose: the machines are shared
