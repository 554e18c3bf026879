"""A dictionary out of the project: exported, compared, explored."""

import csv
import http.server
import json
import os
import queue
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.cli.main import app
from contrastive_concepts.dictionary.compare import compare
from contrastive_concepts.dictionary.explorer import write_explorer
from contrastive_concepts.dictionary.export import export
from contrastive_concepts.errors import UserError
from tests.helpers import NAMES, chromium, dom_of, release_dictionary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("exchange") / "a")


@pytest.fixture(scope="module")
def dictionary(folder: Path) -> ContrastiveConcepts:
    return ContrastiveConcepts.load(folder)


def test_the_authors_files(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, ["boat", "Water", "dog"], tmp_path / "out", "text", "mine")
    read = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert read == {
        "mine.txt": "water, <script>alert(1)</script>, =1+1\nboat, dog\ncafé, water\n",
        "bkg_mine.txt": "background, water, <script>alert(1)</script>, =1+1\nbackground, boat, dog\nbackground, café, water\n",
        "mapping_mine.txt": "boat: boat\nWater: water\ndog: dog\n",
    }


def test_background_that_was_mined_stays(tmp_path: Path) -> None:
    found = release_dictionary(
        tmp_path / "a", names=["boat", "background", "dog"], counts=[[9, 5, 4], [5, 9, 0], [4, 0, 9]]
    )
    export(ContrastiveConcepts.load(found), ["boat"], tmp_path / "out", "text", "mine")
    assert (tmp_path / "out" / "mine.txt").read_text() == "background, dog\n"
    assert (tmp_path / "out" / "bkg_mine.txt").read_text() == "background, background, dog\n"
    assert ContrastiveConcepts.load(found)["boat"] == ["background", "dog"]


HOSTILE = [
    "a/b",
    'quo"te',
    "new\nline",
    "../up",
    "=1+1",
    "+x",
    "-x",
    "@x",
    "\tx",
    "<b>it</b>",
    "a, b",
    "'",
    "e\u0301",
    "",
]


def test_hostile_names_through_every_format(tmp_path: Path) -> None:
    names = [name or "plain" for name in HOSTILE]
    size = len(names)
    found = release_dictionary(tmp_path / "a", names=names, counts=(9 * np.eye(size, dtype=int) + 1).tolist())
    dictionary = ContrastiveConcepts.load(found, background=False)
    before = sorted(tmp_path.rglob("*"))
    expected = {(query, text) for query in names for text in names if text != query}
    for form in ("json", "csv", "parquet", "hf", "standalone"):
        files = export(dictionary, names, tmp_path / "out" / form, form)
        assert all(file.resolve().is_relative_to((tmp_path / "out" / form).resolve()) for file in files)
    out = tmp_path / "out"
    answers = json.loads((out / "json").read_text())
    assert {(answer["query"], text) for answer in answers for text in answer["contrastive_concepts"]} == expected
    for table in (pq.read_table(out / "parquet"), pq.read_table(next((out / "hf").rglob("*.parquet")))):
        assert {(row["query"], row["contrastive_concept"]) for row in table.to_pylist()} == expected
    with (out / "csv").open(newline="", encoding="utf-8") as file:
        cells = [(row["query"], row["contrastive_concept"]) for row in csv.DictReader(file)]
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in cells for cell in row)
    plain = {f"'{name}": name for name in names if name.startswith(tuple("=+-@\t"))}
    assert {tuple(plain.get(cell, cell) for cell in row) for row in cells} == expected
    kept = pq.read_table(out / "standalone" / "contrastive_concepts.parquet").to_pylist()
    assert {(row["concept"], row["contrastive_concept"]) for row in kept} == expected
    assert sorted(path for path in tmp_path.rglob("*") if not path.is_relative_to(out)) == before
    with pytest.raises(UserError, match=r"line 1: found the name .*, expected one without commas"):
        export(dictionary, names, tmp_path / "text", "text")
    assert not any((tmp_path / "text").iterdir())


