"""What each job imports as it starts: nothing that takes seconds and that its stage does not run."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contrastive_concepts.resources import PACKAGE

SCRIPTS = PACKAGE.parent / "scripts"
HEAVY = (
    "faiss", "matplotlib", "open_clip", "scipy.stats", "sentence_transformers", "spacy", "torch", "torchvision",
    "transformers",
)  # fmt: skip
"""Each takes from half a second to several seconds."""
ALLOWED = {stage: {"torch"} for stage in ("picture", "pixel_counts")}
ALLOWED |= {stage: {"scipy.stats"} for stage in ("audit", "results")}
"""What stages need whatever they are asked. All other heavy libraries are imported by the step that runs them."""

PROGRAM = f"""
import json, sys
found = {{}}
for stage, imports in json.load(sys.stdin):
    before = set(sys.modules)
    exec(imports, {{}})
    found[stage] = [name for name in {HEAVY!r} if name in sys.modules and name not in before]
print(json.dumps(found))
"""


def imports_of(script: Path) -> str:
    """The script's own import statements, as a program."""
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in found)


def stages() -> Iterator[Any]:
    """The stages that may import nothing heavy, together; each of the others, in whose process that stays imported."""
    alone = [path for path in sorted(SCRIPTS.glob("*.py")) if path.stem in ALLOWED]
    yield pytest.param([path for path in sorted(SCRIPTS.glob("*.py")) if path not in alone], id="light")
    yield from (pytest.param([path], id=path.stem, marks=pytest.mark.slow) for path in alone)


@pytest.mark.parametrize("scripts", list(stages()))
def test_a_job_imports_what_its_stage_runs(scripts: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps([[path.stem, imports_of(path)] for path in scripts]),
        capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    assert list(found) == [path.stem for path in scripts] != []
    assert {stage: names for stage, names in found.items() if set(names) - ALLOWED.get(stage, set())} == {}
