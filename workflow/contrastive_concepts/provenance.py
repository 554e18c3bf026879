"""What made a result: the code that a stage runs, by content, and the versions of the libraries under it."""

import ast
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from contrastive_concepts.resources import resource_folder

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = (
    "contrastive-concepts",
    "duckdb",
    "faiss-cpu",
    "faiss-gpu-cu12",
    "numba",
    "numpy",
    "open_clip_torch",
    "polars",
    "pyarrow",
    "scipy",
    "sentence-transformers",
    "spacy",
    "torch",
    "transformers",
)


def code_sha256(*names: str) -> str:
    """Hash of the named modules or packages (relative to this one) and of every module of ours that they import.

    The lists of words that `vocabulary.lemmas` reads belong to it.
    """
    pending = [path for name in names for path in _files(name.split("."))]
    seen: set[Path] = set()
    while pending:
        path = pending.pop()
        if path not in seen:
            seen.add(path)
            pending += _imported(path)
    lists = sorted(resource_folder("nouns").glob("*.txt")) if PACKAGE / "vocabulary" / "lemmas.py" in seen else []
    return content_sha256([*sorted(seen), *lists])


def content_sha256(paths: Iterable[Path]) -> str:
    """Hash of the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def hand_on_to_jobs(library: str) -> None:
    """Let the jobs that this process starts import the library from where this process did."""
    paths = [library, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def versions() -> dict[str, str]:
    """The installed version of each library that can change a result."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _files(parts: list[str]) -> list[Path]:
    path = PACKAGE.joinpath(*parts)
    if path.is_dir():
        return sorted(path.glob("*.py"))
    return [path.with_suffix(".py")] if path.with_suffix(".py").is_file() else []


@cache
def _imported(path: Path) -> list[Path]:
    files = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            parts = node.module.split(".")[1:]
            below = [file for alias in node.names for file in _files([*parts, alias.name])]
            files += below or (_files(parts) if parts else [])
    return files
