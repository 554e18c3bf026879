"""A dictionary that is published: its card, the hub (its client against a stand-in on loopback), S3, folders."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from contrastive_concepts import ContrastiveConcepts, credentials
from contrastive_concepts.cli.main import app
from contrastive_concepts.dictionary.manifest import NAME, file_sha256, read_manifest
from contrastive_concepts.dictionary.push import README, publication, push, without_folders
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource

from .helpers import release_dictionary
from .hub_api import TOKEN, Hub
from .object_servers import s3_server, serving

DATASET = "somebody/boats"
PLACE = f"hf://datasets/{DATASET}"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(credentials.VARIABLE, "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("push") / "a")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stricter one, with a file that the first has not."""
    found = release_dictionary(tmp_path_factory.mktemp("push") / "b", gamma=0.3)
    (found / "more.txt").write_text("more")
    manifest = read_manifest(found)
    manifest.files["more.txt"] = file_sha256(found / "more.txt")
    manifest.save(found)
    return found


@dataclass
class Client:
    """The commands as a user runs them, each in a process of its own: the hub's client reads its address as it starts."""

    hub: Hub
    environment: dict[str, str]

    def __call__(self, *command: str, fails: bool = False, **changes: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "contrastive_concepts", *command],
            env=self.environment | changes, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        if fails:
            assert done.stderr.count("\n") == 1 + done.stderr.count("note: "), done.stderr
        assert TOKEN not in done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def files(self) -> dict[str, bytes]:
        """What the hub has of the dataset now."""
        dataset = self.hub.datasets[DATASET]
        return dataset.commits[dataset.head]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    hub = Hub()
    with serving(hub) as (host, _):
        # The stand-in takes large files as Git LFS does, which the client falls back to without Xet.
        own = {"HF_ENDPOINT": host, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
        yield Client(hub, {**os.environ, **own})


def test_what_is_pushed_to_the_hub_is_loaded_from_it(client: Client, folder: Path, other: Path) -> None:
    said = client("push", str(folder), PLACE, "--licence", "cc-by-4.0")
    first = said.splitlines()[-1]
    assert first == f"{PLACE}@{client.hub.datasets[DATASET].head}"
    assert client.files.keys() == {".gitattributes", README, *(path.name for path in folder.iterdir())}
    expected = client("query", str(folder), "boat", "dog")
    assert client("query", PLACE, "boat", "dog") == client("query", first, "boat", "dog") == expected

    said = client("push", str(other), PLACE)
    assert "note: the card states no licence" in said
    assert "    concepts.parquet: " not in said
    assert "    contrastive_concepts.parquet: changed\n" in said
    assert "    more.txt: added\n" in said
    before, after = (read_manifest(each).counts["contrastive concepts"] for each in (folder, other))
    assert f"    contrastive concepts: {before} -> {after}\n" in said
    dataset = client.hub.datasets[DATASET]
    assert dataset.messages[-1] == f"{read_manifest(other).run}, 6 concepts, {after} contrastive concepts"
    assert client("query", PLACE, "boat") == client("query", str(other), "boat")
    assert client("query", first, "boat") == client("query", str(folder), "boat")

    client("push", str(folder), PLACE, "--licence", "cc-by-4.0")
    assert "more.txt" not in client.files
    assert len(dataset.commits) == 4
    client("push", str(folder), PLACE, "--licence", "cc-by-4.0")
    assert len(dataset.commits) == 4


def test_what_was_fetched_from_the_hub_needs_no_network(client: Client, folder: Path, tmp_path: Path) -> None:
    pinned = client("push", str(folder), PLACE, "--licence", "mit").splitlines()[-1]
    client("query", PLACE, "boat")
    client.hub.asked.clear()
    expected = client("query", pinned, "boat")
    assert not [path for _, path in client.hub.asked if DATASET in path]

    # A file of the hub's cache is changed: it is fetched again.
    blob = next(tmp_path.glob("hf/hub/*/snapshots/*/concepts.faiss")).resolve()
    blob.write_bytes(b"x")
    assert client("query", pinned, "boat") == expected
    assert blob.read_bytes() == (folder / "concepts.faiss").read_bytes()

    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert client("query", pinned, "boat", **nowhere) == expected
    said = client("query", PLACE, "boat", **nowhere)
    assert said.startswith(expected)
    assert "onnection refused); the copy that was fetched before is used" in said
    assert "HF_HUB_OFFLINE is set; the copy" in client("query", PLACE, "boat", HF_HUB_OFFLINE="1")
    for changes in (nowhere, {"HF_HUB_OFFLINE": "1"}):
        assert "no copy of it is in the hub's cache" in client("query", f"{PLACE}2", "boat", fails=True, **changes)
        assert client("push", str(folder), PLACE, "--licence", "mit", fails=True, **changes)


def test_what_the_hub_refuses(client: Client, folder: Path) -> None:
    client("push", str(folder), PLACE, "--private")
    dataset = client.hub.datasets[DATASET]
    assert dataset.private
    fresh = {"HF_HUB_CACHE": client.environment["HF_HOME"] + "/fresh"}
    assert "no such dataset, or one that your token may not read" in client(
        "query", PLACE, "boat", fails=True, HF_TOKEN="", **fresh
    )
    assert "no such dataset" in client("query", f"{PLACE}2", "boat", fails=True)
    assert "no revision 'v2'" in client("query", f"{PLACE}@v2", "boat", fails=True)
    assert f"{PLACE}/sub: no sub/manifest.json in it" in client("query", f"{PLACE}/sub", "boat", fails=True)
    said = client("push", str(folder), PLACE, "--licence", "mit", fails=True, HF_TOKEN="hf_wrongwrong")
    assert "cannot be written (Invalid username or password.), expected a token that is allowed to" in said
    assert len(dataset.commits) == 2
    assert "expected hf://datasets/ORG/NAME" in client("push", str(folder), f"{PLACE}@v2", fails=True)
    # On the hub a file that is not the manifest's.
    dataset.add(dataset.commits[dataset.head] | {"concepts.faiss": b"x"}, "damaged")
    said = client("query", PLACE, "boat", fails=True)
    assert f"{PLACE}/concepts.faiss: found sha256" in said


def test_a_dictionary_in_a_folder_of_a_dataset(client: Client, folder: Path) -> None:
    client("push", str(folder), PLACE)
    dataset = client.hub.datasets[DATASET]
    dataset.add({f"a/b/{name}": content for name, content in client.files.items()}, "moved")
    assert client("query", f"{PLACE}/a/b", "boat") == client("query", str(folder), "boat")


def test_the_tables_are_read_by_datasets(client: Client, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the package `datasets` is not installed")
    folder = resource("dictionaries/toyworld")
    client("push", str(folder), PLACE)
    client("push", str(folder), f"file://{tmp_path}/published")
    code = (
        "import datasets, json, sys\n"
        "print(json.dumps({name: datasets.load_dataset(sys.argv[1], name, split='train').to_list()"
        " for name in datasets.get_dataset_config_names(sys.argv[1])}))\n"
        "print(datasets.load_dataset(sys.argv[1], split='train').column_names)"
    )
    for place in (DATASET, f"{tmp_path}/published"):
        command = [sys.executable, "-c", code, place]
        done = subprocess.run(command, env=client.environment, capture_output=True, text=True, check=True)
        tables, default = done.stdout.splitlines()
        read = json.loads(tables)
        assert read.keys() == {"contrastive_concepts", "concepts", "rejected"}
        for name, rows in read.items():
            assert rows == pl.read_parquet(folder / f"{name}.parquet").to_dicts()
        assert "rank" in default


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_server() as (environment, _):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("published")
        yield bucket
        bucket.rm("published", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_other_addresses(folder: Path, other: Path, tmp_path: Path, s3: Any) -> None:
    for address in (f"file://{tmp_path}/a/b", "memory://published", "s3://published/d"):
        for source in (folder, other, folder):
            done = CliRunner().invoke(app, ["push", str(source), address])
            assert done.exit_code == 0, done.output
            assert dict(ContrastiveConcepts.load(address)) == dict(ContrastiveConcepts.load(source))
        assert "    more.txt: removed\n" in done.output
        filesystem, root = fsspec.core.url_to_fs(address)
        filesystem.invalidate_cache()
        names = {Path(path).name for path in filesystem.find(root)}
        assert names == {README, *(path.name for path in folder.iterdir())}


def test_addresses_that_cannot_be_written(folder: Path, tmp_path: Path, s3: Any) -> None:
    published = publication(folder, PLACE)
    for address in ("https://host/d", str(tmp_path / "d"), "hf:/datasets/a/b"):
        with pytest.raises(UserError, match="expected an address that can be written"):
            push(published, address)
    with pytest.raises(UserError, match=r"s3://nobody/d: cannot be written \("):
        push(published, "s3://nobody/d")
    (tmp_path / README).write_text("another's")
    with pytest.raises(UserError, match=r"found README.md but no manifest.json"):
        push(published, f"file://{tmp_path}")
    assert (tmp_path / README).read_text() == "another's"


def test_a_dry_run_sends_nothing(folder: Path, tmp_path: Path) -> None:
    # The address is of no server: nothing is asked either.
    done = CliRunner().invoke(app, ["push", str(folder), "s3://nobody/d", "--dry-run", "--licence", "mit"])
    assert done.exit_code == 0, done.output
    sizes = {line.split()[1]: int(line.split()[0].replace(",", "")) for line in done.output.splitlines()}
    assert sizes.pop("bytes") == sum(sizes.values())
    assert sizes.keys() == {README, *(path.name for path in folder.iterdir())}
    assert all(size == (folder / name).stat().st_size for name, size in sizes.items() if name not in (README, NAME))


def test_the_card_says_what_the_manifest_says(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "d"
    shutil.copytree(folder, place)
    manifest = read_manifest(place)
    hostile = "<b>mine</b>\n# a | [x](y)"
    pl.read_parquet(place / "rejected.parquet").head(0).write_parquet(place / "rejected.parquet")
    files = manifest.files | {"rejected.parquet": file_sha256(place / "rejected.parquet")}
    manifest.model_copy(update={"run": hostile, "corpus": hostile, "files": files}).save(place)
    card = publication(place, f"file://{tmp_path}/published", "cc-by-4.0").files[README]
    assert isinstance(card, bytes)
    _, head, text = card.decode().split("---\n", 2)
    front = yaml.safe_load(head)
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == f"Contrastive concepts: {hostile}"
    # `datasets` refuses a table without rows.
    assert [(each["config_name"], each.get("default")) for each in front["configs"]] == [
        ("contrastive_concepts", True),
        ("concepts", None),
    ]
    assert "<b>" not in text
    assert "\n# a" not in text
    for name, count in manifest.counts.items():
        assert f"| {name} | {count:,} |" in text
    assert f"| gamma | {manifest.thresholds['gamma']} |" in text
    assert "| rejected | 0 |" in text
    assert str(tmp_path) not in card.decode()
    unlicensed = publication(place, PLACE).files[README]
    assert isinstance(unlicensed, bytes)
    assert b"license:" not in unlicensed
    assert b"No licence was stated." in unlicensed
    assert f'load("{PLACE}")'.encode() in unlicensed


def test_no_credential_and_no_folder_of_yours_is_published(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "d"
    shutil.copytree(folder, place)
    manifest = read_manifest(place)
    shard = {"shard": "a", "path": "/home/somebody/captions/a.parquet", "rows": 1}
    config = {
        "captions": {"shards": ["s3://AKIAABCDEFGHIJKLMNOP:s3cretkey@bucket/x", "~/captions/a.parquet", "data/b.tsv"]},
        "visibility": {"environment": {"HF_TOKEN": "hf_abcdefgh"}, "url": "http://somebody:pa55word@host/v1"},
        "similarity": {"model": "local-dir:/home/somebody/clip"},
    }
    encoder = manifest.encoder.model_copy(
        update={"name": "open_clip:x:/home/somebody/clip", "settings": {"model": "local-dir:/home/somebody/clip"}}
    )
    changes = {"config": config, "shards": [shard], "encoder": encoder, "judge": {"model": ["/home/somebody/judge"]}}
    manifest.model_copy(update=changes).save(place)
    done = CliRunner().invoke(app, ["push", str(place), f"file://{tmp_path}/published"])
    assert done.exit_code == 0, done.output
    published = tmp_path / "published"
    texts = {name: (published / name).read_text() for name in (README, NAME)}
    for secret in ("s3cretkey", "hf_abcdefgh", "pa55word"):
        assert secret not in texts[README] + texts[NAME] + done.output
    assert "somebody" not in texts[README]
    found = read_manifest(published)
    assert found.shards[0]["path"] == "a.parquet"
    assert found.config["captions"]["shards"][1:] == ["a.parquet", "data/b.tsv"]
    assert found.config["similarity"]["model"] == "local-dir:clip"
    assert found.judge["model"] == ["judge"]
    # The encoder is rebuilt from its settings: they stay, and the user is told.
    assert found.encoder == encoder
    assert "note: the manifest names your encoder's local path 'local-dir:/home/somebody/clip'" in done.output
    assert found.files == manifest.files


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/x y.parquet", "x y.parquet"),
        ("~me/captions/*.parquet", "*.parquet"),
        ("file:///home/me/x", "file://x"),
        ("open_clip:ViT-B-16:/home/me/w.pt", "open_clip:ViT-B-16:w.pt"),
        ("s3://bucket/folder/x", "s3://bucket/folder/x"),
        ("https://host/a b/c", "https://host/a b/c"),
        ("hf-hub:owner/name", "hf-hub:owner/name"),
        ("results/toy/x", "results/toy/x"),
        ("and / or", "and / or"),
    ],
)
def test_paths_are_cut_to_their_last_part(text: str, shown: str) -> None:
    assert without_folders(text) == shown
