"""A dictionary's manifest: its inputs, settings and models, and a hash of each of its files."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from contrastive_concepts.config.similarity import ENCODER_FILES, FURTHER, Cleaning, Precision
from contrastive_concepts.errors import UserError

FORMAT = 1
NAME = "manifest.json"
# The manifest is last: if files are stored one by one, its presence shows that the others are complete.
DICTIONARY_FILES = (
    "concepts.parquet",
    "contrastive_concepts.parquet",
    "rejected.parquet",
    "concepts.faiss",
    "dictionary.json",
    NAME,
)


class Carried(BaseModel):
    """How the carried encoder differs from the one that it was exported from.

    prompts: those of `templates`, with `{}` for the text. least_cosine: between the vectors of the two, the lowest of
    the concepts that were compared.
    """

    model_config = ConfigDict(extra="forbid")

    precision: Precision
    cleaning: Cleaning
    prompts: list[str]
    least_cosine: float


class EncoderDescription(BaseModel):
    """The encoder of the concepts' vectors. It can be rebuilt from `settings`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    dimension: int
    weights_sha256: str | None
    templates: str
    settings: dict[str, Any]
    carried: Carried | None = None

    @property
    def carried_files(self) -> list[str]:
        """The files of the carried encoder, and of further words."""
        further = [FURTHER] if self.settings.get("further_words") else []
        return [*further, *(ENCODER_FILES if self.carried else ())]


class Manifest(BaseModel):
    """Describes a dictionary and how it was made, with the hashes to verify it."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    run: str
    corpus: str
    config: dict[str, Any]
    thresholds: dict[str, float]
    encoder: EncoderDescription
    judge: dict[str, Any]
    shards: list[dict[str, Any]]
    captions: dict[str, int]
    counts: dict[str, int]
    typical_nearest_similarity: float
    versions: dict[str, str]
    code_sha256: str
    files: dict[str, str]

    def save(self, folder: Path) -> None:
        (folder / NAME).write_text(self.model_dump_json(indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read a folder's manifest. Raises UserError if it is not a dictionary or has another format."""
    path = folder / NAME
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{folder}: no {NAME} in it, expected the folder of a dictionary") from None
    except (OSError, ValidationError) as error:
        raise UserError(f"{path}: not a readable manifest ({' '.join(str(error).split())[:200]})") from None
    if manifest.format != FORMAT:
        raise UserError(f"{path}: found format {manifest.format}, expected {FORMAT}")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises UserError if a file is missing or differs from its hash in the manifest."""
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: missing, expected by {NAME}")
        found = file_sha256(path)
        if found != expected:
            raise UserError(f"{path}: found sha256 {found[:12]}..., expected {expected[:12]}...: the file was changed")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_names(manifest: Manifest) -> list[str]:
    """The files of a dictionary beside its manifest. Raises UserError for a name that leads out of its folder."""
    for name in manifest.files:
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts:
            raise UserError(f"{NAME}: found the file name {name!r}, expected one inside the dictionary's folder")
    return list(manifest.files)


@contextmanager
def errors_at(address: str, folder: Path) -> Iterator[None]:
    """Make UserErrors name the address that a dictionary comes from, instead of its local folder."""
    try:
        yield
    except UserError as error:
        raise UserError(str(error).replace(str(folder), address)) from None
