"""What is said of vLLM's settings before a run, with a stand-in for the Python of vLLM's environment."""

import json
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.config.visibility import FOUR_BIT, MIXTRAL, VllmJudge
from contrastive_concepts.errors import UserError
from contrastive_concepts.visibility import vllm_install
from contrastive_concepts.visibility.endpoint import answer_key_of, weights_of
from contrastive_concepts.visibility.vllm_install import check_arguments, check_machine
from contrastive_concepts.visibility.vllm_server import own_arguments

from .project import Project

PYTHON = """#!/usr/bin/env python3
import json, pathlib, sys
said, code = json.loads(pathlib.Path({said!r}).read_text()), sys.argv[-1]
kind = "version" if "metadata.version" in code else "gpus" if "get_device_properties" in code else "arguments"
with open({asked!r}, "a") as file:
    file.write(kind + "\\n")
print(said[kind] if kind == "version" else "noise\\n" + json.dumps(said[kind]))
"""
A100 = ["NVIDIA A100 80GB", 85 * 10**9, 80]
V100 = ["Tesla V100", 32 * 10**9, 70]
KNOWN = {"device": "cuda", "methods": ["awq", "fp8"], "method": None, "capability": 75}


class Installed:
    """An environment with a vLLM that says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.python, self._said, self._asked = folder / "python", folder / "said.json", folder / "asked"
        self.python.write_text(PYTHON.format(said=str(self._said), asked=str(self._asked)))
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self.says()

    def says(self, version: str = "0.32.0", gpus: Any = (A100,), **arguments: Any) -> None:
        self._said.write_text(json.dumps({"version": version, "gpus": gpus, "arguments": KNOWN | arguments}))

    @property
    def asked(self) -> list[str]:
        return self._asked.read_text().split()

    def judge(self, **settings: Any) -> VllmJudge:
        return VllmJudge(judge="vllm", python=str(self.python), **settings)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Installed(tmp_path)


def test_what_was_accepted_is_not_asked_again(installed: Installed) -> None:
    for _ in range(2):
        check_arguments(installed.judge())
    assert installed.asked.count("arguments") == 1
    check_arguments(installed.judge(arguments=["--max-model-len", "1024"]))
    assert installed.asked.count("arguments") == 2
    installed.says(version="0.33.0")
    check_arguments(installed.judge())
    assert installed.asked.count("arguments") == 3


@pytest.mark.parametrize(
    ("said", "settings", "message"),
    [
        (
            {"problem": "unrecognized arguments: --nope"},
            {},
            r"vLLM 0.32.0 says of its arguments: unrecognized arguments: --nope",
        ),
        (
            {"method": "bitsandbytes"},
            {},
            r"no quantization 'bitsandbytes'; it is a plugin .*, expected one of awq, fp8",
        ),
        ({"method": "awk"}, {}, r"no quantization 'awk', expected one of awq, fp8"),
        ({"device": "cpu"}, {}, r"built for the processor, expected visibility.gpus: 0, found 1"),
    ],
)
def test_what_vllm_does_not_take_is_a_line(
    said: dict[str, Any], settings: dict[str, Any], message: str, installed: Installed
) -> None:
    installed.says(**said)
    for check in (check_arguments, check_machine):
        with pytest.raises(UserError, match=message) as caught:
            check(installed.judge(**settings))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gpus", "settings", "message"),
    [
        ([], {}, r"visibility.gpus: found 0 here that vLLM's Python can use, expected 1"),
        ([A100], {"gpus": 2}, r"visibility.gpus: found 1 here .*, expected 2"),
        ([V100], {}, r"Tesla V100 has compute capability 7.0, expected 7.5 or more"),
    ],
)
def test_what_the_machine_lacks_is_a_line(
    gpus: list[Any], settings: dict[str, Any], message: str, installed: Installed
) -> None:
    installed.says(gpus=gpus)
    with pytest.raises(UserError, match=message):
        check_machine(installed.judge(**settings))


def test_weights_that_do_not_fit_are_told_before_they_are_read(installed: Installed, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(90 * 10**9)
    with pytest.raises(UserError, match=r"holds 90.0 GB of weights, expected less than the 78.2 GB that 1 GPU"):
        check_machine(installed.judge(served_model=str(folder)))
    installed.says(gpus=[A100, A100])
    version, gpus = check_machine(installed.judge(served_model=str(folder), gpus=2))
    assert (version, [gpu.name for gpu in gpus]) == ("0.32.0", ["NVIDIA A100 80GB"] * 2)


def test_without_vllm_the_arguments_pass_and_the_machine_does_not(tmp_path: Path, installed: Installed) -> None:
    installed.says(version="")
    check_arguments(installed.judge())
    with pytest.raises(UserError, match=r"no vLLM in the environment of '.*python'"):
        check_machine(installed.judge())
    absent = VllmJudge(judge="vllm", python=str(tmp_path / "none"))
    check_arguments(absent)
    with pytest.raises(UserError, match=r"visibility.python: '.*none' not found"):
        check_machine(absent)


def test_a_python_that_fails_is_a_line(installed: Installed) -> None:
    installed.python.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    with pytest.raises(UserError, match=r"visibility.python: '.*python' fails \(broken\)"):
        check_arguments(installed.judge())


def test_a_python_that_says_something_else_is_a_line(installed: Installed) -> None:
    installed.python.write_text("#!/bin/sh\necho 0.32.0\necho hello\n")
    with pytest.raises(UserError, match=r"python' says 0.32.0 hello, expected to be asked about its vLLM"):
        check_arguments(installed.judge())


def test_weights_are_part_of_the_answer_key() -> None:
    def weights(**settings: Any) -> str:
        judge = VllmJudge(judge="vllm", **settings)
        assert answer_key_of(judge, "vllm").weights == weights_of(judge)
        return weights_of(judge)

    assert weights() == FOUR_BIT[MIXTRAL]
    assert weights(served_revision="abc") == f"{FOUR_BIT[MIXTRAL]}@abc"
    assert weights(model="other/model") == ""
    assert weights(model="other/model", quantization="fp8") == "fp8"
    keys = {
        answer_key_of(VllmJudge(judge="vllm", **settings), "vllm").parameters
        for settings in ({}, {"quantization": "fp8"}, {"served_model": "a"}, {"served_model": MIXTRAL})
    }
    assert len(keys) == 4


def test_revisions_go_to_what_is_loaded() -> None:
    def revision(**settings: Any) -> list[str]:
        arguments = own_arguments(VllmJudge(judge="vllm", **settings))
        return arguments[arguments.index("--revision") + 1 :][:1] if "--revision" in arguments else []

    assert revision(revision="m", served_revision="s") == ["s"]
    assert revision(revision="m") == []
    assert revision(revision="m", model="other/model", served_revision="s") == ["m"]


def test_a_secret_argument_is_not_in_the_cache(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_arguments(installed.judge(arguments=["--api-key", "sk-S3CRETkey0123456789"]))
    kept = list((tmp_path / "cache").rglob("*.json"))
    assert len(kept) == 1
    assert "S3CRET" not in kept[0].read_text() + str(kept)


def test_the_probes_are_python() -> None:
    for code in (vllm_install.VERSION, vllm_install.ARGUMENTS, vllm_install.DEVICES):
        compile(code, "probe", "exec")


def test_the_judge_waits_for_the_vocabulary_alone_and_what_is_missing_is_said_before_the_counting(
    tmp_path: Path,
) -> None:
    project = Project(tmp_path)
    project.config["visibility"] = {"judge": "vllm", "python": sys.executable}
    planned = project.snakemake("--dry-run", "--until", "visibility")
    assert set(re.findall(r"rule (\w+):", planned)) == {"vocabulary", "judge_ready", "visibility"}
    said = project.snakemake(fails=True)
    assert "Error: config: visibility.python: no vLLM in the environment of " in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("results/*/cooccurrence/shards/*"))
