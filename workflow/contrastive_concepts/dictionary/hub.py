"""Dictionaries on the Hugging Face hub, with its client: fetched into its cache, and pushed as commits."""

import glob
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contrastive_concepts.dictionary.manifest import NAME, Manifest, check_files, errors_at, file_names, read_manifest
from contrastive_concepts.encoders.clip import hub_unreachable
from contrastive_concepts.errors import UserError, one_line

HUB = "hf://"
DATASET = "dataset"
READ, WRITTEN = "read", "written"
TOKEN = "hf auth login, or HF_TOKEN"
_ADDRESS = re.compile(r"hf://datasets/([^/@\s]+/[^/@\s]+)(?:@(refs/(?:pr|convert)/[^/@\s]+|[^/@\s]+))?(?:/([^@]+?))?/?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubPlace:
    """A folder in a dataset of the hub; the folder "" is its root. revision: a branch, tag or commit."""

    address: str
    repository: str
    revision: str | None
    folder: str

    @classmethod
    def parse(cls, address: str) -> "HubPlace":
        """Raises UserError for another address."""
        found = _ADDRESS.fullmatch(address)
        if found is None:
            raise UserError(f"{address}: expected hf://datasets/ORG/NAME[@REVISION][/FOLDER]")
        revision = found[2] and found[2].replace("%2F", "/")
        return cls(address, found[1], revision, found[3] or "")

    @property
    def is_commit(self) -> bool:
        return self.revision is not None and _COMMIT.fullmatch(self.revision) is not None

    def path(self, name: str) -> str:
        """A file's path in the repository."""
        return f"{self.folder}/{name}" if self.folder else name


def fetch_from_hub(address: str) -> Path:
    """The folder of a dictionary in the hub's cache, checked against its manifest. See `places.fetch`."""
    place = HubPlace.parse(address)
    with _client(place.address, READ):
        if place.is_commit:
            kept = _kept(place)
            if kept is not None:
                return kept
        why = _why_not_asked(place)
        if not why:
            return _fetched(place)
        kept = _kept(place)
        if kept is None:
            raise UserError(f"{address}: {why}, and no copy of it is in the hub's cache")
        print(f"note: {address}: {why}; the copy that was fetched before is used", file=sys.stderr)
        return kept


def _why_not_asked(place: HubPlace) -> str:
    """Why the hub does not tell the revision's commit; empty if it does."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if why := hub_unreachable():
        return why
    try:
        HfApi().dataset_info(place.repository, revision=place.revision)
    except RevisionNotFoundError:
        return f"no revision {place.revision!r}"
    except RepositoryNotFoundError:  # the hub does not tell what is private from what is not there
        return f"no such dataset, or one that your token may not read ({TOKEN})"
    except Exception as error:  # the client raises what its HTTP library raises, which differs by version
        return f"cannot be read ({one_line(error)})"
    return ""


def _kept(place: HubPlace) -> Path | None:
    """The sound copy in the cache, without a network; None if there is none."""
    try:
        return _snapshot(place, local_files_only=True)
    except (FileNotFoundError, UserError):
        return None


def _fetched(place: HubPlace) -> Path:
    try:
        return _snapshot(place)
    except UserError:
        # A file was changed in the cache. If it was on the hub, this fails in the same way.
        return _snapshot(place, force_download=True)


def _snapshot(place: HubPlace, *, local_files_only: bool = False, force_download: bool = False) -> Path:
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    options: dict[str, Any] = {
        "repo_type": DATASET,
        "local_files_only": local_files_only,
        "force_download": force_download,
    }
    # The manifest first: what is no dictionary is not fetched, however large it is.
    described = place.path(NAME)
    try:
        folder = Path(hf_hub_download(place.repository, described, revision=place.revision, **options)).parent
    except LocalEntryNotFoundError:
        raise
    except EntryNotFoundError:
        raise UserError(f"{place.address}: no {described} in it, expected a dictionary") from None
    commit = folder.parents[len(Path(place.folder).parts) - 1].name if place.folder else folder.name
    with errors_at(place.address, folder):
        manifest = read_manifest(folder)
        patterns = [glob.escape(place.path(name)) for name in file_names(manifest)]
        snapshot_download(place.repository, revision=commit, allow_patterns=patterns, **options)
        check_files(folder, manifest)
    return folder


def published_manifest(place: HubPlace) -> Manifest | None:
    """The manifest of the dictionary that the hub has now; None if there is none."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    with _client(place.address, READ):
        try:
            # Asked first, as the download would repeat for long what is not answered.
            HfApi().dataset_info(place.repository)
            path = hf_hub_download(place.repository, NAME, repo_type=DATASET)
        except LocalEntryNotFoundError:
            raise
        except (EntryNotFoundError, RepositoryNotFoundError):
            return None
        return read_manifest(Path(path).parent)


def commit(place: HubPlace, files: Mapping[str, Path | bytes], removed: list[str], message: str, private: bool) -> str:
    """Make the dataset if it is not there, and commit files to it. Returns the commit's address."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    if why := hub_unreachable():
        raise UserError(f"{place.address}: cannot be written: {why}")
    with _client(place.address, WRITTEN):
        api = HfApi()
        api.create_repo(place.repository, repo_type=DATASET, private=private or None, exist_ok=True)
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, content) for name, content in files.items()
        ]
        operations += [CommitOperationDelete(name) for name in removed]
        done = api.create_commit(place.repository, operations, commit_message=message, repo_type=DATASET)
    return f"{HUB}datasets/{place.repository}@{done.oid}"


@contextmanager
def _client(address: str, done: str) -> Iterator[None]:
    """The hub's client: its errors as one line, its progress bars only on a terminal that waits for an upload."""
    try:
        from huggingface_hub.errors import HfHubHTTPError
        from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    except ModuleNotFoundError as error:
        raise UserError(
            f"{address}: found no package {error.name}, expected the extra remote: "
            "pip install 'contrastive-concepts[remote]'"
        ) from None
    silent = are_progress_bars_disabled()
    if done == READ or not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except UserError:
        raise
    except HfHubHTTPError as error:
        refused = error.response.status_code in (401, 403)
        hint = f", expected a token that is allowed to ({TOKEN})" if refused else ""
        raise UserError(f"{address}: cannot be {done} ({one_line(error.server_message or error)}){hint}") from None
    except Exception as error:  # the client raises what its HTTP library raises, which differs by version
        raise UserError(f"{address}: cannot be {done} ({one_line(error.__cause__ or error)})") from None
    finally:
        if not silent:
            enable_progress_bars()
