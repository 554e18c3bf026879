"""Fetches a dictionary from an address once. Later loads read the copy in a cache, also without a network."""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import fsspec

from contrastive_concepts.captions.files import ABSENT, WEB, copy_file, file_name, is_url, reachable, size_and_version
from contrastive_concepts.credentials import hide, redact_url, reveal
from contrastive_concepts.dictionary.hub import HUB, fetch_from_hub
from contrastive_concepts.dictionary.manifest import (
    NAME,
    check_files,
    errors_at,
    file_names,
    file_sha256,
    read_manifest,
)
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.resources import user_cache

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar"}
"""Endings of an archive's name -> fsspec's filesystem for it."""
LATEST = "latest.json"
UNFINISHED = ".unfinished-"
DIGITS = 16
"""Hexadecimal digits of a hash that name a folder."""
LEFTOVER_SECONDS = 86_400
"""Age at which the unfinished folder of a process that was killed is removed."""


def fetch(address: str | Path) -> Path:
    """The local folder of a dictionary: a path itself, or the copy of what an address holds, fetched if it is not kept.

    address: `hf://datasets/ORG/NAME[@REVISION][/FOLDER]`, or any that fsspec opens, such as s3://, https:// or file://:
    a folder, or an archive of one (.zip, .tar, .tar.gz, .tgz). The copy's files have the hashes of its manifest. Each
    call asks whether the address has another dictionary by now, unless REVISION is a commit. If the address cannot be
    read, the copy is used and a note on stderr says why. Raises UserError if there is no dictionary at the address, a
    file differs from its hash, or nothing can be read and there is no copy.
    """
    if not is_url(str(address)):
        return Path(address)
    shown: str = hide(str(address))
    if shown.startswith(HUB):
        return fetch_from_hub(shown)
    entry = cache_folder() / hashlib.sha256(redact_url(str(address)).encode()).hexdigest()[:DIGITS]
    kept, version = _kept(entry)
    try:
        found = _version(shown)
        if kept is not None and found and found == version:
            return kept
        return _keep(shown, entry, found)
    except UserError as error:
        if kept is None:
            raise
        print(f"note: {error}; the copy that was fetched before is used", file=sys.stderr)
        return kept


def cache_folder() -> Path:
    """Where copies are kept. Datasets of the hub are kept in the hub's own cache."""
    return user_cache("dictionaries")


def _kept(entry: Path) -> tuple[Path | None, str]:
    """The copy that was fetched last and its version; None if there is none, or if it was damaged."""
    try:
        latest = json.loads((entry / LATEST).read_bytes())
        folder, version = entry / str(latest["folder"]), str(latest["version"])
        _check_copy(folder)
        return folder, version
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        why = error if isinstance(error, UserError) else f"{entry / LATEST}: {one_line(error)}"
        print(f"note: {why}; the damaged copy is not used", file=sys.stderr)
    return None, ""


def _check_copy(folder: Path) -> None:
    """Raises UserError if a file of a copy was changed. The manifest's own hash is in the folder's name."""
    check_files(folder, read_manifest(folder))
    if file_sha256(folder / NAME)[:DIGITS] != folder.name[:DIGITS]:
        raise UserError(f"{folder / NAME}: the file was changed")


def _version(address: str) -> str:
    """A text that changes with the dictionary: the hash of its manifest, or size and tag of an archive.

    Empty if the server tells nothing by which an archive could be told from an older one.
    """
    if _archive(address):
        size, tag = size_and_version(address)
        return f"{size} {tag}" if tag else ""
    with tempfile.TemporaryDirectory() as folder:
        _copy(address, NAME, Path(folder))
        return file_sha256(Path(folder) / NAME)


def _keep(address: str, entry: Path, version: str) -> Path:
    """Fetch into a folder of another name, which gets its own when all is checked. A sound copy is never changed.

    Processes that fetch the same at once get the folder of the first that finishes.
    """
    with _writable(entry):
        entry.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(entry)
        staging = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=entry))
    try:
        folder = staging / "dictionary"
        folder.mkdir()
        (_unpack if _archive(address) else _download)(address, folder)
        with _writable(entry):
            target = _publish(folder, entry / file_sha256(folder / NAME)[:DIGITS])
            latest = {"address": address, "version": version, "folder": target.name}
            (staging / LATEST).write_text(json.dumps(latest), encoding="utf-8")
            (staging / LATEST).replace(entry / LATEST)
        return target
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(folder: Path, target: Path) -> Path:
    """Rename to `target`, or to another name if a damaged copy is there, which another process may be reading."""
    if target.exists():
        try:
            _check_copy(target)
            return target
        except UserError:
            target = target.with_name(f"{target.name}{folder.parent.name.removeprefix(UNFINISHED)}")
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    return target


def _download(address: str, folder: Path) -> None:
    with errors_at(address, folder):
        _copy(address, NAME, folder)
        manifest = read_manifest(folder)
        for name in file_names(manifest):
            _copy(address, name, folder)
        check_files(folder, manifest)


def _unpack(address: str, folder: Path) -> None:
    """Fetch an archive and take the one dictionary out of it, in whatever folder it is there."""
    packed = folder.with_name(file_name(address))
    with reachable(address):
        copy_file(address, packed)
    try:
        archive = fsspec.filesystem(ARCHIVES[_archive(address)], fo=str(packed))
        found = [path for path in archive.find("") if PurePosixPath(path).name == NAME]
        if len(found) != 1:
            raise UserError(f"{address}: found {len(found)} files {NAME}, expected an archive of one dictionary")
        root = PurePosixPath(found[0]).parent
        with errors_at(address, folder):
            archive.get_file(found[0], str(folder / NAME))
            manifest = read_manifest(folder)
            for name in file_names(manifest):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if archive.exists(str(root / name)):
                    archive.get_file(str(root / name), str(path))
            check_files(folder, manifest)
    except UserError:
        raise
    except Exception as error:  # zipfile, tarfile and the decompressors raise exceptions of many types
        raise UserError(f"{address}: not a readable archive ({one_line(error)})") from None


def _copy(address: str, name: str, folder: Path) -> None:
    """Copy a file of the dictionary at an address into a local folder."""
    place, path = _within(address, name), folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with reachable(place):
            copy_file(place, path)
    except UserError as error:
        if name == NAME and str(error).endswith(ABSENT):
            raise UserError(f"{error}, expected the address of a dictionary") from None
        raise


def _within(address: str, name: str) -> str:
    """The address of a file in a folder. The query of a web address, such as a signature, stays at its end."""
    base, mark, query = reveal(address).partition("?") if address.startswith(WEB) else (reveal(address), "", "")
    within: str = hide(f"{base.rstrip('/')}/{name}{mark}{query}")
    return within


def _archive(address: str) -> str:
    """The ending that makes an address that of an archive; empty for a folder."""
    name = file_name(address).lower()
    return next((ending for ending in ARCHIVES if name.endswith(ending)), "")


def _remove_leftovers(entry: Path) -> None:
    for path in entry.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another process may just have finished
            if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _writable(entry: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{entry}: cannot be written ({one_line(error)}), see XDG_CACHE_HOME") from None
