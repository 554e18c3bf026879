"""The page on which pictures are segmented: its answers, and the page itself in a real browser."""

import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from contrastive_concepts import ConceptSegmenter
from contrastive_concepts.cli.demo import toy_examples
from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmentation.page import KEPT, SHOWN, Example, folder_examples, page

[PICTURE] = toy_examples(1)
IMAGE, QUERY = PICTURE.pixels(), PICTURE.query


@pytest.fixture(scope="module")
def segmenter() -> ConceptSegmenter:
    return ConceptSegmenter()


@pytest.fixture(scope="module")
def client(segmenter: ConceptSegmenter) -> Any:
    from starlette.testclient import TestClient

    return TestClient(page(segmenter, toy_examples(2), ["testserver"]))


def content(image: Any, kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, kind)
    return written.getvalue()


def asked(client: Any, photo: str, query: str, negatives: Any, file: str = "answer") -> Any:
    return client.get(f"/photos/{photo}/{file}", params={"query": query, "negatives": json.dumps(negatives)})


@pytest.mark.parametrize("negatives", ["none", "background", "dictionary", ["sea", "Café au lait"], []])
def test_an_answer_is_what_the_segmenter_finds(negatives: Any, client: Any, segmenter: ConceptSegmenter) -> None:
    made = client.post("/photos", params={"name": "día 1.png"}, content=content(IMAGE)).json()
    assert (made["name"], made["height"], made["width"]) == ("día 1.png", *IMAGE.shape[:2])
    shown = Image.open(io.BytesIO(client.get(f"/photos/{made['photo']}").content))
    assert np.array_equal(np.asarray(shown), IMAGE)
    found = segmenter(IMAGE, QUERY, negatives or "none")
    answer = asked(client, made["photo"], f" {QUERY} ", negatives).json()
    assert answer["texts"] == list(found.texts)
    assert answer["shares"] == found.shares
    assert answer["share"] == found.mask.mean()
    assert answer["of_query"] == [each == 1 for each in found.of_text]
    labels = np.frombuffer(gzip.decompress(b64decode(answer["labels"])), "<u2")
    assert np.array_equal(labels.reshape(IMAGE.shape[:2]) - 1, found.labels)
    assert (answer["match"] is None) == (negatives != "dictionary")
    mask = asked(client, made["photo"], QUERY, negatives, "mask.png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(mask.content))), found.mask * np.uint8(255))
    assert mask.headers["content-disposition"] == "attachment; filename*=UTF-8''d%C3%ADa%201.pyramid.mask.png"
    stored = asked(client, made["photo"], QUERY, negatives, "masks.json").json()
    assert stored["images"][0]["file_name"] == "día 1.png"
    assert stored["images"][0]["negatives"] == {QUERY: found.shares}
    assert np.array_equal(coco.decode(stored["annotations"][0]["segmentation"]) == 1, found.mask)


def test_a_large_photo_is_shown_smaller_and_downloaded_whole(client: Any, segmenter: ConceptSegmenter) -> None:
    image = np.repeat(np.repeat(IMAGE, 20, axis=0), 40, axis=1)
    made = client.post("/photos", content=content(image)).json()
    shown = Image.open(io.BytesIO(client.get(f"/photos/{made['photo']}").content))
    answer = asked(client, made["photo"], QUERY, "dictionary").json()
    assert (answer["width"], answer["height"]) == shown.size == (SHOWN, SHOWN // 2)
    mask = Image.open(io.BytesIO(asked(client, made["photo"], QUERY, "dictionary", "mask.png").content))
    assert np.array_equal(np.asarray(mask) == 255, segmenter(image, QUERY).mask)


def test_a_word_that_the_dictionary_does_not_have(client: Any) -> None:
    made = client.post("/examples/0").json()
    match = asked(client, made["photo"], "schooner", "dictionary").json()["match"]
    assert match["concept"] != "schooner"
    assert match["similarity"] < 1
    assert match["remark"] == "the encoder does not know 'schooner'"


def test_only_the_last_photos_are_kept(client: Any) -> None:
    first = client.post("/examples/0").json()["photo"]
    for number in range(KEPT):
        image = np.full((8, 8, 3), number, np.uint8)
        assert client.post("/photos", content=content(image)).status_code == 200
    answer = asked(client, first, "boat", "none")
    assert answer.status_code == 400
    assert answer.json() == {"error": "photo: no longer in memory, expected it to be opened again"}


def test_whatever_is_wrong_is_one_line(client: Any) -> None:
    photo = client.post("/examples/1").json()["photo"]
    for query, negatives, line in (
        ("", "none", "query: found an empty text"),
        ("boat", ["sea", "boat"], "negatives: found the query 'boat'"),
        ("boat", ["sea", " "], "negatives: expected dictionary, background, none or a list"),
        ("boat", "/etc/passwd", "negatives: expected dictionary, background, none or a list"),
        ("boat", {"a": 1}, "negatives: expected"),
        ("boat", ["a"] * 1001, "negatives: found 1001 texts"),
        ("b" * 5000, "dictionary", "query 1: found 5000 characters"),
        ("boat", ["\ud800"], "negatives: expected"),
    ):
        answer = asked(client, photo, query, negatives)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(line)
        assert len(answer.json()["error"].splitlines()) == 1
    assert client.get(f"/photos/{photo}/answer?query=boat&negatives=[").status_code == 400
    assert client.get(f"/photos/{photo}/answer?query=boat&negatives={'[' * 20_000}").status_code == 400
    foreign = client.post("/photos", content=content(IMAGE), headers={"Origin": "http://evil.example"})
    assert foreign.json()["error"].startswith("request: comes from another site")
    assert client.post("/photos", content=content(IMAGE), headers={"Origin": "http://testserver"}).status_code == 200
    wide = client.post("/photos", content=content(np.zeros((6_000, 9_000), np.uint8)))
    assert "found 9000 x 6000 pixels" in wide.json()["error"]
    for upload, line in (
        (b"", "odd.jpg: cannot be decoded, expected an image"),
        (b"no picture", "odd.jpg: cannot be decoded, expected an image"),
        (content(IMAGE, "JPEG")[:400], "odd.jpg: cannot be decoded"),
        (bytes((64 << 20) + 1), "photo: found more than 64 MB"),
    ):
        answer = client.post("/photos", params={"name": "odd.jpg"}, content=upload)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(line)
    assert client.post("/examples/7").json()["error"].startswith("example: found 7")
    assert client.get("/", headers={"Host": "other.example"}).status_code == 400


def test_names_are_text_on_the_page(segmenter: ConceptSegmenter) -> None:
    from starlette.testclient import TestClient

    name = '"><script>alert(1)</script>'
    odd = TestClient(page(segmenter, [Example(name, name, lambda: IMAGE)], ["*"]))
    home = odd.get("/")
    assert home.status_code == 200
    assert "<script>alert" not in home.text
    assert "connect-src 'self'" in home.headers["content-security-policy"]
    assert not re.findall(r"(?:src|href)=\"?(?:https?:)?//", home.text)


def test_the_folder_of_examples(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    [example] = folder_examples(tmp_path)
    assert (example.name, example.query, example.pixels().shape) == ("a.png", "", IMAGE.shape)
    (tmp_path / "empty").mkdir()
    for folder, line in (("empty", "empty: found no photo"), ("absent", "absent: not found")):
        with pytest.raises(UserError, match=line):
            folder_examples(tmp_path / folder)


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = CliRunner().invoke(app, ["demo", "--port", str(taken.getsockname()[1])])
    assert isinstance(done.exception, UserError)
    assert "cannot be listened on" in str(done.exception)
    assert "--host: found an empty text" in str(CliRunner().invoke(app, ["demo", "--host", ""]).exception)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The page of a real `contrastive-concepts demo`."""
    command = [sys.executable, "-m", "contrastive_concepts", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        yield server.stdout.readline().split()[0]
        os.kill(server.pid, signal.SIGINT)
        assert "Traceback" not in server.stderr.read()


def pressed(tab: Any, chip: str) -> str | None:
    found: str | None = tab.locator(f"#list [data-text='{chip}']").get_attribute("aria-pressed")
    return found


def turn(tab: Any) -> int:
    return int(tab.locator("#list").get_attribute("data-answered") or 0)


@pytest.mark.browser
def test_the_page_in_a_browser(address: str, browser: Any, segmenter: ConceptSegmenter, tmp_path: Path) -> None:
    """Upload, type, toggle, add, download; no request leaves the machine, and nothing fails in the browser."""
    Image.fromarray(IMAGE).save(tmp_path / "desert.png")
    tab = browser.new_page()
    requests: list[str] = []
    wrong: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.goto(address)
    tab.set_input_files("#file", tmp_path / "desert.png")
    tab.get_by_role("status").filter(has_text="desert.png: 64 x 64").wait_for()
    tab.fill("#query", QUERY)
    tab.keyboard.press("Enter")
    tab.locator("#list canvas[aria-label*='pyramid takes']").wait_for()
    found = segmenter(IMAGE, QUERY)
    for kind, negatives in (("none", "none"), ("background", "background"), ("dictionary", "dictionary")):
        share = segmenter(IMAGE, QUERY, negatives).mask.mean()
        assert f"{share * 100:.1f} %" in tab.inner_text(f"#{kind} .share") or share == 1
    legend = tab.locator("#dictionary .legend li").all_inner_texts()
    assert legend == [f"{text} {share * 100:.1f} %" for text, share in list(found.shares.items())[: len(legend)]]
    chips = [chip.get_attribute("data-text") for chip in tab.locator("#list .chips button").all()]
    assert set(chips) == set(found.texts[1:])

    # One negative off, another added: the mask changes within a second, and the photo is not encoded again.
    largest, before = chips[0], turn(tab)
    tab.click(f"#list [data-text='{largest}']")
    tab.locator(f"#list[data-answered='{before + 1}']").wait_for()
    assert float(tab.locator("#list").get_attribute("data-seconds")) < 1
    assert pressed(tab, largest) == "false"
    tab.fill("#more", "palm tree")
    tab.keyboard.press("Enter")
    tab.locator(f"#list[data-answered='{before + 2}']").wait_for()
    assert sum(url.endswith("name=desert.png") for url in requests) == 1
    listed = [text for text in ["palm tree", *found.texts[1:]] if text != largest]
    own = segmenter(IMAGE, QUERY, listed)
    assert not np.array_equal(own.mask, found.mask)

    for link, name in (("mask (PNG)", "desert.pyramid.mask.png"), ("COCO JSON", "desert.pyramid.json")):
        with tab.expect_download() as download:
            tab.locator("#list .downloads").get_by_text(link).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "desert.pyramid.mask.png")) == 255, own.mask)
    [annotation] = json.loads((tmp_path / "desert.pyramid.json").read_text())["annotations"]
    assert np.array_equal(coco.decode(annotation["segmentation"]) == 1, own.mask)

    tab.click("#reset")
    tab.locator(f"#list[data-answered='{before + 3}']").wait_for()
    assert pressed(tab, largest or "") == "true"
    tab.fill("#more", QUERY)
    tab.keyboard.press("Enter")
    assert "cannot be its own negative" in tab.get_by_role("alert").inner_text()
    tab.fill("#query", "schooner")
    tab.keyboard.press("Enter")
    tab.get_by_role("status").filter(has_text="is not in the dictionary: nearest is").wait_for()
    assert wrong == []
    assert all(url.startswith((address, "data:", "blob:")) for url in requests)
    tab.close()


@pytest.mark.browser
def test_the_page_by_keyboard_on_a_narrow_dark_screen(address: str, browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 320, "height": 640}, color_scheme="dark")
    tab.goto(address)
    for _ in range(2):  # the field for a file, then the first example
        tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    tab.locator("#list canvas[aria-label*='takes']").wait_for()
    before = turn(tab)
    tab.locator("#query").focus()
    for _ in range(60):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.closest('#list .chips') !== null"):
            break
    tab.keyboard.press("Space")
    tab.locator(f"#list[data-answered='{before + 1}']").wait_for()
    assert tab.locator("#list .chips [aria-pressed=false]").count() == 1
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    tab.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    tab.get_by_role("alert").filter(has_text="a.png: cannot be decoded").wait_for()
    tab.close()


@pytest.mark.browser
def test_quick_questions_and_a_second_picture(address: str, browser: Any) -> None:
    """Only the last question is answered, under its own name; a new picture begins empty."""
    tab = browser.new_page()
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.goto(address)
    tab.click("#examples button >> nth=0")
    tab.locator("#list canvas[aria-label*='takes']").wait_for()
    for query in ("boat", "dog", "road", "sea", "wall", "grass"):
        tab.fill("#query", query)
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(40)
    tab.locator("#list canvas[aria-label*='grass takes']").wait_for()
    tab.wait_for_timeout(500)
    shares = tab.locator("article .share").all_inner_texts()
    assert sum("“grass”" in share for share in shares) == 4
    assert "“" not in tab.get_by_role("status").inner_text()
    tab.fill("#query", "")
    tab.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": content(IMAGE)})
    tab.get_by_role("status").filter(has_text="b.png: 64 x 64").wait_for()
    assert "".join(tab.locator("article .share").all_inner_texts()) == ""
    assert tab.locator("article .downloads:visible").count() == 0
    tab.click("#reset")
    tab.fill("#more", "sky")
    tab.keyboard.press("Enter")
    assert "Segment a concept first." in tab.get_by_role("alert").inner_text()
    assert wrong == []
    tab.close()
