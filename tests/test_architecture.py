"""The order of the packages: data flows one way, so imports point one way."""

import ast
from collections.abc import Iterator
from pathlib import Path

from contrastive_concepts.resources import PACKAGE

ORDER = (
    # What everything may use.
    "credentials", "errors", "file_kinds", "restricted_pickle", "stand_in", "resources", "provenance", "checks",
    "text_files", "tensor_files", "logs", "markup", "config", "encoders",
    # The stages, as the data flows.
    "captions", "vocabulary", "matching", "cooccurrence", "visibility", "similarity", "selection", "dictionary",
    "adapters", "segmenters", "evaluation", "report", "segmentation",
    # What calls them.
    "__init__", "probe", "cli", "__main__",
)  # fmt: skip
BESIDE = {"toyworld": {"errors", "resources", "config"}}
"""The toy world makes data for the stages; no stage imports it, but the commands show it."""


def is_module(name: str) -> bool:
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def room(parts: tuple[str, ...]) -> str:
    return Path(parts[0]).stem


def imports() -> Iterator[tuple[str, str, str]]:
    """(package, imported package, file) of every import within the library, those for type checkers included."""
    for file in sorted(PACKAGE.rglob("*.py")):
        here = room(file.relative_to(PACKAGE).parts)
        for node in ast.walk(ast.parse(file.read_bytes())):
            # These tests follow no other form of import within the library, and `provenance` no relative one.
            if isinstance(node, ast.Import):
                assert not {alias.name.split(".")[0] for alias in node.names} & {PACKAGE.name}, f"{file}: import"
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file}: a relative import"
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
                assert node.module
                inner = node.module.split(".")[1:]
                for name in inner[:1] or [alias.name for alias in node.names]:
                    yield (
                        here,
                        name if is_module(f"{PACKAGE.name}.{name}") else "__init__",
                        str(file),
                    )


def test_no_import_points_up_the_flow_of_the_data() -> None:
    for here, there, file in imports():
        if here in BESIDE or there in BESIDE:
            assert here == "cli" or there in {here, *BESIDE.get(here, ())}, f"{file} imports {there}"
        else:
            assert ORDER.index(there) <= ORDER.index(here), f"{file} imports {there}"


def test_every_package_has_its_place() -> None:
    assert {room(file.relative_to(PACKAGE).parts) for file in PACKAGE.rglob("*.py")} == {*ORDER, *BESIDE}


def test_no_module_of_the_library_imports_what_lies_beside_it() -> None:
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                )
                assert not {name.split(".")[0] for name in names} & {"benchmarks", "tools", "tests"}, file


def test_modules_import_each_other_in_no_circle() -> None:
    """Module by module, at import time: a circle is found by following each module's imports to the end."""
    graph = {}
    for file in PACKAGE.rglob("*.py"):
        name = ".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
        graph[name] = {
            f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
            for node in ast.parse(file.read_bytes()).body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name)
            for alias in node.names
        }
    graph = {name: {each for each in targets if each in graph} - {name} for name, targets in graph.items()}
    done: set[str] = set()
    while ready := {name for name, targets in graph.items() if name not in done and targets <= done}:
        done |= ready
    assert done == set(graph)
