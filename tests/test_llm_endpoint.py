"""The endpoint judge against a server that is slow, refuses, cuts, babbles or dies: the same table in the end."""

import json
import math
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from contrastive_concepts.config.visibility import OpenAIJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility import client
from contrastive_concepts.visibility.endpoint import EndpointJudge
from contrastive_concepts.visibility.judging import judge_concepts
from contrastive_concepts.visibility.prompts import load_prompt
from contrastive_concepts.visibility.yes_no import read_answer, read_word, share_of_yes

WORDS = [f"word{i}" for i in range(200)]
BEFORE, AFTER = load_prompt("prompts/visible.txt").text.split("{q}")


class Server(ThreadingHTTPServer):
    """Answers yes to odd words; `fault` names what it does wrong on the first request for every third word."""

    daemon_threads = True

    def __init__(self, fault: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fault = fault
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert payload["structured_outputs"] == {"choice": ["yes", "no"]}
        content = payload["messages"][0]["content"]
        assert content.startswith(BEFORE)
        assert content.endswith(AFTER)
        word = content.removeprefix(BEFORE).removesuffix(AFTER)
        number = int(word.removeprefix("word"))
        with self.server.lock:
            self.server.keys.add(self.headers["Authorization"])
            self.server.asked[word] += 1
            first = self.server.asked[word] == 1
        fault = self.server.fault if number % 3 == 0 and first else None
        if self.server.fault == "dead":
            fault = "500" if number >= 137 else None
        if fault == "429":
            return self.reply(429, b"slow down", {"Retry-After": "0"})
        if fault == "500":
            return self.reply(500, b"engine dead")
        if fault == "babble":
            return self.reply(200, b"<html>hello</html>")
        yes = number % 2 == 1
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"content": "yes" if yes else "no"}}
        tops = [{"token": "yes", "logprob": -0.1 if yes else -2.3}, {"token": "no", "logprob": -2.3 if yes else -0.1}]
        choice["logprobs"] = {"content": [{"token": "x", "logprob": 0, "top_logprobs": tops}]}
        if fault == "abort":
            choice |= {"finish_reason": "abort", "message": {"content": ""}}
        if fault == "nonsense":
            choice["message"] = None
        body = json.dumps({"choices": [choice]}).encode()
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        if fault == "slow":
            threading.Event().wait(0.6)
        if fault in (None, "slow"):
            with self.server.lock:
                self.server.answered[word] += 1
        return self.reply(200, body)

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(getattr(request, "param", None)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


def judge(server: Server, **settings: Any) -> EndpointJudge:
    return EndpointJudge.of(OpenAIJudge(judge="openai", url=server.url, model="m", **({"concurrency": 8} | settings)))


def expected() -> pl.Series:
    return pl.Series("visible", [i % 2 == 1 for i in range(200)])


@pytest.mark.parametrize("server", [None, "429", "500", "babble", "abort", "nonsense", "cut", "slow"], indirect=True)
def test_faults_change_no_verdict_and_no_answered_word_is_asked_again(server: Server, tmp_path: Path) -> None:
    timeout = {"request_timeout_s": 0.3} if server.fault == "slow" else {}
    table = judge_concepts(WORDS, judge(server, concurrency=32, **timeout), tmp_path / "a.duckdb", 0.5)
    assert table["concept"].to_list() == WORDS
    assert table["visible"].equals(expected())
    assert table["p_visible"].is_between(0.09, 0.91).all()
    if server.fault != "slow":
        assert set(server.answered.values()) == {1}
    asked = server.asked.copy()
    again = judge_concepts(WORDS[::-1], judge(server), tmp_path / "a.duckdb", 0.5)
    assert again.reverse().equals(table)
    assert server.asked == asked


@pytest.mark.parametrize("server", ["dead"], indirect=True)
def test_a_server_that_dies_costs_only_the_words_it_did_not_answer(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no answer after 2 tries, the last one: status 500: engine dead") as caught:
        judge_concepts(WORDS, judge(server, attempts=2), tmp_path / "a.duckdb", 0.5)
    assert "\n" not in str(caught.value)
    before = server.answered.copy()
    assert len(before) >= 120
    server.fault = None
    table = judge_concepts(WORDS, judge(server), tmp_path / "a.duckdb", 0.5)
    assert table["visible"].equals(expected())
    assert set(server.answered.values()) == {1}
    assert len(server.answered) == len(WORDS)


def test_the_key_is_sent_and_never_shown(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret-key")
    judge_concepts(["word1"], judge(server, api_key_variable="A_KEY"), tmp_path / "a.duckdb", 0.5)
    assert server.keys == {"Bearer secret-key"}
    assert b"secret-key" not in (tmp_path / "a.duckdb").read_bytes()


def test_a_refusal_is_one_line_and_is_not_tried_again(tmp_path: Path) -> None:
    with Server() as server:
        server.RequestHandlerClass = Refusing
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        with pytest.raises(UserError, match=r"refused with 404: .*model `m` does not exist"):
            judge_concepts(["word1"], judge(server), tmp_path / "a.duckdb", 0.5)
        assert server.asked["refused"] == 1
        server.shutdown()


class Refusing(Handler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked["refused"] += 1
        self.reply(404, b'{"error": {"message": "the model `m` does not exist"}}')


ANSWERS = {
    "yes": [
        "yes", " Yes.", "\"YES\"", "'yes'", "Yes, a photo can show one.", "**Yes**", "yes\n\nOne can see it.", "- yes",
        "Answer: yes", "The answer is yes.", "<think>no, wait: yes or no?</think>\nyes", "no doubt, hm</think> Yes",
        "<|channel|>analysis<|message|>no?<|end|><|channel|>final<|message|>yes", "[yes]", "{yes}", "ｙｅｓ", "Yes!",
        "<thinking>no</thinking><thinking>no</thinking>yes", "yes (a thing)", "`yes`", "Final answer: **yes**",
    ],
    "no": ["no", "'no'", "NO!\n", "“no”", "No, it is an idea.", "<think>yes</think>no", "no - one cannot", "No."],
    None: [
        "", " ", "yes and no", "yes or no", "Yes/no", "no or yes", "yesterday", "not", "ja", "1", "none", "nothing", "no-one",
        "<think>yes, a boat can be seen, so", "<think>", "I would say yes", "nope", "a yes", "<think>yes</think>", "No's",
        "maybe", "...", "noyes", "\x00", "ye s",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("said", "text"), [(said, text) for said, texts in ANSWERS.items() for text in texts])
def test_a_leading_yes_or_no_is_read_and_nothing_else_is_guessed(said: str | None, text: str) -> None:
    assert read_word(text) == said
    answer = read_answer("cat", text, [])
    assert (answer.parsed, answer.answer) == (said is not None, text)
    assert answer.p == {"yes": 1.0, "no": 0.0, None: None}[said]
    assert answer.remark == ("" if said is None else "no log-probabilities")


def test_p_is_the_share_of_yes_where_the_answer_is_given() -> None:
    tops = [("Yes", -1.0), (" yes", -1.0), ("no", -1.0), ("maybe", -0.1)]
    assert read_answer("cat", "yes", [("Hm", [("Hm", -0.1)]), ("yes", tops)]).p == pytest.approx(2 / 3)
    assert read_answer("cat", "no", []).p == 0.0
    # The reasoning's own yes and no do not count, nor the alternatives of "Answer".
    thought = [("<think>", []), ("no", [("no", -0.01)]), ("</think>", []), ("yes", [("yes", -0.1), ("no", -2.4)])]
    assert read_answer("cat", "<think>no</think>yes", thought).p > 0.9
    said = [("Answer", [("no", -3.0), ("Answer", -0.1)]), (":", []), (" yes", [(" yes", -0.1), (" no", -2.4)])]
    assert read_answer("cat", "Answer: yes", said).p > 0.9
    assert share_of_yes([("yes", [("yes", float("nan")), ("no", None)])]) is None


def test_where_only_yes_or_no_may_follow_a_beginning_counts() -> None:
    """As Mixtral's vocabulary has each letter twice, as a piece and as a byte."""
    tops = [("y", -1.0), ("y", -2.0), ("yes", -3.0), ("n", -1.5), ("Zebra", -0.5), ("", -0.1)]
    tokens = [("y", tops), ("es", [("es", 0.0)])]
    yes, no = sum(math.exp(value) for value in (-1.0, -2.0, -3.0)), math.exp(-1.5)
    assert share_of_yes(tokens, constrained=True) == pytest.approx(yes / (yes + no))
    assert share_of_yes(tokens) == 1.0
