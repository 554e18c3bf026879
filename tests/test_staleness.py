"""What a change of the code makes Snakemake do again: what depends on it, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contrastive_concepts import provenance
from contrastive_concepts.provenance import PACKAGE, code_files
from contrastive_concepts.resources import RESOURCES
from tests.project import ROOT, Project

SCRIPTS = PACKAGE.parent / "scripts"

REPORT = {"figures", "audit", "all"}
# The job that counts also inspects: the manifest follows it.
MATCHED = {"match_shards", "manifest", "cooccurrence", "selection", "dictionary"}

OBSERVER = """
import atexit, json, os, sys
opened = set()
sys.addaudithook(lambda event, given: opened.add(str(given[0])) if event == "open" else None)
def tell():
    files = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    script = os.path.basename(sys.argv[0]).split(".", 1)[-1]
    with open(os.path.join(os.environ["OBSERVED"], f"{script}.{os.getpid()}"), "w") as file:
        json.dump({"imported": sorted(files), "opened": sorted(opened)}, file)
atexit.register(tell)
"""
"""What each process imported and opened, told as it ends."""


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, observed: Path) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    hook = tmp_path_factory.mktemp("hook")
    (hook / "sitecustomize.py").write_text(OBSERVER)
    paths = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH", "")]))
    project.environment = {**project.environment, "PYTHONPATH": paths, "OBSERVED": str(observed)}
    project.config["similarity"] = project.config["similarity"] | {"carry_encoder": True}
    project.snakemake()
    return project


def imported(path: Path) -> Iterator[Path]:
    """The files of this package that a source names in its imports, found by their text."""
    text = re.sub(r"if TYPE_CHECKING:\n(?:(?:    .*)?\n)+", "", path.read_text())
    for module, names in re.findall(r"from contrastive_concepts(\S*) import (\([^)]*\)|[^\n]*)", text):
        folder = PACKAGE.joinpath(*module.strip(".").split("."))
        for name in re.findall(r"\w+", names):
            candidates = [folder / f"{name}.py", folder.with_suffix(".py") if module else folder / "__init__.py"]
            yield next((each for each in candidates if each.is_file()), folder / "__init__.py")
    for folder in re.findall(r'"contrastive_concepts\.(\w+)\.\*"', text):
        yield from (PACKAGE / folder).glob("*.py")


def imported_in_all(script: Path) -> set[Path]:
    """The same, followed to the end, with the packages around each module."""
    found: set[Path] = set()
    pending = [script]
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += imported(path)
            pending += [each / "__init__.py" for each in path.parents if PACKAGE in each.parents]
    return found


def test_each_rule_depends_on_what_its_script_imports(tmp_path: Path) -> None:
    """Of a copy each tenth module is changed in turn: the hashes of the scripts that import it change, and no other.

    A hash is that of the script's files, so that all other modules are looked up among these.
    """
    for name in ("workflow", "resources"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from contrastive_concepts.provenance import PACKAGE, code_files, code_sha256\n"
        "scripts = sorted((PACKAGE.parent / 'scripts').glob('*.py'))\n"
        "files = {path.stem: set(code_files(path)) for path in scripts}\n"
        "modules = sorted(PACKAGE.rglob('*.py'))\n"
        "needed = {file: sorted(stem for stem, read in files.items() if file in read) for file in modules}\n"
        "before = {path.stem: code_sha256(path) for path in scripts}\n"
        "for file in modules[::10]:\n"
        "    file.write_text(file.read_text() + '# changed\\n')\n"
        "    after = {path.stem: code_sha256(path) for path in scripts}\n"
        "    assert needed[file] == sorted(stem for stem in before if after[stem] != before[stem]), file\n"
        "    before = after\n"
        "print(json.dumps({str(file.relative_to(PACKAGE)): stems for file, stems in needed.items()}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "workflow")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    changed = json.loads(done.stdout)
    needed = {script.stem: imported_in_all(script) for script in SCRIPTS.glob("*.py")}
    modules = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py") if "_resources" not in path.parts}
    assert changed == {
        name: sorted(stem for stem, files in needed.items() if path in files) for name, path in modules.items()
    }
    assert changed["dictionary/publish.py"] == ["cc_l_dictionary", "dictionary"]
    assert changed["toyworld/shapes.py"] == ["toy_captions", "toy_images", "train_toy_clip"]
    assert {"lexicon", "match_shards", "vocabulary"} <= set(changed["vocabulary/lemmas.py"])
    assert changed["logs.py"] == sorted(needed)


def test_each_rule_hashes_the_script_that_it_runs() -> None:
    rules = 0
    for file in sorted((PACKAGE.parent / "rules").glob("*.smk")):
        for rule in re.split(r"(?m)^\s*(?:use )?rule (?=\w+)", file.read_text())[1:]:
            script = re.search(r'script:\s+"\.\./scripts/(\w+)\.py"', rule)
            hashed = re.findall(r'code=code_of\("(\w+)"\)', rule)
            name = re.match(r"\w+(?: as \w+)?", rule)
            assert name
            assert script
            assert hashed == ([] if script[1] == "judge_ready" else [script[1]]), name[0]
            rules += 1
    assert rules > 25


JUDGES = ("smollm2-135m-instruct.json", "all-minilm-l6-v2.json", "all-mpnet-base-v2.json", "common_words.parquet")
# A text encoder can judge, so that of the toy world is one of a judge's files.
TOY_CLIP = {path.name for path in (RESOURCES / "toyworld" / "clip").iterdir()}


@pytest.mark.parametrize(
    ("script", "resources"),
    [
        ("visibility", {"visible.txt", "likelihood.txt", "mixtral_template.txt", *JUDGES, *TOY_CLIP}),
        (
            "write_parts",
            {"visible.txt", "likelihood.txt", "mixtral_template.txt", *JUDGES, *TOY_CLIP, "parts.txt"},
        ),
        ("vocabulary", {"plurals.txt", "plural_only.txt", "not_concepts.txt"}),
        ("lexicon", {"plurals.txt", "plural_only.txt", "noun_model.npz"}),
        ("kernel", {"plurals.txt", "plural_only.txt", "noun_model.npz"}),
        ("cooccurrence", set()),
        ("results", set()),
    ],
)
def test_the_resources_that_a_stage_opens_count(script: str, resources: set[str]) -> None:
    files = code_files(SCRIPTS / f"{script}.py")
    assert {path.name for path in files if RESOURCES in path.parents} == resources


def test_a_source_is_parsed_once_for_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    parse = provenance._imports_and_strings
    monkeypatch.setattr(provenance, "_imports_and_strings", lambda source: parsed.append(source) or parse(source))

    def found(cache: Path) -> tuple[list[Path], int]:
        """What a new process finds, and how many sources it parses."""
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
        provenance._parsed.cache_clear()
        parsed.clear()
        return code_files(SCRIPTS / "embeddings.py"), len(parsed)

    files, first = found(tmp_path)
    assert first == len({path.read_bytes() for path in files if path.suffix == ".py"})
    assert found(tmp_path) == (files, 0)
    (kept,) = (tmp_path / "contrastive-concepts" / "imports").glob("*/*.json")
    whole = kept.read_text()
    for damaged in ("", whole[:-100], "[]", '{"a": 1}', '{"a": [1, 2]}'):
        kept.write_text(damaged)
        assert found(tmp_path) == (files, first)
        assert found(tmp_path) == (files, 0)
    _, *others = json.loads(whole).items()
    kept.write_text(json.dumps(dict(others)))
    assert found(tmp_path) == (files, 1)
    monkeypatch.setattr(provenance, "MOST_PARSED", 10)
    kept.unlink()
    assert found(tmp_path) == (files, first)
    assert len(json.loads(kept.read_text())) == 10
    assert found(kept) == found(Path("/dev/null")) == (files, first)
    provenance._parsed.cache_clear()


@pytest.mark.slow
def test_nothing_that_a_job_ran_or_opened_is_left_out(project: Project, observed: Path) -> None:
    seen = set()
    for file in observed.iterdir():
        script = SCRIPTS / file.with_suffix("").name
        if script.is_file():
            seen.add(script.stem)
            used = json.loads(file.read_text())
            modules = {Path(name) for name in used["imported"] if PACKAGE in Path(name).parents}
            resources = {Path(name) for name in used["opened"] if RESOURCES in Path(name).parents}
            known = {*code_files(script), PACKAGE / "__init__.py"}
            assert modules | {path for path in resources if path.is_file()} <= known, script
    assert {"vocabulary", "match_shards", "visibility", "embeddings", "dictionary"} <= seen


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the workflow that a test may change."""
    for name in ("workflow", "resources", "config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path / "Snakefile")
    return tmp_path


def planned(project: Project, code: Path) -> set[str]:
    return set(project.planned(str(code / "Snakefile")))


@pytest.mark.slow
def test_a_new_plural_is_mined_and_matched_again(project: Project, code: Path) -> None:
    with (code / "resources/nouns/plurals.txt").open("a") as file:
        file.write("foci focus\n")
    assert {"vocabulary", "lexicon"} | MATCHED <= planned(project, code)


@pytest.mark.slow
def test_a_copy_of_the_code_changes_nothing(project: Project, code: Path) -> None:
    assert planned(project, code) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("workflow/contrastive_concepts/dictionary/publish.py", {"dictionary"}),
        ("workflow/contrastive_concepts/selection/candidates.py", {"selection", "dictionary"}),
        ("workflow/contrastive_concepts/matching/kernel.py", MATCHED | {"kernel"}),
        ("workflow/contrastive_concepts/segmenters/gem.py", set()),
        ("resources/prompts/likelihood.txt", {"visibility", "selection", "dictionary"}),
        ("resources/prompts/contrastive.txt", set()),
        ("resources/nouns/noun_model.npz", MATCHED | {"lexicon", "kernel"}),
    ],
)
def test_what_a_change_redoes(project: Project, code: Path, changed: str, expected: set[str]) -> None:
    with (code / changed).open("ab") as file:
        file.write(b"\n")
    found = planned(project, code)
    assert found - REPORT == expected
    assert bool(found) == bool(expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "key", "value", "expected"),
    [
        ("visibility", "threshold", 0.6, {"visibility", "selection", "dictionary"}),
        ("similarity", "templates", "photo", {"embeddings", "selection", "dictionary"}),
    ],
)
def test_what_another_setting_redoes(project: Project, stage: str, key: str, value: str, expected: set[str]) -> None:
    before = dict(project.config[stage])
    project.config[stage][key] = value
    try:
        assert set(project.planned()) - REPORT == expected
    finally:
        project.config[stage] = before
