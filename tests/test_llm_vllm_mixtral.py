"""Mixtral's architecture, tokeniser and template with random weights on a real vLLM, as the shipped settings ask it."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from contrastive_concepts import ContrastiveConcepts
from contrastive_concepts.config.load import read_config
from contrastive_concepts.config.visibility import FOUR_BIT, MIXTRAL, VllmJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility.answers import Answer
from contrastive_concepts.visibility.client import Client, Json, Refused
from contrastive_concepts.visibility.endpoint import EndpointJudge
from contrastive_concepts.visibility.prompts import load_prompt
from contrastive_concepts.visibility.vllm_install import check_arguments
from contrastive_concepts.visibility.vllm_server import ServedJudge, VllmServer

from .conftest import ROOT
from .project import Project
from .tiny_mixtral import write_mistral_tokenizer, write_weights

pytestmark = pytest.mark.vllm
WORDS = ["chair", "river", "fire hydrant", "teddy bear", "café", "honesty", "liberty", "logic"]
ENVIRONMENT = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}


@pytest.fixture(scope="module")
def weights(vllm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_weights(tmp_path_factory.mktemp("tiny") / "mixtral")
    write_mistral_tokenizer(folder, vllm_python)
    return folder


def judge(python: Path, served_model: Path | str | None, **settings: Any) -> VllmJudge:
    """The shipped settings on a processor; eager, as compiling takes a minute."""
    values = {
        "judge": "vllm",
        "python": str(python),
        "served_model": None if served_model is None else str(served_model),
        "gpus": 0,
        "environment": ENVIRONMENT,
        "start_timeout_s": 600,
        "arguments": [*VllmJudge(judge="vllm").arguments, "--enforce-eager"],
    }
    return VllmJudge.model_validate(values | settings)


@pytest.fixture(scope="module")
def server(vllm_python: Path, weights: Path) -> Iterator[VllmServer]:
    with VllmServer(judge(vllm_python, weights)) as server:
        yield server


class Counting(Client):
    """Notes the path of each request; `missing`: a path that the server is said not to have."""

    def __init__(self, url: str, missing: str = "") -> None:
        super().__init__(url, timeout_s=600)
        self.paths: list[str] = []
        self.missing = missing

    def post(self, path: str, payload: Any, whole: Any) -> Json:
        self.paths.append(path)
        if path == self.missing:
            raise Refused("not found", 404, "")
        return super().post(path, payload, whole)


def asked(
    server: VllmServer, settings: VllmJudge, words: list[str], missing: str = ""
) -> tuple[dict[str, Answer], list[str]]:
    with closing(Counting(server.url, missing)) as client:
        answers = [a for batch in EndpointJudge(settings, "vllm", client).ask(words) for a in batch]
    return {answer.word: answer for answer in answers}, client.paths


def test_lists_single_words_and_the_raw_template_give_the_same_answers(
    server: VllmServer, vllm_python: Path, weights: Path
) -> None:
    lists, paths = asked(server, judge(vllm_python, weights), WORDS)
    assert paths == ["chat/completions/batch"]
    assert all(a.parsed and a.answer in ("yes", "no") and a.remark == "" for a in lists.values())
    single, paths = asked(server, judge(vllm_python, weights, concurrency=1), WORDS)
    assert paths == ["chat/completions"] * len(WORDS)
    raw, paths = asked(server, judge(vllm_python, weights, api="completion"), WORDS)
    assert paths == ["completions"]
    older, paths = asked(server, judge(vllm_python, weights), WORDS, "chat/completions/batch")
    assert paths == ["chat/completions/batch", *["chat/completions"] * len(WORDS)]
    begun = shares_in_process(weights)
    for other in ({word: answer.p for word, answer in found.items()} for found in (single, older)):
        assert {word: answer.p for word, answer in lists.items()} == pytest.approx(other, abs=0.05)
    # The same text; of alternatives with the same letters, which this vocabulary has, /completions tells one alone.
    assert {word: answer.answer for word, answer in raw.items()} == {word: a.answer for word, a in lists.items()}
    # bfloat16: another kernel rounds otherwise.
    assert {word: answer.p for word, answer in lists.items()} == pytest.approx(begun, abs=0.05)
    assert len({round(share, 2) for share in begun.values()}) > 3


def shares_in_process(weights: Path) -> dict[str, float]:
    """The share of tokens that begin "yes" among those that begin "yes" or "no", with transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.bfloat16).eval()
    # Mixtral's vocabulary holds each letter twice: as a piece, and as a byte.
    beginnings = {"yes": ["y", "<0x79>", "ye", "yes"], "no": ["n", "<0x6E>", "no"]}
    ids = {word: tokenizer.convert_tokens_to_ids(pieces) for word, pieces in beginnings.items()}
    found = {}
    for word in WORDS:
        prompt = f"<s> [INST] {load_prompt('prompts/visible.txt').fill(word)} [/INST]"
        inputs = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            logits = model(inputs).logits[0, -1].float()
        yes, no = (torch.logsumexp(logits[ids[said]], 0) for said in ("yes", "no"))
        found[word] = float(torch.sigmoid(yes - no))
    return found


