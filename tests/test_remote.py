"""Corpora behind S3 and HTTP: real servers on loopback, the same counts as from local files, the caption column only."""

import contextlib
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contrastive_concepts.captions.manifest import inspect_shard
from contrastive_concepts.captions.shards import Shard, find_shards
from contrastive_concepts.cooccurrence.matrix import load_matrix
from contrastive_concepts.cooccurrence.shard import count_shard
from contrastive_concepts.errors import UserError
from contrastive_concepts.matching.lexicon import Lexicon

from .object_servers import Counted, Files, s3_server, serving
from .project import Project

WORDS = ["boat", "water", "sky", "dock", "dog", "grass", "a", "the", "on"]
SHARDS = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of which the captions are a small part: the other column cannot be packed."""
    folder = tmp_path_factory.mktemp("corpus")
    draw = random.Random(0)
    for number in range(SHARDS):
        captions = [" ".join(draw.choices(WORDS, k=6)) for _ in range(4000)]
        table = pa.table({"URL": [draw.randbytes(500) for _ in captions], "TEXT": captions})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=1000, use_dictionary=False)
    return folder


@dataclass
class Remote:
    """The corpus behind a server."""

    prefix: str
    patterns: list[str]
    counted: Counted

    def served(self, name: str) -> int:
        return next(served for path, served in self.counted.served.items() if path.endswith(name))


def forget(protocol: str) -> None:
    """A filesystem keeps its address and its keys for the life of the process."""
    fsspec.get_filesystem_class(protocol).clear_instance_cache()


@pytest.fixture
def over_http(corpus: Path) -> Iterator[Remote]:
    files = {f"/data/{path.name}": path.read_bytes() for path in corpus.iterdir()}
    with serving(Files(files)) as (address, counted):
        yield Remote(f"{address}/data", [f"{address}{path}" for path in files], counted)
    forget("http")


@pytest.fixture
def over_s3(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    with s3_server() as (environment, counted):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        with contextlib.suppress(FileExistsError):
            bucket.mkdir("laion")
        for path in corpus.iterdir():
            bucket.put_file(str(path), f"laion/meta/{path.name}")
        yield Remote("s3://laion/meta", ["s3://laion/meta/part-*.parquet"], counted)
    forget("s3")


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.build(WORDS[:6])


def counts(lexicon: Lexicon, shards: list[Shard]) -> np.ndarray:
    none = np.empty(0, np.int64)
    return sum(count_shard(inspect_shard(shard), lexicon, 10_000, none, "fail")[0] for shard in shards).toarray()


@pytest.mark.parametrize("remote", ["over_http", "over_s3"])
def test_remote_shards_give_the_counts_of_local_ones(
    remote: str, corpus: Path, lexicon: Lexicon, request: pytest.FixtureRequest
) -> None:
    there: Remote = request.getfixturevalue(remote)
    shards = find_shards(there.patterns)
    assert len(shards) == SHARDS
    np.testing.assert_array_equal(counts(lexicon, shards), counts(lexicon, find_shards(["*.parquet"], str(corpus))))


@pytest.mark.parametrize("remote", ["over_http", "over_s3"])
def test_only_the_captions_are_fetched(
    remote: str, corpus: Path, lexicon: Lexicon, request: pytest.FixtureRequest
) -> None:
    there: Remote = request.getfixturevalue(remote)
    shards = find_shards(there.patterns)
    there.counted.served.clear()
    counts(lexicon, shards)
    for path in corpus.iterdir():
        metadata = pq.ParquetFile(path).metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        captions = sum(group.column(1).total_compressed_size for group in groups)
        # The footer is read thrice (the column, the rows, the captions), 64 kB each time.
        assert captions <= there.served(path.name) <= captions + 3 * 65_536 + 1024
        assert there.served(path.name) < path.stat().st_size / 5


def unused_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def error_of(path: str) -> str:
    """The one line that a user sees."""
    with pytest.raises(UserError) as caught:
        inspect_shard(Shard("x", path))
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def test_what_http_refuses_is_said_in_a_line(over_http: Remote) -> None:
    host = over_http.prefix.removesuffix("/data")
    assert error_of(f"{over_http.prefix}/none.parquet") == "no such file"
    assert error_of(f"{host}/secret/part-0.parquet").startswith("cannot be read (403")
    assert error_of(f"{unused_address()}/part-0.parquet").startswith("cannot be read (Cannot connect to host")


def test_what_s3_refuses_is_said_in_a_line(over_s3: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error_of("s3://laion/meta/none.parquet") == "no such file"
    assert error_of("s3://nobody/part-0.parquet") == "no such file"
    with pytest.raises(UserError, match=r"captions.shards: 's3://laion/none/\*' names no file"):
        find_shards(["s3://laion/none/*"])
    # From here on the server asks who is there.
    httpx.post(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", content=b"0")
    try:
        assert error_of("s3://laion/meta/part-0.parquet").startswith("cannot be read (Forbidden")
    finally:
        httpx.post(f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/reset-auth", content=b"1000000")
    monkeypatch.setenv("AWS_ENDPOINT_URL", unused_address())
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget("s3")
    assert "connect to the endpoint" in error_of("s3://laion/meta/part-0.parquet")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget("s3")
    assert "redentials" in error_of("s3://laion/meta/part-0.parquet")


def test_a_remote_shard_that_is_no_parquet(over_http: Remote) -> None:
    over_http.counted.application.files["/data/cut.parquet"] = over_http.counted.application.files[
        "/data/part-0.parquet"
    ][:-100]
    assert error_of(f"{over_http.prefix}/cut.parquet").startswith("not a readable parquet file (")


@pytest.mark.slow
def test_the_workflow_counts_over_s3(tmp_path: Path, corpus: Path, over_s3: Remote, lexicon: Lexicon) -> None:
    project = Project(tmp_path)
    project.environment = {**project.environment, **{k: v for k, v in os.environ.items() if k.startswith("AWS_")}}
    project.config["captions"]["shards"] = over_s3.patterns
    (tmp_path / "data" / "concepts.txt").write_text("\n".join(WORDS[:6]))
    project.snakemake("results/small/cooccurrence/cooccurrence.npz")
    found = load_matrix(tmp_path / "results" / "small" / "cooccurrence" / "cooccurrence.npz")
    np.testing.assert_array_equal(found.toarray(), counts(lexicon, find_shards(["*.parquet"], str(corpus))))