def test_class_names_in_one_command(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("boat\ndog\n")
    arguments = ["export", str(folder), "--prompts", str(tmp_path / "classes.txt"), "-o", str(tmp_path / "cc")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "cc" / "bkg_classes.txt").read_text().splitlines()[1] == "background, café, water"


def test_tables(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    queries = ["boat", "=1+1", "boat"]
    export(dictionary, queries, tmp_path / "a.json", "json")
    export(dictionary, queries, tmp_path / "a.parquet", "parquet")
    export(dictionary, queries, tmp_path / "a.csv", "csv")
    answers = json.loads((tmp_path / "a.json").read_text())
    assert [(answer["query"], answer["contrastive_concepts"]) for answer in answers] == [
        (query, dictionary[query]) for query in queries
    ]
    rows = [(query, rank, text) for query in queries for rank, text in enumerate(dictionary[query], 1)]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert [(row["query"], row["rank"], row["contrastive_concept"]) for row in table] == rows
    with (tmp_path / "a.csv").open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == len(rows)
    assert not any(value.startswith(("=", "+", "-", "@")) for row in cells for value in row.values())
    assert "'=1+1" in {row["contrastive_concept"] for row in cells}


def test_nothing_is_overwritten(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("mine")
    with pytest.raises(UserError, match="exists, expected a new file"):
        export(dictionary, ["boat"], tmp_path / "a.json", "json")


def test_hugging_face_folder(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, list(dictionary), tmp_path / "hf", "hf")
    _, front, card = (tmp_path / "hf" / "README.md").read_text().split("---\n", 2)
    pattern = yaml.safe_load(front)["configs"][0]["data_files"][0]["path"]
    files = list((tmp_path / "hf").glob(pattern))
    assert len(files) == 1
    assert pq.read_table(files[0]).num_rows == sum(len(dictionary[name]) for name in dictionary)
    assert "| gamma | 0.01 |" in card


def test_the_standalone_folder_needs_three_libraries(dictionary: ContrastiveConcepts, tmp_path: Path) -> None:
    export(dictionary, [], tmp_path / "alone", "standalone")
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from contrastive import Dictionary; import numpy as np\n"
        "d = Dictionary(); print(json.dumps([d['boat'], d.nearest(np.eye(6, dtype='float32')[2:3])[0][0],"
        " [m for m in ('polars', 'contrastive_concepts', 'pydantic') if m in sys.modules]]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", code, str(tmp_path / "alone")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    assert json.loads(done.stdout) == [dictionary["boat"], "dog", []]


def test_what_another_threshold_changes(folder: Path, tmp_path: Path) -> None:
    strict = release_dictionary(tmp_path / "b", gamma=0.3)
    found = compare(folder, strict)
    changes = {row["concept"]: row for row in found.concepts.to_dicts()}
    assert changes["boat"]["dropped"] == ["=1+1"]
    assert changes["water"]["dropped"] == ["dog"]
    assert changes["boat"]["jaccard"] == pytest.approx(2 / 3)
    assert not any(row["added"] for row in changes.values())
    assert compare(folder, folder).summary["mean Jaccard index"] == 1
    backwards = compare(strict, folder).summary
    assert (backwards["added"], backwards["dropped"]) == (found.summary["dropped"], 0)
    done = CliRunner().invoke(app, ["diff", str(folder), str(strict)])
    assert "boat (0.67)\n    -=1+1" in done.output


def test_concepts_of_one_alone(folder: Path, tmp_path: Path) -> None:
    other = release_dictionary(tmp_path / "c", names=NAMES[:2], counts=[[9, 5], [5, 9]])
    found = compare(folder, other)
    assert (found.only_a, found.only_b) == (NAMES[2:], [])


def test_the_page_holds_no_name_as_markup(folder: Path, tmp_path: Path) -> None:
    write_explorer(folder, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)" not in page
    assert not re.findall(r"""(?:src|href)=["']?http""", page)


@pytest.mark.browser
def test_the_page_in_a_browser(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    write_explorer(folder, page)
    shown = dom_of(page, "#boat")
    assert "<h2>boat</h2>" in shown
    assert '<a href="#water">water</a>' in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    typed = tmp_path / "typed.html"
    act = (
        "<script>const press = key => document.getElementById('search').dispatchEvent(new KeyboardEvent('keydown', {key}));"
        "setTimeout(() => { const box = document.getElementById('search'); box.value = 'o'; box.dispatchEvent(new Event('input'));"
        "press('ArrowDown'); press('Enter'); }, 3000)</script></body>"
    )
    typed.write_text(page.read_text().replace("</body>", act))
    listed = re.findall(r'<li role="option"[^>]*>([^<]+)</li>', dom_of(typed))
    assert listed == ["dog", "boat"] or listed == ["boat", "dog"]
    assert f"<h2>{listed[1]}</h2>" in dom_of(typed)


def act(page: Path, script: str, *options: str) -> str:
    """The page after a script has run in it, once it is ready."""
    acted = page.with_name("acted.html")
    start = (
        "const until = setInterval(() => { if (document.body.dataset.ready) { clearInterval(until); act(); } }, 20);"
    )
    press = (
        "const box = document.getElementById('search'); const press = (key, target = box) => "
        "target.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));"
        "const chosen = () => document.querySelector('li[aria-selected=true]').textContent;"
        "const note = value => document.body.append(Object.assign(document.createElement('output'), {textContent: value}));"
    )
    added = f"<script>{press} function act() {{ {script} }} {start}</script></body>"
    acted.write_text(page.read_text().replace("</body>", added))
    return dom_of(acted, "", *options)


@pytest.mark.browser
def test_keys(folder: Path, tmp_path: Path) -> None:
    write_explorer(folder, tmp_path / "page.html")
    script = (
        "const first = chosen(); press('ArrowDown'); const second = chosen(); press('ArrowUp'); press('ArrowUp');"
        "const last = chosen(); press('ArrowDown'); note([first !== second, last !== first, chosen() === first].join());"
        "press('Enter'); note(document.querySelector('h2').textContent === first);"
        "box.blur(); note(document.activeElement === box); press('/', document.body); note(document.activeElement === box);"
    )
    shown = act(tmp_path / "page.html", script)
    assert re.findall(r"<output>([^<]*)</output>", shown) == ["true,true,true", "true", "false", "true"]


@pytest.mark.browser
def test_a_narrow_screen(folder: Path, tmp_path: Path) -> None:
    """In a frame of 375 pixels, as a window of Chromium has a least width: one column, nothing beyond the right edge."""
    write_explorer(folder, tmp_path / "page.html")
    (tmp_path / "narrow.html").write_text(
        "<body><iframe src='page.html#boat' width=375 height=700 style='border:0'></iframe><script>"
        "const until = setInterval(() => { const page = document.querySelector('iframe').contentDocument;"
        "if (!page || !page.body || !page.body.dataset.ready) return; clearInterval(until);"
        "const box = name => page.querySelector(name).getBoundingClientRect();"
        "document.body.append(Object.assign(document.createElement('output'), {textContent: ["
        "page.documentElement.clientWidth, page.documentElement.scrollWidth, box('#found').bottom <= box('#concept').top,"
        "page.querySelector('h2').textContent].join()})); }, 20)</script></body>"
    )
    shown = dom_of(tmp_path / "narrow.html", "", "--allow-file-access-from-files")
    assert re.findall(r"<output>([^<]*)</output>", shown) == ["375,375,true,boat"]


def opened_in(page: Path) -> int:
    """Milliseconds of real time from the page's start until it can be searched; it tells a server, and the image that
    the server holds back till then keeps Chromium from closing."""
    told: queue.Queue[int] = queue.Queue()
    opened = threading.Event()
    text = re.sub(r"<meta http-equiv=.Content-Security-Policy.*>", "", page.read_text())
    tell = (
        "<img src=/wait><script>const until = setInterval(() => { if (document.body.dataset.ready) { clearInterval(until);"
        "fetch('/ready/' + document.body.dataset.ready); } }, 5);</script></body>"
    )
    text = text.replace("</body>", tell)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/ready/"):
                told.put(int(self.path.removeprefix("/ready/")))
                opened.set()
            if self.path == "/wait":
                opened.wait(60)
            body = text.encode() if self.path == "/" else b""
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
        subprocess.run(
            [*command, f"http://127.0.0.1:{server.server_port}/"], capture_output=True, timeout=180, check=True
        )
        server.shutdown()
    return told.get(timeout=10)


@pytest.mark.browser
@pytest.mark.parametrize(("size", "pairs"), [(4_000, 70_000), (40_000, 1_000_000)])
def test_large_dictionaries(tmp_path: Path, size: int, pairs: int, capsys: pytest.CaptureFixture[str]) -> None:
    import polars as pl

    small = release_dictionary(tmp_path / "small")
    rng = np.random.default_rng(0)
    names = [f"concept {number}" for number in range(size)]
    concepts = pl.DataFrame({"concept": names, "count": rng.integers(1, 10**6, size), "p_visible": rng.random(size)})
    concepts.write_parquet(small / "concepts.parquet")
    left, right = np.sort(rng.integers(0, size, pairs)), rng.integers(0, size, pairs)
    columns = {
        "concept": [names[i] for i in left],
        "contrastive_concept": [names[j] for j in right],
        "frequency": rng.random(pairs),
        "similarity": rng.random(pairs).astype(np.float32),
    }
    pl.DataFrame(columns).write_parquet(small / "contrastive_concepts.parquet")
    pl.DataFrame(columns).head(0).with_columns(reason=pl.lit("similar")).write_parquet(small / "rejected.parquet")
    write_explorer(small, tmp_path / "page.html")
    shown = dom_of(tmp_path / "page.html", f"#concept%20{size - 1}")
    assert f"<h2>concept {size - 1}</h2>" in shown
    assert f"{size - 200} more" in shown
    milliseconds = opened_in(tmp_path / "page.html")
    with capsys.disabled():
        print(f"\n{size:,} concepts, {pairs:,} pairs: {(tmp_path / 'page.html').stat().st_size / 1e6:.1f} MB, ", end="")
        print(f"opened in {milliseconds} ms")