def test_a_list_keeps_the_server_busier_than_single_words(
    server: VllmServer, vllm_python: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{word} {number}" for number in range(64) for word in WORDS]
    rates = {}
    for width in (64, 512):
        settings = judge(vllm_python, weights, concurrency=width)
        for missing in ("chat/completions/batch", ""):
            started = time.monotonic()
            answers, paths = asked(server, settings, words, missing)
            assert len(answers) == len(words)
            rates[width, bool(missing)] = len(words) / (time.monotonic() - started)
            with capsys.disabled():
                print(f"\n{width} words at once, {len(paths)} requests: {rates[width, bool(missing)]:.0f} words/s")
        words = [f"{word}s" for word in words]  # no answer from the cache of prefixes
    assert rates[512, False] > rates[64, True] / 2


def test_text_is_written_without_constraint(server: VllmServer, vllm_python: Path, weights: Path) -> None:
    with closing(Client(server.url, timeout_s=600)) as client:
        written = dict(EndpointJudge(judge(vllm_python, weights), "vllm", client).write({"dog": "Say hello."}))
    assert written["dog"].strip()


@pytest.mark.parametrize("quantization", [None, "fp8", "int8_per_channel_weight_only"])
def test_vllms_own_parser_takes_what_the_settings_and_the_documents_name(
    quantization: str | None, vllm_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("laion400m", "paper"):
        shipped = read_config(ROOT / "config" / f"{name}.yaml").visibility
        assert isinstance(shipped, VllmJudge)
        assert (shipped.weights, shipped.quantization) == (FOUR_BIT[MIXTRAL], None)
        update = {"python": str(vllm_python), "gpus": 0, "quantization": quantization}
        check_arguments(shipped.model_copy(update=update))
    kept = json.loads(next(tmp_path.rglob("*.json")).read_text())
    assert {"awq", "awq_marlin", "gptq_marlin", "compressed-tensors", "fp8"} <= set(kept["methods"])
    assert "bitsandbytes" not in kept["methods"]


def test_weights_that_a_processor_cannot_load_are_a_line_with_the_cause(vllm_python: Path, tmp_path: Path) -> None:
    folder = write_weights(tmp_path / "awq", "awq")
    write_mistral_tokenizer(folder, vllm_python)
    said = None
    try:
        list(ServedJudge(judge(vllm_python, folder), tmp_path / "server.log").ask(["cat"]))
    except UserError as error:
        said = str(error)
    if said is None:
        # Seen on an Intel processor with AMX; an AMD one could not.
        pytest.skip("this processor loads experts of 4 bit")
    assert re.search(r"No WNA16 MoE backend supports .*; this vLLM cannot load .* \(log: ", said)
    assert "\n" not in said
    assert "Traceback" in (tmp_path / "server.log").read_text()


def test_the_papers_configuration_runs_from_captions_to_dictionary(
    vllm_python: Path, weights: Path, captions_dir: Path, lists_dir: Path, tmp_path: Path
) -> None:
    """`config/laion400m.yaml` with shards of RedCaps, the small model and an encoder that is on this machine."""
    project = Project(tmp_path)
    config = yaml.safe_load((ROOT / "config" / "laion400m.yaml").read_text())
    config["captions"]["shards"] = [str(captions_dir / "redcaps_explore_0[01].parquet")]
    config["vocabulary"]["path"] = str(lists_dir / "ram_tag_list.txt")
    config["visibility"] = judge(vllm_python, weights).model_dump(exclude_defaults=True) | {"judge": "vllm"}
    config["similarity"] = project.config["similarity"]
    project.config = config
    said = project.snakemake("dictionary")
    results = tmp_path / "results" / "laion400m"
    verdicts = pl.read_parquet(results / "visibility" / "visibility.parquet")
    assert verdicts["parsed"].all()
    assert verdicts["weights"].unique().to_list() == [str(weights)]
    assert 0 < verdicts["visible"].sum() < verdicts.height
    manifest = ContrastiveConcepts.load(results / "dictionary").manifest
    assert manifest.judge["model"] == [MIXTRAL]
    assert manifest.judge["weights"] == [str(weights)]
    [ready] = (results / "visibility").glob("judge-*.json")
    assert json.loads(ready.read_text())["gpus"] == []
    # What the machine lacks would have been said before the captions are counted.
    assert said.index("rule judge_ready:") < said.index("rule match_shards:")
