"""The shards of a corpus: patterns are expanded to a stable list, and each shard gets an identifier for file paths."""

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contrastive_concepts.captions.files import expand_url, file_name, is_url
from contrastive_concepts.errors import UserError

UNIGRAM_MAP = "_unigram_to_shard_mapping.pkl"


@dataclass(frozen=True)
class Shard:
    """One file of captions. `shard` is its identifier, `path` a local path or an fsspec URL."""

    shard: str
    path: str

    @property
    def is_local(self) -> bool:
        return not is_url(self.path)


def find_shards(patterns: Sequence[str], data_dir: str = ".") -> list[Shard]:
    """Expand paths, globs and URLs, sorted, each file once. Raises UserError if a pattern matches nothing."""
    found: dict[str, Shard] = {}
    for pattern in patterns:
        remote = is_url(pattern)
        paths = expand_url(pattern) if remote else _expand_path(pattern, data_dir)
        if not paths:
            raise UserError(f"config: captions.shards: {pattern!r} names no file (data_dir is {data_dir!r})")
        for path in paths:
            name = (
                path if remote else Path(path).relative_to(data_dir).as_posix() if _is_below(path, data_dir) else path
            )
            found.setdefault(path, Shard(shard_id(name), path))
    return [found[path] for path in sorted(found)]


def in_job(shards: Sequence[Shard], files: Sequence[str]) -> list[Shard]:
    """The shards at their paths in a job. files: those of the local shards, whose copy can lie elsewhere; or none."""
    if not files:
        return list(shards)
    placed = iter(files)
    return [Shard(shard.shard, next(placed)) if shard.is_local else shard for shard in shards]


def shard_id(name: str) -> str:
    """An identifier from a file's name: characters that are safe in a path, and eight digits of a hash.

    The digits distinguish files of the same name in different folders.
    """
    stem = re.sub(r"[^A-Za-z0-9]+", "-", file_name(name).split(".")[0]).strip("-")[:48] or "shard"
    return f"{stem}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"


def unigram_shard(index: Path, number: int | str) -> Path:
    """The path of one pickle of the unigram index (the paper's ref. 62) whose map is `index`."""
    return index.with_name(f"{index.name.removesuffix(UNIGRAM_MAP)}_combined_unigram_dict_{number}.pkl")


def unigram_shards(index: str | Path) -> list[str]:
    """The paths of all pickles of the unigram index in the folder of its map `index`."""
    pattern = unigram_shard(Path(index), "*")
    return sorted(str(path) for path in pattern.parent.glob(pattern.name))


def _expand_path(pattern: str, data_dir: str) -> list[str]:
    """The files that match a pattern. Parts that exist literally, as folders or files, are not read as a pattern."""
    if (Path(data_dir) / pattern).is_file():
        return [str(Path(data_dir) / pattern)]
    folder, parts = Path(data_dir), list(Path(pattern).parts)
    while len(parts) > 1 and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    rest = str(Path(*parts)) if parts else ""
    # After a folder with wildcards, brackets can be part of a name: tried second.
    for written in dict.fromkeys((rest, rest.replace("[", "[[]"))):
        found = [folder / match for match in glob.glob(written, root_dir=folder, recursive=True)]
        if files := [str(path) for path in found if path.is_file()]:
            return files
    return []


def _is_below(path: str, folder: str) -> bool:
    return Path(path).is_relative_to(folder)
