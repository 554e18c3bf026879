"""Why a vLLM server died: logs as vLLM 0.32 writes them, made by a real one or after its source."""

import tempfile

import pytest

from contrastive_concepts.visibility import vllm_server
from contrastive_concepts.visibility.server_log import HINTS, cause_of

START = """\
INFO 11-27 07:30:50 [importing.py:88] Triton is not installed or not compatible.
(APIServer pid=20206) WARNING 11-27 07:30:54 [system_utils.py:255] Found ulimit of 20000 and failed to automatically \
increase. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`. Consider increasing with ulimit -n
(EngineCore pid=20286) INFO 11-27 07:31:10 [core.py:112] Initializing a V1 LLM engine (v0.32.0)
"""


def traceback_of(error: str, prefix: str = "") -> str:
    lines = [
        "Traceback (most recent call last):",
        '  File "worker.py", line 953, in main',
        "    worker = WorkerProc()",
        "    ^^^^^",
    ]
    return "".join(f"{prefix}{line}\n" for line in [*lines, *error.splitlines()])


def log_of(error: str, where: str = "Worker") -> str:
    """A server's whole log when `error` ended its worker or its engine: each process repeats that another one died."""
    record = " ERROR 11-27 07:31:30 [multiproc_executor.py:953] "
    engine = "Exception: WorkerProc initialization failed due to an exception in a background process."
    text = START
    if where == "Worker":
        prefix = f"(Worker pid=20370){record}"
        text += f"{prefix}WorkerProc failed to start.\n" + traceback_of(error, prefix)
    else:
        engine = error
    text += f"(EngineCore pid=20286){record}EngineCore failed to start.\n" + traceback_of(
        engine, f"(EngineCore pid=20286){record}"
    )
    text += "Process EngineCore:\n" + traceback_of(engine)
    text += "(APIServer pid=20206) INFO 11-27 07:31:38 [utils.py:628] [shutdown] Process manager: send sigterm\n"
    return text + traceback_of(
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    )


HUB = "We couldn't connect to 'https://hub.example' to load the files, and couldn't find them in the cached files."
GATED = """\
OSError: You are trying to access a gated repo.
Make sure to have access to it at https://hub.example/mistralai/Mixtral-8x7B-Instruct-v0.1.
401 Client Error. (Request ID: Root=1)"""
ERRORS = {
    "NotImplementedError: No WNA16 MoE backend supports the deployment configuration.": "cannot load these weights so",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 47.41 GiB": (
        "GPU's memory does not hold it"
    ),
    "ValueError: Free memory on device cuda:0 (20.11/79.11 GiB) on startup is less than desired GPU memory utilization "
    "(0.92, 72.78 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.": (
        "GPU's memory does not hold it"
    ),
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`": (
        "GPU's memory does not hold it"
    ),
    "ValueError: To serve at least one request with the models's max seq len (32768), (4.0 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.2 GiB).": "GPU's memory does not hold it",
    "RuntimeError: [enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory": (
        "the machine's memory does not hold it"
    ),
    "OSError: [Errno 28] No space left on device": "the disk is full",
    GATED: "accept it on the model's page, and set HF_TOKEN",
    "huggingface_hub.errors.HfHubHTTPError: 403 Client Error: Forbidden for url": "set HF_TOKEN",
    f"OSError: {HUB}": "name its folder in the configuration",
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder": (
        "name its folder in the configuration"
    ),
    "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error.": "no such model",
    "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n  Value error, Total number of "
    "attention heads (32) must be divisible by tensor parallel size (3). [type=value_error, input_value=ArgsKwargs(())]\n"
    "    For further information visit https://errors.example/value_error": "another number of GPUs",
    "ValueError: The quantization method awq_marlin is not supported for the current GPU. Minimum capability: 75. "
    "Current capability: 70.": "the GPU is too old",
    "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device": "the GPU is too old",
    "RuntimeError: Failed to infer device type, please set the environment variable": "finds no GPU",
    "RuntimeError: No CUDA GPUs are available": "finds no GPU",
    "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata": "weights are not whole",
}


@pytest.mark.parametrize("where", ["Worker", "EngineCore"])
@pytest.mark.parametrize("error", ERRORS)
def test_the_first_error_is_named_with_what_helps(error: str, where: str) -> None:
    found = cause_of(log_of(error, where), 1)
    assert "\n" not in found
    assert ERRORS[error] in found
    assert "root cause above" not in found
    assert "background process" not in found
    said = error.partition(" error, ")[2] or error
    assert " ".join(said.split())[:60] in found


def test_every_hint_is_tried() -> None:
    tried = {hint for hint in HINTS for expected in ERRORS.values() if expected in hint}
    assert {hint[:30] for hint in set(HINTS) - tried} == {
        "this vLLM does not take that a",
        "no vLLM in the environment of ",
    }


def test_an_unknown_argument_and_an_absent_vllm() -> None:
    usage = "usage: api_server.py [-h] [--headless]\n                     [--log-error-stack]\n"
    found = cause_of(usage + "api_server.py: error: unrecognized arguments: --no-such 3\n", 2)
    assert found.startswith("unrecognized arguments: --no-such 3; this vLLM does not take that argument")
    assert "no vLLM in the environment" in cause_of(
        "/usr/bin/python: No module named vllm\n" + traceback_of("ModuleNotFoundError: No module named 'vllm'"), 1
    )


def test_the_end_of_a_chain_is_named_and_all_of_it_tells_the_kind() -> None:
    chain = (
        traceback_of("httpx.HTTPStatusError: Client error '401 Unauthorized' for url 'https://hub.example'")
        + "\nThe above exception was the direct cause of the following exception:\n\n"
        + traceback_of("ValueError: the model cannot be read")
    )
    found = cause_of(START + chain, 1)
    assert found.startswith("ValueError: the model cannot be read; ")
    assert "HF_TOKEN" in found


def test_what_is_only_a_warning_is_no_cause() -> None:
    warned = traceback_of("ImportError: no flashinfer", "(Worker pid=1) WARNING 11-27 07:31:30 [a.py:1] ")
    assert cause_of(START + warned + log_of("ValueError: real"), 1) == "ValueError: real"


def test_lines_of_two_workers_may_be_mixed() -> None:
    ours = traceback_of("ValueError: first", "(Worker_TP0 pid=1) ERROR 11-27 07:31:30 [a.py:1] ").splitlines()
    theirs = traceback_of("ValueError: second", "(Worker_TP1 pid=2) ERROR 11-27 07:31:30 [a.py:1] ").splitlines()
    mixed = "\n".join(line for pair in zip(ours, theirs, strict=True) for line in pair)
    assert cause_of(mixed, 1) == "ValueError: first"


def test_a_killed_server_and_a_silent_one() -> None:
    killed = (
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': -9}"
    )
    assert "memory" in cause_of(START + traceback_of(killed), 1)
    assert "memory" in cause_of(START, -9)
    assert cause_of("", 0) == "its last lines: none"
    assert cause_of("one\n\ntwo\n", 3) == "its last lines: one | two"


def test_sockets_lie_where_their_paths_are_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for usual, found in (("/scratch", "/scratch"), ("/" + "s" * 55, "/" + "s" * 55), ("/" + "s" * 56, "/tmp")):
        monkeypatch.setattr(tempfile, "tempdir", usual)
        assert vllm_server._place_of_sockets() == found
    monkeypatch.setattr(vllm_server, "SHORT_PLACE", "/nowhere")
    assert vllm_server._place_of_sockets() == "/" + "s" * 56
