import os
import sys
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import HostingProviderFile, LocalGitFile, LocalSourceFile


def folder_of_workflow(rules):
    """The folder `workflow` that contains these rules: their own or, for a git revision, that of a checkout.

    Rules of a checkout are files on this disk for Snakemake. It does not find the scripts of rules that it reads from
    a repository on this disk (as of 9.27).
    """
    if isinstance(rules, LocalSourceFile):
        return Path(rules.get_path_or_uri(secret_free=True)).parent
    if not isinstance(rules, (LocalGitFile, HostingProviderFile)):
        raise WorkflowError(
            f"contrastive_concepts: found the Snakefile at {rules}, expected a file or gitfile(), github() or gitlab()"
        )
    checkouts = Path(workflow.sourcecache.cache_path) / "contrastive-concepts"
    checkout = checkouts / commit_of(rules)
    folder = Path(rules.path).parent
    if not checkout.is_dir():
        check_out_project(repository_of(rules), folder.parent, checkout)
    return checkout / folder


def commit_of(rules):
    """The commit of a git revision. It is noted for the jobs of a run: a branch can move on."""
    # Snakemake keeps what it reads from a branch here, and hands the folder on to its jobs.
    runtime = Path(workflow.sourcecache.runtime_cache_path)
    revision = sha256(rules.get_path_or_uri(secret_free=True).encode()).hexdigest()
    note = runtime / f"contrastive-concepts-{revision[:12]}"
    if not note.is_file():
        note.write_text(
            repository_of(rules).git.rev_parse("--verify", f"{rules.ref}^{{commit}}")
        )
    return note.read_text()


def repository_of(rules):
    """The git repository of rules. Of a hosted one it is Snakemake's clone, from which these rules have been read."""
    if isinstance(rules, HostingProviderFile):
        return rules.hosted_repo.repo
    # Not above: each job reads this file, and few need it.
    from git import Repo

    return Repo(rules.repo_path)


def check_out_project(repository, project, checkout):
    """Check out what jobs need of the folder `project`, at the commit that the folder `checkout` is named after.

    Resources are kept by their content, so that as inputs they have the same path at each commit that leaves them alone.
    """
    commit = checkout.name
    tree = repository.git.rev_parse(f"{commit}:{project / 'resources'}")
    resources = checkout.with_name(tree)
    if not resources.is_dir():
        check_out(repository, tree, [], {}, resources)
    link = os.path.relpath(resources, checkout / project)
    paths = [project / name for name in ("workflow", "envs")]
    check_out(repository, commit, paths, {project / "resources": link}, checkout)


def check_out(repository, revision, paths, links, checkout):
    """Write paths of a revision and links to the folder `checkout`. It appears as a whole: several processes may try."""

    def old(member, folder):
        # As old as can be: hashes of the code decide what is run again, not the age of a script.
        return tarfile.data_filter(member, folder).replace(mtime=0, deep=False)

    checkout.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=checkout.parent) as folder,
        tempfile.TemporaryFile() as archive,
    ):
        tree = Path(folder) / "tree"
        repository.archive(archive, revision, path=paths)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as members:
            members.extractall(tree, filter=old)
        for link, target in links.items():
            (tree / link).symlink_to(target)
        try:
            tree.rename(checkout)
        except OSError:
            # Another process was first.
            if not checkout.is_dir():
                raise


# Every job in every environment imports the library that is next to these rules, not an installed one.
LIBRARY = str(folder_of_workflow(workflow.current_basedir))
sys.path.insert(0, LIBRARY)

import contrastive_concepts

IMPORTED = Path(contrastive_concepts.__path__[0])
if IMPORTED.parent.resolve() != Path(LIBRARY).resolve():
    raise WorkflowError(
        f"contrastive_concepts: found {IMPORTED} imported, expected the library in {LIBRARY}. "
        "A workflow has one revision of it, and imports it after the module"
    )
