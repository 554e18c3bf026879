"""Writes a dictionary's folder atomically: complete or not at all."""

import ctypes
import json
import os
import shutil
import tempfile
from pathlib import Path

import polars as pl

from contrastive_concepts.dictionary.index import exact_index, write_index
from contrastive_concepts.dictionary.manifest import Manifest, file_sha256
from contrastive_concepts.encoders import Embeddings

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def publish(
    folder: Path,
    concepts: pl.DataFrame,
    kept: pl.DataFrame,
    rejected: pl.DataFrame,
    embeddings: Embeddings,
    manifest: Manifest,
    encoder_folder: Path | None = None,
) -> None:
    """Write the files to a temporary folder next to `folder`, then replace `folder` in one step.

    An interrupted run leaves either the old or the new folder. `manifest.files` is filled in here.
    encoder_folder: where the files are that the encoder's description names.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        staging.chmod(0o755)
        concepts.write_parquet(staging / "concepts.parquet")
        kept.write_parquet(staging / "contrastive_concepts.parquet")
        rejected.write_parquet(staging / "rejected.parquet")
        half = manifest.encoder.settings.get("vector_precision") == "float16"
        write_index(exact_index(embeddings, half), staging / "concepts.faiss")
        for name in manifest.encoder.carried_files if encoder_folder else ():
            shutil.copyfile(encoder_folder / name, staging / name)  # type: ignore[operator]
        _write_json(staging / "dictionary.json", concepts, kept)
        files = {path.name: file_sha256(path) for path in sorted(staging.iterdir())}
        manifest.model_copy(update={"files": files}).save(staging)
        for path in staging.iterdir():
            _sync(path)
        _sync(staging)
        _take_place(staging, folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _write_json(path: Path, concepts: pl.DataFrame, kept: pl.DataFrame) -> None:
    lists: dict[str, list[str]] = {concept: [] for concept in concepts["concept"]}
    for concept, contrastive in kept.select("concept", "contrastive_concept").iter_rows():
        lists[concept].append(contrastive)
    path.write_text(json.dumps(lists, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _take_place(staging: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(staging, folder)
    elif not _exchange(staging, folder):
        retired = staging.with_name(staging.name + "-old")
        os.rename(folder, retired)
        os.rename(staging, folder)
        shutil.rmtree(retired, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders atomically if the system supports it (Linux). Returns whether they were swapped."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE) == 0)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
