"""CC^L, parts and the audit through Snakemake, with a language model behind a server that answers from a script."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.visibility.cc_text import read_cc_text
from contrastive_concepts.visibility.prompts import load_prompt

from .project import Project

pytestmark = pytest.mark.slow
UNSEEN = {"freedom"}
PARTS = {"boat": '["Water", "hull", "mast"]', "dog": "1. tail\n2. paw"}
SURROUNDINGS = {"boat": 'Sure: ["water", "boat", "dock"]. These surround a boat.', "dog": "grass, leash, Grass"}


class Model(ThreadingHTTPServer):
    """Knows the three prompts by their beginnings and ends; counts what it is asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.asked: Counter[tuple[str, str]] = Counter()

    def answer(self, content: str) -> str:
        for kind in ("visible", "contrastive", "parts"):
            before, after = load_prompt(kind).text.split("{q}")
            if content.startswith(before) and content.endswith(after):
                word = content.removeprefix(before).removesuffix(after)
                self.asked[kind, word] += 1
                if kind == "visible":
                    return "no" if word in UNSEEN else "yes"
                return {"contrastive": SURROUNDINGS, "parts": PARTS}[kind].get(word, "I cannot list any such thing.")
        raise AssertionError(content)


class Answering(BaseHTTPRequestHandler):
    server: Model

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = {"content": self.server.answer(asked["messages"][0]["content"])}
        body = json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    with Model() as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        yield model
        model.shutdown()


@pytest.fixture(scope="module")
def project(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("writing"))
    url = f"http://127.0.0.1:{model.server_port}/v1"
    project.config["visibility"] = {"judge": "openai", "url": url, "model": "scripted"}
    project.config["writing"] = {"class_lists": {"animals": "classes.txt"}}
    (project.folder / "data" / "classes.txt").write_text("background\nboat\ndog\nship\n")
    return project


def test_lists_are_written_once_and_become_text_and_dictionary(project: Project, model: Model) -> None:
    project.snakemake("cc_l")
    folder = project.folder / "results" / "small" / "cc_l" / "animals"
    assert read_cc_text(folder / "cc_llm.txt") == [
        ["background"],
        ["background", "water", "dock"],
        ["background", "grass", "leash"],
        ["background"],
    ]
    written = ContrastiveConcepts.load(folder / "dictionary")
    assert written["boat"] == ["background", "water", "dock"]
    assert written.manifest.judge["model"] == ["scripted"]
    assert written.manifest.counts["concepts without any"] == 1
    asked = model.asked.copy()
    assert {word for kind, word in asked if kind == "contrastive"} == {"boat", "dog", "ship"}
    project.snakemake("cc_l", "--forcerun", "write_cc_l")
    assert model.asked == asked


def test_parts_leave_the_dictionary_where_the_setting_says_so(project: Project, model: Model) -> None:
    project.snakemake()
    assert "water" in project.dictionary["boat"]
    project.config["selection"] = {"remove_parts": True}
    planned = project.planned()
    assert planned.pop("write_parts") == 1
    assert not {"visibility", "embeddings", "match_shard", "similarity"} & set(planned)
    project.snakemake()
    assert "water" not in project.dictionary["boat"]
    assert ("parts", "dog") in model.asked
    assert ("parts", "freedom") not in model.asked
    rejected = pl.read_parquet(project.folder / "results" / "small" / "dictionary" / "rejected.parquet")
    assert ("boat", "water") in set(rejected.filter(reason="part").select("concept", "contrastive_concept").iter_rows())
    del project.config["selection"]


def test_the_audit_lists_verdicts_beside_ratings(project: Project) -> None:
    ratings = "WORD,IMAG,CONC\nboat,631,637\nfreedom,356,220\ndog,636,610\nwater,632,616\nfreedoms,300,200\n"
    (project.folder / "data" / "ratings.csv").write_text(ratings)
    project.config["audit"] = {"path": "ratings.csv", "low": 100, "high": 700}
    project.snakemake("audit")
    folder = project.folder / "results" / "small" / "visibility"
    table = pl.read_parquet(folder / "audit.parquet")
    assert table.height == 9
    text = (folder / "audit.md").read_text()
    assert "AUC" in text
    assert "freedom" in text
    assert "<html" in (folder / "audit.html").read_text()
