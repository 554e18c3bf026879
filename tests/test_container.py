"""The container's recipe, as far as it can be checked without an engine."""

import re
import shlex

from .conftest import ROOT

RECIPE = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
STEPS = [line.split(maxsplit=1) for line in RECIPE.splitlines() if line and not line.startswith("#")]
CI = (ROOT / ".ci" / "run").read_text()


def test_what_it_copies_is_there_and_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".containerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for name, rest in STEPS if name == "COPY" for source in shlex.split(rest)[:-1]}
    assert {source.split("/")[0] for source in copied} == let_in
    for source in copied:
        assert (ROOT / source).exists(), source


def test_what_the_rules_name_is_copied() -> None:
    """Environments, configurations and resources are read where the rules lie."""
    copied = {source for name, rest in STEPS if name == "COPY" for source in shlex.split(rest)[:-1]}
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert {path.split("/")[0] for path in re.findall(r'"\.\./\.\./([\w/.-]+)"', text)} <= copied
    assert {"workflow", "resources", "config", "profiles", "Snakefile", "benchmarks", "tools"} <= copied


def test_it_installs_what_ci_installs() -> None:
    sync = "uv pip sync --require-hashes envs/requirements.txt"
    assert sync in RECIPE
    assert sync.replace("sync", "sync --quiet") in CI


def test_it_runs_as_an_ordinary_user() -> None:
    names = [name for name, _ in STEPS]
    assert names[0] == "FROM"
    assert next(rest for name, rest in STEPS if name == "USER") not in {"root", "0"}
    assert "RUN" not in names[names.index("USER") :]
