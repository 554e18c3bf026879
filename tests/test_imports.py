"""What each job imports as it starts: nothing that takes seconds and that its stage does not run."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from contrastive_concepts.resources import PACKAGE

SCRIPTS = PACKAGE.parent / "scripts"
HEAVY = (
    "faiss", "matplotlib", "open_clip", "scipy.stats", "sentence_transformers", "spacy", "torch", "torchvision",
    "transformers",
)  # fmt: skip
"""Each takes from half a second to several seconds."""
ALLOWED = {stage: {"torch"} for stage in ("picture", "pixel_counts", "text_embeddings")}
ALLOWED |= {stage: {"scipy.stats"} for stage in ("audit", "results")}
"""What stages need whatever they are asked. All other heavy libraries are imported by the step that runs them."""


def imports_of(script: Path) -> str:
    """The script's own import statements, as a program."""
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in found)


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_a_job_imports_what_its_stage_runs(script: Path) -> None:
    program = f"{imports_of(script)}\nimport json, sys\nprint(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(PACKAGE.parent), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
    )  # fmt: skip
    assert set(json.loads(done.stdout.splitlines()[-1])) <= ALLOWED.get(script.stem, set())
