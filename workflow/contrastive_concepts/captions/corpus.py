"""A configured corpus: the paths of its input data, and a check that they exist."""

import re
from pathlib import Path

from contrastive_concepts.captions.files import is_url
from contrastive_concepts.captions.shards import Shard, find_shards
from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.errors import UserError

WILDCARD = re.compile(r"\{\s*[.\w]+\s*(?:,[^{}]*)?\}")


def data_path(settings: RunSettings, path: str) -> str:
    """A path of input data. Relative paths are resolved in data_dir; URLs are not changed.

    Raises UserError for a path that Snakemake would read as a pattern.
    """
    return path if is_url(path) else without_wildcard(str(Path(settings.data_dir) / path))


def without_wildcard(path: str) -> str:
    """The path, unchanged. Raises UserError if it has a name in braces, because Snakemake cannot escape it."""
    if found := WILDCARD.search(path):
        raise UserError(
            f"{path}: found {found[0]} in a path, which Snakemake takes for a wildcard; rename it, or link to it"
        )
    return path


def corpus_shards(settings: RunSettings, folder: str) -> list[Shard]:
    """The shards of the corpus. The toy world's are in `folder`. Raises UserError if a pattern matches no file."""
    captions = settings.captions
    if captions.source == "shards":
        shards = find_shards(captions.shards, settings.data_dir)
        for shard in shards:
            if shard.is_local:
                without_wildcard(shard.path)
        return shards
    if captions.source == "toyworld":
        names = [f"part-{number:05d}" for number in range(captions.shards)]
        return [Shard(name, f"{folder}/{name}.snappy.parquet") for name in names]
    return []


def check_inputs(settings: RunSettings) -> None:
    """Raises UserError with the configuration key of a local input file that does not exist."""
    wanted = {}
    if settings.captions.source == "concept_index":
        wanted["captions.index"] = settings.captions.index
        if settings.captions.is_unigram_map and is_url(settings.captions.index):
            raise UserError("config: captions.index: found a URL, expected the unigram pickles in a local folder")
    if settings.captions.source == "release":
        wanted["captions.release"] = settings.captions.release
    if settings.vocabulary.source == "given":
        wanted["vocabulary.path"] = settings.vocabulary.path
    wanted |= {f"writing.class_lists.{name}": path for name, path in settings.writing.class_lists.items()}
    without_wildcard(getattr(settings.visibility, "calibration", None) or "")
    if settings.audit.path is not None:
        wanted["audit.path"] = settings.audit.path
    for key, name in wanted.items():
        path = data_path(settings, name)
        if not is_url(path) and not Path(path).is_file():
            raise UserError(f"config: {key}: no file {path!r} (data_dir is {settings.data_dir!r})")
