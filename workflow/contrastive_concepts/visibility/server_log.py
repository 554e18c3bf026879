"""Finds in a vLLM server's log why it died: the first error of its engine or of a worker, with a hint for a fix."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from contrastive_concepts.errors import one_line

LAST_LINES = 4
_PROCESS = re.compile(r"^\s*\([^()]*\bpid=\d+\)\s?")
_RECORD = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d: -]+\[[^\]]*\] ?")
_TRACEBACK = "Traceback (most recent call last):"
_CHAIN = re.compile(r"^(?:During handling of the above exception|The above exception was the direct cause)")
_MISUSE = re.compile(r"^\S+: error: (.+)$")
_VALIDATION = re.compile(r"^\S*ValidationError: \d+ validation errors? for \w+ (?:\S+ )?(?:Value|Assertion) error, ")
_ECHO = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|EngineCore (?:failed|encountered)|"
    r"EngineDeadError|Worker failed with error|cancelled|^(?:KeyboardInterrupt|SystemExit)\b",
    re.IGNORECASE,
)
"""Follow-up messages of the other processes after one has died."""
_KILLED = re.compile(r"Failed core proc\(s\): \{[^}]*: (-\d+)|exited with (?:exit )?code:? (-9)")
_FRAME = re.compile(r"^\s|^$")
"""Lines of a traceback before its error. They are indented or empty."""
_HARMLESS = ("DEBUG", "INFO", "WARNING")

HINTS: dict[str, tuple[str, ...]] = {
    "the GPU's memory does not hold it: 4-bit weights (visibility.served_model), a smaller --max-model-len, or more "
    "GPUs (visibility.gpus) need less of each": (
        "CUDA out of memory",
        "not enough GPU memory",
        "No available memory for the cache blocks",
        "Free memory on device",
        "KV cache is needed, which is larger",
    ),
    "the machine's memory does not hold it": ("DefaultCPUAllocator", "Cannot allocate memory", "MemoryError"),
    "the disk is full, of weights (HF_HOME) or of temporary files (TMPDIR)": ("No space left on device",),
    "the hub wants a licence accepted and a token: accept it on the model's page, and set HF_TOKEN where the run "
    "starts or in visibility.environment": (
        "gated repo",
        "GatedRepo",
        r"\b401\b.*(?:Client Error|Unauthorized)",
        r"\b403\b.*(?:Client Error|Forbidden)",
        "Access to model .* is restricted",
    ),
    "the model is not on this machine and its hub is not reached: fetch it where there is a network, and name its "
    "folder in the configuration": (
        "couldn't connect to",
        "LocalEntryNotFound",
        "Cannot find an appropriate cached snapshot",
        "OfflineMode",
        "Name or service not known",
        "Temporary failure in name resolution",
        "Max retries exceeded",
        "Network is unreachable",
        r"Connect(?:Timeout|Error)",
        "ProxyError",
    ),
    "no such model: see visibility.model, visibility.served_model and their revisions": (
        r"(?:Repository|Revision)NotFound",
        r"\b404\b.*Client Error",
        "is not a (?:valid model identifier|local folder)",
        "Repo id must be",
    ),
    "another number of GPUs (visibility.gpus) divides the model and is there": (
        r"divisible by (?:the )?(?:tensor|world)",
        r"tensor.parallel.*(?:larger|exceed)",
        r"World size \(\d+\) is larger",
    ),
    "the GPU is too old for this: another quantisation (visibility.served_model, visibility.quantization), or "
    "`--dtype half` in visibility.arguments": (
        "Minimum capability",
        "compute capability",
        "not supported for the current GPU",
        "no kernel image is available",
        r"sm_\d+ is not compatible",
    ),
    "this vLLM cannot load these weights so: see visibility.quantization and visibility.served_model": (
        "Unknown quantization method",
        "does not match the quantization method",
        r"No \w+ MoE backend supports",
        r"_C::\w+\(\) expected",
    ),
    "this vLLM finds no GPU; see `nvidia-smi`, or set visibility.gpus: 0 with a vLLM for the processor": (
        "Failed to infer device type",
        "No CUDA GPUs are available",
        "Found no NVIDIA driver",
        "CUDA driver version is insufficient",
        "no CUDA-capable device",
        "not compiled with CUDA",
        r"libcuda\.so",
    ),
    "this vLLM does not take that argument: see visibility.arguments": (
        "unrecognized arguments",
        "invalid choice",
        "expected (?:one|at least one) argument",
        "ambiguous option",
    ),
    "the weights are not whole, or not those of this model: fetch them again": (
        "SafetensorError",
        "deserializing header",
        "Cannot find any model weights",
        "not initialized from checkpoint",
        "size mismatch",
    ),
    "no vLLM in the environment of visibility.python": ("No module named ['\"]?vllm",),
}
"""Hints by pattern of the error message. The first pattern that matches counts."""


@dataclass(frozen=True)
class Failure:
    """An error in a log: its lines, those of the errors that caused it, and the number of the first line."""

    said: list[str]
    chain: list[str]
    position: int


def cause_of(log: str, code: int | None = None) -> str:
    """One line with the first error, and a hint if its kind is known. Without an error: the last lines of the log.

    log: the output of the server and its processes, in order. code: the server's exit code, negative for a signal.
    """
    lines = log.splitlines()
    failures = [found for found in _failures(lines) if not _ECHO.search(" ".join(found.said))]
    if failures:
        first = min(failures, key=lambda failure: failure.position)
        said, hint = one_line(_core(" ".join(first.said))), hint_for(" ".join([*first.chain, *first.said]))
        return f"{said}; {hint}" if hint else said
    killed = _KILLED.search(log)
    if code == -9 or (killed and "-9" in killed.groups()):
        return "killed (signal 9), as a machine without memory left does it; more memory, or a smaller model, may help"
    texts = [text for line in lines if (text := _read(line).text.strip())]
    return f"its last lines: {' | '.join(map(one_line, texts[-LAST_LINES:])) or 'none'}"


def _core(said: str) -> str:
    """An error message without the text that pydantic adds around it."""
    return _VALIDATION.sub("", said).partition(" [type=")[0]


def hint_for(said: str) -> str | None:
    """A hint for an error of a known kind, None for any other error."""
    return next((hint for hint, kinds in HINTS.items() if re.search("|".join(kinds), said, re.IGNORECASE)), None)


class _Line(NamedTuple):
    """A line without its prefixes, the process that wrote it, and the level of the log record that it belongs to."""

    process: str
    level: str
    text: str


def _read(line: str) -> _Line:
    process = _PROCESS.match(line)
    text = line[process.end() :] if process else line
    record = _RECORD.match(text)
    return _Line(
        process[0].strip() if process else "",
        record[1] if record else "",
        text[record.end() :] if record else text,
    )


def _failures(lines: list[str]) -> Iterator[Failure]:
    """The errors of each process. Chained errors count as one. Warnings are skipped."""
    processes: dict[str, list[tuple[int, _Line]]] = {}
    for position, raw in enumerate(lines):
        line = _read(raw)
        processes.setdefault(line.process, []).append((position, line))
    for written in processes.values():
        yield from _failures_of(written)


def _failures_of(written: list[tuple[int, _Line]]) -> Iterator[Failure]:
    chain: list[str] = []
    said: list[str] = []
    begun, level = 0, ""
    inside = False  # True between the first line of a traceback and its error
    for position, line in written:
        text = line.text.strip()
        if text == _TRACEBACK:
            if said:
                yield from _counted(said, chain, begun, level)
                chain = []
            begun, level = (begun, level) if chain else (position, line.level)
            inside, said = True, []
        elif inside:
            if not _FRAME.match(line.text):
                inside, said = False, [text]
        elif said and _CHAIN.match(text):
            chain, said = [*chain, *said], []
        elif said and text and line.level == level:
            said.append(text)
        elif text:
            yield from _counted(said, chain, begun, level)
            chain, said = [], []
            if misuse := _MISUSE.match(text):
                yield Failure([misuse[1]], [], position)
    yield from _counted(said, chain, begun, level)


def _counted(said: list[str], chain: list[str], begun: int, level: str) -> Iterator[Failure]:
    if said and level not in _HARMLESS:
        yield Failure(said, chain, begun)
