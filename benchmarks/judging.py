"""Measures the speed of the judges in words per second: a vLLM server, a language model and an encoder in process."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from contrastive_concepts.config.visibility import EmbeddingJudge, TransformersJudge, VllmJudge
from contrastive_concepts.visibility.client import Client
from contrastive_concepts.visibility.embedding import WORDS_AT_A_TIME, EncodedJudge
from contrastive_concepts.visibility.endpoint import EndpointJudge
from contrastive_concepts.visibility.in_process import InProcessJudge
from contrastive_concepts.visibility.judging import Judge
from contrastive_concepts.visibility.vllm_server import VllmServer

AT_ONCE = (1, 8, 64)
WARM_UP = 8
EMBEDDED = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Throughput:
    """Words per second. at_once: number of concurrent requests, or batch size in process.

    load: the machine's load average at the end. If it exceeds the number of cores, other processes used some of them.
    """

    judge: str
    form: str
    at_once: int
    words: int
    seconds: float
    load: float

    @property
    def words_per_second(self) -> float:
        return self.words / self.seconds


def cpu_server(python: Path, weights: Path, **changed: object) -> VllmJudge:
    """Settings of a vLLM server on the CPU with the embedded model. weights: written by `InProcessJudge.save`."""
    arguments = "--dtype float32 --max-model-len 512 --enforce-eager --gpu-memory-utilization 0.3 --max-logprobs 20"
    values: dict[str, object] = {
        "judge": "vllm",
        "model": EMBEDDED,
        "served_model": str(weights),
        "python": str(python),
        "gpus": 0,
        "arguments": arguments.split(),
        "environment": {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        "start_timeout_s": 600,
    }
    return VllmJudge.model_validate(values | changed)


def measure_judges(words: Sequence[str], server_settings: VllmJudge | None) -> Iterator[Throughput]:
    """Measure each judge at each batch size or concurrency on the same words, in sequence. None skips the server."""
    if server_settings is not None:
        with VllmServer(server_settings) as server:
            for form in ("yes_no", "likelihood"):
                for at_once in AT_ONCE:
                    settings = server_settings.model_copy(update={"form": form, "concurrency": at_once})
                    client = Client(server.url, timeout_s=600, concurrency=at_once, check=server.check)
                    with closing(client):
                        yield _measure(EndpointJudge(settings, "vllm", client), form, at_once, words)
    for at_once in AT_ONCE:
        with InProcessJudge(TransformersJudge(judge="transformers", batch_size=at_once)) as judge:
            yield _measure(judge, "likelihood", at_once, words)
    embedding = EncodedJudge(EmbeddingJudge(judge="embedding"))
    yield _measure(embedding, "log-odds", WORDS_AT_A_TIME, words)


def _measure(judge: Judge, form: str, at_once: int, words: Sequence[str]) -> Throughput:
    list(judge.ask(words[:WARM_UP]))
    measured = words[WARM_UP:]
    started = time.perf_counter()
    answered = sum(len(batch) for batch in judge.ask(measured))
    seconds = time.perf_counter() - started
    return Throughput(judge.answer_key.judge, form, at_once, answered, seconds, os.getloadavg()[0])
