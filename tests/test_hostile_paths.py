"""Folders and files whose names are patterns, wildcards or queries to somebody: taken as they are written."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from contrastive_concepts.captions.corpus import check_inputs, corpus_shards
from contrastive_concepts.captions.files import expand_url, file_name
from contrastive_concepts.captions.formats import detect_format
from contrastive_concepts.captions.manifest import inspect_shard
from contrastive_concepts.captions.shards import Shard, find_shards, shard_id
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.errors import UserError

from .object_servers import Files, serving
from .project import CONCEPTS, Project

FOLDERS = ["corpus [v1]", "a*b", "what?", "{x}", "{{y}}", "[", "]", "{", "a{1,2}b", "%20 +", "[!a]", "**"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_that_is_there_is_no_pattern(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name / "deep [er]"
    folder.mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for place in (folder, tmp_path / "b"):
        (place / "a.tsv").write_text("a boat\thttp://x/1\n")
    found = str(folder / "a.tsv")
    for patterns, data_dir in (
        ([f"{folder}/*.tsv"], "elsewhere"),
        ([f"{folder}/**/*.tsv"], "elsewhere"),
        ([found], "elsewhere"),
        (["*.tsv"], str(folder)),
        ([f"{name}/deep [er]/?.tsv"], str(tmp_path)),
        (["*/*.tsv"], str(tmp_path / name)),
    ):
        assert [shard.path for shard in find_shards(patterns, data_dir)] == [found], patterns


def test_brackets_below_a_pattern_may_stand_for_themselves(tmp_path: Path) -> None:
    (tmp_path / "one" / "v[1]").mkdir(parents=True)
    path = tmp_path / "one" / "v[1]" / "a.tsv"
    path.write_text("a boat\thttp://x/1\n")
    assert [shard.path for shard in find_shards(["*/v[1]/*.tsv"], str(tmp_path))] == [str(path)]


@pytest.mark.parametrize(
    ("url", "name", "layout"),
    [
        ("https://host/caps.tsv.gz?download=true", "caps.tsv.gz", "tsv"),
        ("https://host/a%20b.parquet?sv=1&sig=x/y.json", "a b.parquet", "parquet"),
        ("http://host:80/a.csv#top", "a.csv", "csv"),
        ("http://host/A.JSONL.ZST?x=*[", "A.JSONL.ZST", "jsonl"),
        ("simplecache::https://host/a.tsv?x", "a.tsv", "tsv"),
        ("s3://bucket/deep/a.token.txt", "a.token.txt", "flickr"),
    ],
)
def test_an_address_is_known_by_its_path(url: str, name: str, layout: str) -> None:
    assert file_name(url) == name
    assert detect_format(url) == layout
    if url.startswith("http"):
        assert expand_url(url) == [url]
    assert "sig" not in shard_id(url)


def test_a_query_is_sent_and_the_file_unpacked() -> None:
    files = {"/data/caps.tsv.gz": gzip.compress(b"a boat\thttp://x/1\nsky\thttp://x/2\n")}
    with serving(Files(files)) as (address, _):
        url = f"{address}/data/caps.tsv.gz?download=true"
        (shard,) = find_shards([url])
        assert inspect_shard(Shard(shard.shard, url)).rows == 2


@pytest.mark.parametrize("folder", ["{x}", "{{y}}", "a{1,2}b", "{ z }", "{v.1}"])
def test_a_name_in_braces_is_refused_in_a_line(folder: str, tmp_path: Path) -> None:
    project = Project(tmp_path)
    place = tmp_path / "data" / folder
    place.mkdir()
    for shard in (tmp_path / "data").glob("*.parquet"):
        shard.rename(place / shard.name)
    project.config["captions"] = {"source": "shards", "shards": [f"{folder}/*.parquet"]}
    config = parse_config(project.config | {"data_dir": str(tmp_path / "data")})
    with pytest.raises(UserError, match="in a path, which Snakemake takes for a wildcard"):
        corpus_shards(config, "")
    config = parse_config(project.config | {"data_dir": str(place)})
    with pytest.raises(UserError, match="in a path, which Snakemake takes for a wildcard"):
        check_inputs(config)


@pytest.mark.slow
def test_the_workflow_runs_below_such_folders(tmp_path: Path) -> None:
    project = Project(tmp_path)
    folder = tmp_path / "{} [v1]*" / "what? }{"
    folder.mkdir(parents=True)
    for shard in sorted((tmp_path / "data").glob("*.parquet")):
        shard.rename(folder / shard.name)
    (tmp_path / "data" / "concepts.txt").rename(folder / "[c]{}.txt")
    project.config |= {
        "data_dir": str(folder),
        "captions": {"source": "shards", "shards": [f"{folder}/*.parquet"]},
        "vocabulary": {"source": "given", "path": "[c]{}.txt"},
        "selection": {"stoplist": ["photo", "{z}"]},
    }
    project.snakemake("results/small/cooccurrence/cooccurrence.npz", "results/small/captions/manifest.parquet")
    assert pl.read_parquet(tmp_path / "results/small/vocabulary/concepts.parquet").height == len(CONCEPTS)
