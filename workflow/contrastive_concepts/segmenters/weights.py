"""Official files of trained heads: their addresses and checksums, and a verified download."""

import hashlib
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from contrastive_concepts.errors import UserError, one_line


@dataclass(frozen=True)
class OfficialFile:
    """A published file. sha256, git_blob (the id from `git hash-object`): given if the publisher states one."""

    url: str
    sha256: str | None = None
    git_blob: str | None = None


OFFICIAL = {
    "tcl": OfficialFile("https://github.com/kakaobrain/tcl/releases/download/v1.0.0/tcl.pth"),
    "clip_dinoiser": OfficialFile(
        "https://github.com/wysoczanska/clip_dinoiser/raw/main/checkpoints/last.pt",
        git_blob="0b6c94d9c439ebac7bcb07fe805be3654ea03c7f",
    ),
}


def fetch(file: OfficialFile, path: Path) -> str:
    """Download to `path`, which is created only after the content is verified. Returns its sha256.

    Raises UserError if the path exists, the download fails, or a checksum differs."""
    if path.exists():
        raise UserError(f"{path}: exists already, expected a new file")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    partial = Path(name)
    try:
        try:
            with urllib.request.urlopen(file.url) as source, os.fdopen(handle, "wb") as target:
                shutil.copyfileobj(source, target)
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise UserError(f"{file.url}: cannot be fetched ({one_line(error)})") from None
        found = _digest(partial, hashlib.sha256())
        _expect(file.url, "sha256", found, file.sha256)
        if file.git_blob is not None:
            blob = hashlib.sha1(f"blob {partial.stat().st_size}\0".encode())
            _expect(file.url, "git blob id", _digest(partial, blob), file.git_blob)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
    return found


def _digest(path: Path, digest: "hashlib._Hash") -> str:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _expect(url: str, what: str, found: str, expected: str | None) -> None:
    if expected is not None and found != expected.lower():
        raise UserError(f"{url}: {what}: found {found}, expected {expected.lower()}; nothing was kept")
