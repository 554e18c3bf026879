"""Servers as they are in the wild: fields they refuse, answers they withhold, words they filter, proxies in between."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.config.visibility import OpenAIJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility import client
from contrastive_concepts.visibility.answers import Answer
from contrastive_concepts.visibility.client import is_loopback, sendable_key
from contrastive_concepts.visibility.endpoint import EndpointJudge
from contrastive_concepts.visibility.judging import judge_concepts

Json = dict[str, Any]
Reply = tuple[int, Any]


class OddServer(ThreadingHTTPServer):
    """Answers with what `behave` makes of a request; keeps the requests."""

    daemon_threads = True

    def __init__(self, behave: Callable[[Json], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave, self.requests, self.paths = behave, [], []

    def handle_error(self, *_: Any) -> None:
        """Quiet."""


class _Handler(BaseHTTPRequestHandler):
    server: OddServer

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(payload)
        self.server.paths.append(self.path)
        status, body = self.server.behave(payload)
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Json], Reply]], OddServer]]:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.001)
    servers = []

    def start(behave: Callable[[Json], Reply]) -> OddServer:
        servers.append(OddServer(behave))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def judge(server: OddServer, path: str = "/v1", **settings: Any) -> EndpointJudge:
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return EndpointJudge.of(OpenAIJudge(judge="openai", url=url, model="m", concurrency=2, attempts=3, **settings))


def ask(server: OddServer, *words: str, **settings: Any) -> list[Answer]:
    found = {answer.word: answer for batch in judge(server, **settings).ask(words) for answer in batch}
    return [found[word] for word in words]


def choice(content: Any = "yes", reason: Any = "stop", **more: Any) -> Json:
    return {"choices": [{"index": 0, "finish_reason": reason, "message": {"content": content} | more}]}


REASONS = ["stop", "length", "eos_token", "end_turn", "STOP", "model_length", "tool_calls", "content_filter", None, 7]


@pytest.mark.parametrize("reason", REASONS)
def test_a_text_is_read_whatever_the_reason_that_it_ends(serve: Any, reason: Any) -> None:
    server = serve(lambda payload: (200, choice("Yes", reason)))
    [answer] = ask(server, "boat")
    assert (answer.p, answer.parsed, len(server.requests)) == (1.0, True, 1)


NO_TEXT = [
    choice(None, "length", reasoning_content="Let me think about"),
    choice(None, "content_filter"),
    choice("", "stop"),
    choice("  ", "stop"),
    choice(None, None, refusal="I cannot help with that."),
    choice([], "stop"),
    {"choices": [{"finish_reason": "content_filter", "message": {}}]},
]


@pytest.mark.parametrize("body", NO_TEXT)
def test_no_text_is_unparsed_for_that_word_recorded_and_not_asked_again(serve: Any, tmp_path: Path, body: Json) -> None:
    def behave(payload: Json) -> Reply:
        return 200, body if "'gun'" in json.dumps(payload) or "gun" in payload["messages"][0]["content"] else choice()

    server = serve(behave)
    for _ in range(2):
        table = judge_concepts(["boat", "gun", "sky"], judge(server), tmp_path / "a.duckdb", 0.5)
        assert table["parsed"].to_list() == [True, False, True]
        assert table["remark"][1].startswith("no text")
        assert len(server.requests) == 3


FILTERS = [
    (400, {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400}}),
    (400, {"error": {"message": "triggering Azure OpenAI's content management policy", "param": "prompt"}}),
    (400, {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content"}}),
    (403, {"error": {"code": "moderation_blocked", "message": "Your input was flagged by moderation"}}),
]


@pytest.mark.parametrize("reply", FILTERS)
def test_a_word_that_the_server_filters_is_unparsed_and_the_others_are_judged(serve: Any, reply: Reply) -> None:
    server = serve(lambda payload: reply if "gun" in payload["messages"][0]["content"] else (200, choice()))
    boat, gun, sky = ask(server, "boat", "gun", "sky")
    assert (boat.parsed, gun.parsed, sky.parsed) == (True, False, True)
    assert "filter" in gun.remark
    assert len(server.requests) == 3


def refusing(*fields: str, say: Callable[[str], Reply]) -> Callable[[Json], Reply]:
    def behave(payload: Json) -> Reply:
        refused = next((field for field in fields if field in payload), None)
        return say(refused) if refused else (200, choice())

    return behave


SAYINGS: list[Callable[[str], Reply]] = [
    lambda f: (400, {"error": {"message": f"Unsupported parameter: '{f}' is not supported.", "param": f}}),
    lambda f: (400, {"error": {"message": f"Unrecognized request argument supplied: {f}", "param": None}}),
    lambda f: (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", f], "msg": "Extra inputs"}]}),
    lambda f: (403, {"error": {"message": f"You are not allowed to request {f} from this model"}}),
    lambda f: (400, {"error": {"message": "Bad Request"}}),
    lambda f: (400, "not even JSON"),
]


@pytest.mark.parametrize("say", SAYINGS)
@pytest.mark.parametrize(
    "fields", [("structured_outputs",), ("top_logprobs",), ("logprobs", "top_logprobs"), ("temperature",)]
)
def test_a_refused_field_is_left_out_once_found_and_the_record_says_so(
    serve: Any, say: Callable[[str], Reply], fields: tuple[str, ...]
) -> None:
    server = serve(refusing(*fields, say=say))
    words = [f"w{number}" for number in range(20)]
    answers = ask(server, *words)
    assert all(answer.parsed for answer in answers)
    assert all(f"without {field}" in answer.remark for answer in answers for field in fields)
    # At most both of two at once find it out.
    assert len(server.requests) <= 20 + 2 * 6


def test_max_tokens_takes_its_new_name(serve: Any) -> None:
    server = serve(refusing("max_tokens", say=SAYINGS[0]))
    [answer] = ask(server, "boat")
    assert server.requests[-1]["max_completion_tokens"] == 8
    assert "max" not in answer.remark


def test_what_is_refused_for_another_reason_ends_with_the_first_refusal(serve: Any) -> None:
    server = serve(lambda payload: (400, {"error": {"message": "the prompt is too long"}}))
    with pytest.raises(UserError, match=r"refused with 400: .*the prompt is too long"):
        ask(server, "boat")
    assert len(server.requests) <= 7  # once whole, then without each field


def test_an_address_without_v1_gets_a_hint(serve: Any) -> None:
    server = serve(lambda payload: (404, {"detail": "Not Found"}))
    with pytest.raises(UserError, match=r"404.*does not end in /v1"):
        ask(server, "boat", path="")


def test_an_address_keeps_its_query(serve: Any) -> None:
    server = serve(lambda payload: (200, choice()))
    ask(server, "boat", path="/v1?api-version=2024-10-21")
    assert server.paths == ["/v1/chat/completions?api-version=2024-10-21"]


@pytest.mark.parametrize(
    "content", [[{"type": "text", "text": "yes"}], [{"type": "text", "text": "ye"}, {"text": "s"}]]
)
def test_a_text_in_parts_is_read(serve: Any, content: Any) -> None:
    [answer] = ask(serve(lambda payload: (200, choice(content))), "boat")
    assert answer.p == 1.0


@pytest.mark.parametrize(
    "logprobs", [None, {}, {"content": None}, {"content": [{"token": "yes"}]}, {"content": ["x"]}, [1]]
)
def test_strange_log_probabilities_are_none(serve: Any, logprobs: Any) -> None:
    body = choice()
    body["choices"][0]["logprobs"] = logprobs
    [answer] = ask(serve(lambda payload: (200, body)), "boat")
    assert (answer.p, answer.remark) == (1.0, "no log-probabilities")


BROKEN = ["<html>", "[]", "{}", '{"choices": []}', '{"choices": [null]}', '{"error": {"message": "busy"}}', ""]


@pytest.mark.parametrize("body", BROKEN)
def test_what_holds_no_choice_is_tried_again_and_then_one_line(serve: Any, body: str) -> None:
    server = serve(lambda payload: (200, body))
    with pytest.raises(UserError, match="no answer after 3 tries") as caught:
        ask(server, "boat")
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 3


def test_likelihood_of_a_server_without_echo_is_one_line(serve: Any) -> None:
    server = serve(lambda payload: (200, {"choices": [{"index": 0, "text": "", "logprobs": None}]}))
    with pytest.raises(UserError, match=r"likelihood: .*echo"):
        list(judge(server).log_likelihoods(["boat"]))
    assert len(server.requests) == 1


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_loopback_is_reached_past_a_proxy(serve: Any, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(variable, f"http://127.0.0.1:{closed.getsockname()[1]}")
        [answer] = ask(serve(lambda payload: (200, choice())), "boat")
    assert answer.parsed


def test_other_hosts_are_reached_through_the_proxy(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda payload: (200, choice()))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    asking = EndpointJudge.of(OpenAIJudge(judge="openai", url="http://models.example/v1", model="m", attempts=1))
    assert [answer.parsed for batch in asking.ask(["boat"]) for answer in batch] == [True]
    assert server.paths == ["http://models.example/v1/chat/completions"]


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.8.9.1", "localhost", "LOCALHOST.", "::1", "[::1]", "a.localhost"]))
    assert not any(map(is_loopback, ["10.0.0.1", "example.org", "127.0.0.1.example", "::2", "localhost.example"]))


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://h/v1", "http://", "http://[::1/v1", "not an address", ""])
def test_what_is_no_address_is_one_line(url: str) -> None:
    with pytest.raises(UserError, match="not an address") as caught:
        EndpointJudge.of(OpenAIJudge(judge="openai", url=url, model="m"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", ["sk-SECRET\n", " sk-SECRET", "sk-SECRET\r\n", "\tsk-SECRET\t", "\ufeffsk-SECRET"])
def test_white_space_around_a_key_is_taken_off(raw: str) -> None:
    assert sendable_key(raw, "K") == "sk-SECRET"


@pytest.mark.parametrize(
    "raw", ["sk-SECR\nET12", "sk-SECRÉT1", "sk-SE CRET1", "sk-\x00SECRET", "“sk-SECRET”", "sk-\x7fSECRET"]
)
def test_a_key_that_no_header_takes_is_one_line_without_it(raw: str) -> None:
    with pytest.raises(UserError, match=r"^K: character \d+ of \d+ is .*, expected a key") as caught:
        sendable_key(raw, "K")
    assert "SECR" not in str(caught.value)
    assert sendable_key("  \n", "K") is None
