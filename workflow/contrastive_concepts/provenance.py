"""The origin of a result: a hash of the code that a stage runs, and the versions of the libraries that it uses."""

import ast
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from contrastive_concepts.resources import RESOURCES, made_whole, user_cache

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
Parsed = tuple[frozenset[str], frozenset[str]]
PARSED = "modules.json"
MOST_PARSED = 2000
"""Number of sources that the user's cache keeps, ten times those of the project."""
LONGEST_NAME = 256


def code_sha256(file: Path) -> str:
    """Hash of a Python file, of the modules of this package that it imports, and of the resources that they use.

    Imports are followed through all modules, including imports inside functions. A resource is used if the code has a
    string that is its path below `resources/`: a file, a folder, or a pattern such as `calibrations/likelihood/*.json`.
    """
    return content_sha256(code_files(file))


def code_files(file: Path) -> list[Path]:
    """The files that `code_sha256` hashes, sorted."""
    parsed = _parsed()
    before = len(parsed)
    modules: set[Path] = set()
    resources: set[Path] = set()
    pending = [file]
    while pending:
        path = pending.pop()
        if path in modules:
            continue
        modules.add(path)
        source = path.read_bytes()
        key = hashlib.sha256(source).hexdigest()
        if key not in parsed:
            parsed[key] = _imports_and_strings(source)
        imports, strings = parsed[key]
        pending += [module for name in imports for module in _modules(name)]
        for pattern in strings & _resource_names():
            resources.update(found for found in _below(pattern) if found.is_file())
    if len(parsed) > before:
        _keep_parsed(parsed)
    return sorted(modules) + sorted(resources)


def content_sha256(paths: Iterable[Path]) -> str:
    """Hash of the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def hand_on_to_jobs(library: str) -> None:
    """Make the jobs that this process starts import the library from the folder `library`."""
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


@cache
def _resource_names() -> frozenset[str]:
    """Paths of files and folders inside the folders of `resources/`, and patterns of the form `folder/*.ending`."""
    paths = [path.relative_to(RESOURCES) for path in RESOURCES.rglob("*")]
    patterns = {path.with_name(f"*{path.suffix}").as_posix() for path in paths if path.suffix}
    return frozenset(name for name in patterns | {path.as_posix() for path in paths} if "/" in name)


def _below(pattern: str) -> list[Path]:
    path = RESOURCES / pattern
    return sorted(path.rglob("*")) if path.is_dir() else sorted(RESOURCES.glob(pattern))


@cache
def _parsed() -> dict[str, Parsed]:
    """`_imports_and_strings` of the sources met so far, by their SHA-256.

    Parsing all modules takes half a second, at every start of Snakemake. So the user's cache keeps what was found.
    """
    with suppress(OSError, RuntimeError, ValueError, TypeError, AttributeError):
        kept = json.loads((_kept_parsed() / PARSED).read_bytes())
        return {key: (frozenset(imports), frozenset(strings)) for key, (imports, strings) in kept.items()}
    return {}


def _keep_parsed(parsed: dict[str, Parsed]) -> None:
    latest = list(parsed.items())[-MOST_PARSED:]
    with suppress(OSError, RuntimeError), made_whole(_kept_parsed()) as folder:
        folder.mkdir()
        (folder / PARSED).write_text(json.dumps({key: [sorted(part) for part in found] for key, found in latest}))


def _kept_parsed() -> Path:
    """Another version of this module may find other imports, so that it has a folder of its own."""
    return user_cache("imports") / content_sha256([Path(__file__)])


def _imports_and_strings(source: bytes) -> Parsed:
    """The dotted names that a source imports from this package, and its strings that may name a resource.

    TYPE_CHECKING imports are left out.

    A string such as `contrastive_concepts.segmenters.*` counts as an import of all modules of that package: it stands
    where a module is imported by a name that is known only when the program runs."""
    imports: set[str] = set()
    strings: set[str] = set()
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            imports |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if "/" in node.value and len(node.value) < LONGEST_NAME:
                strings.add(node.value)
            if node.value.startswith(f"{PACKAGE.name}.") and node.value.endswith(".*"):
                imports.add(node.value)
        pending += ast.iter_child_nodes(node)
    return frozenset(name for name in imports if name.split(".")[0] == PACKAGE.name), frozenset(strings)


@cache
def _modules(name: str) -> tuple[Path, ...]:
    """The files that are run when a dotted name is imported: its module and the packages that contain it.

    The last part of the name can be an object in the module. The `__init__` of this package is included only for names
    that it defines, because it imports them on first use.
    """
    parts = name.split(".")[1:]
    path = PACKAGE
    files: list[Path] = []
    for part in parts:
        path = path / part
        if part == "*":
            return (*files, *sorted(path.parent.glob("*.py")))
        if path.is_dir():
            files.append(path / "__init__.py")
        elif path.with_suffix(".py").is_file():
            return (*files, path.with_suffix(".py"))
        else:
            break
    return tuple(files) or (PACKAGE / "__init__.py",)
