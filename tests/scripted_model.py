"""A language model behind an OpenAI-compatible server that answers the paper's three prompts from a script."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from contrastive_concepts.visibility.prompts import load_prompt


class ScriptedModel(ThreadingHTTPServer):
    """Counts what it is asked; `limit`: from so many answers on it says 500 to everything."""

    daemon_threads = True

    def __init__(self, unseen: set[str], lists: Mapping[str, Mapping[str, str]], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Answering)
        self.unseen, self.lists = unseen, lists
        self.asked: Counter[tuple[str, str]] = Counter()
        self.limit: int | None = None
        self._lock = threading.Lock()

    def answer(self, content: str) -> str | None:
        with self._lock:
            if self.limit is not None and self.asked.total() >= self.limit:
                return None
            for kind in ("visible", "contrastive", "parts"):
                before, after = load_prompt(f"prompts/{kind}.txt").text.split("{q}")
                if content.startswith(before) and content.endswith(after):
                    word = content.removeprefix(before).removesuffix(after)
                    self.asked[kind, word] += 1
                    if kind == "visible":
                        return "no" if word in self.unseen else "yes"
                    return self.lists[kind].get(word, "I cannot list any such thing.")
        raise AssertionError(content)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""

    @property
    def judge(self) -> dict[str, object]:
        """The settings of `visibility` that ask it."""
        return {"judge": "openai", "url": f"http://127.0.0.1:{self.server_port}/v1", "model": "scripted", "attempts": 2}


class _Answering(BaseHTTPRequestHandler):
    server: ScriptedModel

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.answer(asked["messages"][0]["content"])
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": answer}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(500 if answer is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def scripted_model(
    unseen: set[str], kind: type[ScriptedModel] = ScriptedModel, **lists: Mapping[str, str]
) -> Iterator[ScriptedModel]:
    """A running server; lists: for `contrastive` and `parts`, word -> the model's whole answer."""
    with kind(unseen, lists) as model:
        threading.Thread(target=model.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield model
        model.shutdown()
