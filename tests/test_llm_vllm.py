"""A real vLLM server with the embedded model, in an environment that `envs/vllm_cpu.py` builds where it is not there."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from benchmarks.judging import cpu_server
from contrastive_concepts.config.visibility import TransformersJudge, VllmJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility import vllm_server
from contrastive_concepts.visibility.answers import AnswerStore
from contrastive_concepts.visibility.in_process import InProcessJudge
from contrastive_concepts.visibility.judging import judge_concepts
from contrastive_concepts.visibility.vllm_server import ServedJudge, VllmServer

pytestmark = pytest.mark.vllm
WORDS = ["chair", "river", "muffin", "fire hydrant", "teddy bear", "café", "honesty", "liberty", "justice", "logic"]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a folder that vLLM can read."""
    folder = tmp_path_factory.mktemp("smollm2")
    InProcessJudge(TransformersJudge(judge="transformers")).save(folder)
    return folder


@pytest.fixture
def settings(vllm_python: Path, smollm2: Path) -> Callable[..., VllmJudge]:
    return partial(cpu_server, vllm_python, smollm2, concurrency=4)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for temporary files with a path that is short enough for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def group_is_gone(group: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def test_a_model_that_is_not_there_is_one_line_with_the_servers_last_words(
    settings: Callable[..., VllmJudge], tmp_path: Path
) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"exited with code 1; .*none.*; .* \(log: .+\.log\)$") as caught:
        list(ServedJudge(settings(served_model=str(tmp_path / "none"))).ask(["cat"]))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 180


def test_a_server_killed_at_work_is_one_line_within_a_minute_and_its_answers_are_those_in_process(
    settings: Callable[..., VllmJudge], tmp_path: Path, short: Path
) -> None:
    asked = settings(form="likelihood")
    killed: list[float] = []

    class Watched(VllmServer):
        def __enter__(self) -> Self:
            server = super().__enter__()
            groups.append(server._process.pid)
            return server

    groups: list[int] = []

    def progress(done: int) -> None:
        if done >= 8 * len(WORDS) and not killed:  # the first of them are answered by now
            killed.append(time.monotonic())
            os.killpg(groups[0], signal.SIGKILL)

    words = [*WORDS, *(f"{word} {number}" for number in range(20) for word in WORDS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vllm_server, "VllmServer", Watched)
        patch.setattr(tempfile, "tempdir", str(short))
        with pytest.raises(UserError, match=r"vLLM server for .*: exited with code -9; .+") as caught:
            judge_concepts(words, ServedJudge(asked), tmp_path / "a.duckdb", 0.5, progress)
    assert time.monotonic() - killed[0] < 60
    assert "\n" not in str(caught.value)
    assert group_is_gone(groups[0], 5)
    assert [path.suffix for path in short.iterdir()] == [".log"]
    with AnswerStore(tmp_path / "a.duckdb") as store:
        served = store.known(ServedJudge(asked).answer_key, words)
    with InProcessJudge(TransformersJudge(judge="transformers")) as judge:
        here = {a.word: a for batch in judge.ask(WORDS) for a in batch}
    assert [(served[word].p or 0) >= 0.5 for word in WORDS] == [True] * 6 + [False] * 4
    for word in WORDS:
        assert float(served[word].answer) == pytest.approx(float(here[word].answer), abs=0.02)
        assert (served[word].p or 0) == pytest.approx(here[word].p, abs=0.005)


OWNER = """
import sys, time
from contrastive_concepts.config.visibility import VllmJudge
from contrastive_concepts.visibility.vllm_server import VllmServer
server = VllmServer(VllmJudge.model_validate_json(sys.argv[1]))
server._wait_until_ready = lambda port: None
with server:
    print(server._process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_server(settings: Callable[..., VllmJudge], number: signal.Signals, short: Path) -> None:
    command = [sys.executable, "-c", OWNER, settings().model_dump_json()]
    environment = {**os.environ, "TMPDIR": str(short)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        group = int(owner.stdout.readline())
        time.sleep(5)
        owner.send_signal(number)
        assert list(short.glob("vllm-*/server.log"))
        owner.wait()
        assert group_is_gone(group, 30)
    deadline = time.monotonic() + 30
    while list(short.glob("vllm-*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not list(short.glob("vllm-*"))
