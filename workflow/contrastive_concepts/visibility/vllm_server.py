"""A vLLM server as a child process: started for the words to ask, stopped in every case."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from contrastive_concepts.config.visibility import VllmJudge
from contrastive_concepts.credentials import redact, reveal
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer, AnswerKey
from contrastive_concepts.visibility.client import Client
from contrastive_concepts.visibility.endpoint import EndpointJudge, answer_key_of
from contrastive_concepts.visibility.server_log import cause_of

TERM_S = 10.0
POLL_S = 0.3
PORT_TRIES = 3
SHORT_PLACE, LONGEST_PLACE = "/tmp", 56
"""A socket's path has at most 107 bytes, of which 51 name its folder and its file."""
WATCHDOG = """
import os, shutil, signal, sys, time
sys.stdin.buffer.read()
for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 0)):
    try:
        os.killpg(int(sys.argv[1]), number)
    except ProcessLookupError:
        break
    time.sleep(seconds)
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""
"""Runs in a process that outlives this one: when this one dies, the pipe closes, and it kills the server's group and
removes its folder."""


class ServedJudge:
    """Starts the server when the first word is asked."""

    def __init__(self, settings: VllmJudge, log: Path | None = None) -> None:
        self._settings, self._log = settings, log
        self._judge: EndpointJudge | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens that the model has read and written since the last start of the server."""
        return self._judge.tokens if self._judge else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Does nothing: no resources are held between calls of `ask`."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Backend, model and revision, as stored with the answers."""
        return "vllm", self._settings.model, self._settings.revision

    @property
    def answer_key(self) -> AnswerKey:
        """Everything that the answers depend on, except the word."""
        return answer_key_of(self._settings, "vllm")

    def ask(self, words: Sequence[str]) -> Iterator[list[Answer]]:
        """Answers in the order of arrival. The server runs during this iteration. Raises UserError if it dies."""
        if words:
            with self._served() as judge:
                yield from judge.ask(words)

    def log_likelihoods(self, words: Sequence[str]) -> Iterator[tuple[list[str], list[list[float]]]]:
        """As `EndpointJudge.log_likelihoods`, with a server that runs during this iteration."""
        if words:
            with self._served() as judge:
                yield from judge.log_likelihoods(words)

    def write(self, prompts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """As `EndpointJudge.write`, with a server that runs during this iteration."""
        if prompts:
            with self._served() as judge:
                yield from judge.write(prompts)

    @contextmanager
    def _served(self) -> Iterator[EndpointJudge]:
        settings = self._settings
        with VllmServer(settings, self._log) as server:
            client = Client(
                server.url,
                timeout_s=settings.request_timeout_s,
                attempts=settings.attempts,
                concurrency=settings.concurrency,
                check=server.check,
            )
            with closing(client):
                self._judge = EndpointJudge(settings, "vllm", client)
                yield self._judge


class VllmServer:
    """vLLM's OpenAI server on a free loopback port, in its own process group. A context manager.

    log: file for the output of a failed server, without credentials; None for a temporary file.
    """

    def __init__(self, settings: VllmJudge, log: Path | None = None) -> None:
        self._settings = settings
        self._weights = os.path.expanduser(settings.weights)
        self._kept = log or Path(tempfile.gettempdir()) / f"contrastive-concepts-vllm-{os.getpid()}.log"
        self.url = ""

    def __enter__(self) -> Self:
        for remaining in reversed(range(PORT_TRIES)):
            try:
                self._start()
                return self
            except UserError as error:
                self.stop()
                # Another process may take the free port before the server does.
                if not remaining or "ddress already in use" not in str(error):
                    raise
            except BaseException:
                self.stop()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raises UserError with the cause if the server has exited, even with code 0."""
        code = self._process.poll()
        if code is not None:
            raise self._failure(f"exited with code {code}", code)

    def stop(self) -> None:
        """Send TERM, then KILL, to the whole process group. Otherwise the engine and its workers outlive the server."""
        if not hasattr(self, "_process"):
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(TERM_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._watchdog.stdin:
            self._watchdog.stdin.close()
        self._watchdog.wait()
        self._log.close()
        self._folder.cleanup()
        del self._process

    def _start(self) -> None:
        settings = self._settings
        python = shutil.which(os.path.expanduser(settings.python))
        if python is None:
            raise UserError(
                f"config: visibility.python: {settings.python!r} not found, expected the Python of vLLM's environment"
            )
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        # Not `vllm serve`: it does not work with the CPU build, whose package has another name.
        command = [python, "-m", "vllm.entrypoints.openai.api_server"]
        command += [
            "--model",
            self._weights,
            "--served-model-name",
            settings.model,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        command += own_arguments(settings)
        # For its log and its sockets, which vLLM itself leaves behind.
        self._folder = tempfile.TemporaryDirectory(prefix="vllm-", dir=_place_of_sockets(), ignore_cleanup_errors=True)
        self._log = (Path(self._folder.name) / "server.log").open("wb")
        sockets = {"VLLM_RPC_BASE_PATH": self._folder.name}
        self._process = subprocess.Popen(
            [*command, *map(reveal, settings.arguments)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**sockets, **os.environ, **{name: reveal(value) for name, value in settings.environment.items()}},
            start_new_session=True,
        )
        self._watchdog = subprocess.Popen(
            [sys.executable, "-S", "-c", WATCHDOG, str(self._process.pid), self._folder.name],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._wait_until_ready(port)

    def _wait_until_ready(self, port: int) -> None:
        deadline = time.monotonic() + self._settings.start_timeout_s
        # The server is on this machine: use no proxy.
        with httpx.Client(timeout=5.0, trust_env=False) as http:
            while time.monotonic() < deadline:
                self.check()
                with suppress(httpx.HTTPError):
                    if http.get(f"http://127.0.0.1:{port}/health").is_success:
                        self._check_model(http.get(f"{self.url}/models").json()["data"][0])
                        return
                time.sleep(POLL_S)
        raise self._failure(f"not ready after {self._settings.start_timeout_s:g} s", None)

    def _check_model(self, found: dict[str, str]) -> None:
        """Raises UserError if another server answers, which can happen if it took the port first."""
        if (found["id"], found.get("root")) != (self._settings.model, self._weights):
            raise UserError(
                f"{self.url}: found a server of {found.get('root')!r} as {found['id']!r},"
                f" expected {self._weights!r} as {self._settings.model!r}: address already in use"
            )

    def _failure(self, what: str, code: int | None) -> UserError:
        """An error with the cause in one line and the path of the complete log, which is saved."""
        log = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
        kept = f" (log: {self._kept})"
        try:
            self._kept.write_text(redact(log), encoding="utf-8")
        except OSError:
            kept = ""
        return UserError(f"vLLM server for {self._weights!r}: {what}; {cause_of(log, code)}{kept}")


def own_arguments(settings: VllmJudge) -> list[str]:
    """The server's arguments that have settings of their own in the configuration."""
    arguments = ["--tensor-parallel-size", str(settings.gpus)] if settings.gpus > 1 else []
    if settings.weights_revision:
        arguments += ["--revision", settings.weights_revision]
    if settings.quantization:
        arguments += ["--quantization", settings.quantization]
    return arguments


def _place_of_sockets() -> str:
    """The folder for temporary files, or /tmp where the path of a socket below it would be too long."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= LONGEST_PLACE or not os.access(SHORT_PLACE, os.W_OK) else SHORT_PLACE


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
