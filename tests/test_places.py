"""Dictionaries at addresses: fetched once, checked, read again without a network. The servers are real, on loopback."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner
from werkzeug.wrappers import Request, Response

from contrastive_concepts import ConceptSegmenter, ContrastiveConcepts, credentials
from contrastive_concepts.cli.main import app
from contrastive_concepts.dictionary.manifest import NAME, read_manifest
from contrastive_concepts.dictionary.places import LATEST, LEFTOVER_SECONDS, UNFINISHED, cache_folder, fetch
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource

from .helpers import release_dictionary
from .object_servers import Files, s3_server, serving

LOAD = "import sys; from contrastive_concepts.dictionary.places import fetch; print(fetch(sys.argv[1]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("places") / "a")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release_dictionary(tmp_path_factory.mktemp("places") / "b", gamma=0.3)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(credentials.VARIABLE, "")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_server() as (environment, _):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("place")
        yield bucket
        bucket.rm("place", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def served(folder: Path, at: str = "/d") -> dict[str, bytes]:
    return {f"{at}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def entries() -> list[Path]:
    """The folders of copies; one that is not finished is none."""
    return sorted(path for path in cache_folder().glob("*/*") if path.is_dir())


def error_of(address: str) -> str:
    with pytest.raises(UserError) as caught:
        fetch(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(address: str, folder: Path) -> None:
    found, expected = ContrastiveConcepts.load(address), ContrastiveConcepts.load(folder)
    assert dict(found) == dict(expected)
    assert found.folder.is_relative_to(cache_folder())
    assert {path.name: path.read_bytes() for path in found.folder.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_a_path_is_no_address(folder: Path) -> None:
    assert fetch(folder) == fetch(str(folder)) == folder
    assert not cache_folder().exists()


def test_folders_on_a_disk_and_in_memory(folder: Path) -> None:
    same(f"file://{folder}", folder)
    same(f"file://{folder}/", folder)
    memory = fsspec.filesystem("memory")
    for path in folder.iterdir():
        memory.pipe_file(f"/place/{path.name}", path.read_bytes())
    same("memory://place", folder)


def test_a_folder_on_s3(folder: Path, s3: Any) -> None:
    for path in folder.iterdir():
        s3.put_file(str(path), f"place/d/{path.name}")
    same("s3://place/d", folder)
    assert "no such file, expected the address of a dictionary" in error_of("s3://place/none")


@pytest.mark.parametrize("form", ["zip", "tar", "gztar"])
def test_archives(form: str, folder: Path, tmp_path: Path) -> None:
    packed = shutil.make_archive(str(tmp_path / "packed"), form, folder.parent, folder.name)
    same(f"file://{packed}", folder)
    with serving(Files({"/packed" + packed.partition("packed")[2]: Path(packed).read_bytes()})) as (host, counted):
        address = f"{host}/packed{packed.partition('packed')[2]}"
        same(address, folder)
        before = dict(counted.served)
        same(address, folder)
        assert counted.served == before


def test_archives_that_hold_no_dictionary(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "not.zip").write_bytes(b"nothing packed")
    assert "not.zip: not a readable archive (" in error_of(f"file://{tmp_path}/not.zip")
    two = tmp_path / "two"
    for name in "ab":
        shutil.copytree(folder, two / name)
    packed = shutil.make_archive(str(tmp_path / "two"), "zip", two)
    assert error_of(f"file://{packed}").endswith("found 2 files manifest.json, expected an archive of one dictionary")
    (two / "a" / "concepts.faiss").unlink()
    packed = shutil.make_archive(str(tmp_path / "one"), "tar", two, "a")
    assert error_of(f"file://{packed}") == f"file://{packed}/concepts.faiss: missing, expected by manifest.json"
    assert entries() == []


def test_the_second_load_asks_for_the_manifest_alone(folder: Path) -> None:
    with serving(Files(served(folder))) as (host, counted):
        same(f"{host}/d", folder)
        assert counted.served.keys() == served(folder).keys()
        counted.served.clear()
        same(f"{host}/d", folder)
        assert counted.served.keys() == {"/d/manifest.json"}


def test_without_the_server_the_copy_is_used_and_a_note_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(Files(served(folder))) as (host, _):
        same(f"{host}/d", folder)
    same(f"{host}/d", folder)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"note: {host}/d/manifest.json: cannot be read (Cannot connect to host")
    assert said[0].endswith("; the copy that was fetched before is used")
    assert error_of(f"{host}/e").startswith(f"{host}/e/manifest.json: cannot be read (Cannot connect to host")


def test_another_dictionary_at_the_address_is_fetched(folder: Path, other: Path) -> None:
    files = Files(served(folder))
    with serving(files) as (host, _):
        first = ContrastiveConcepts.load(f"{host}/d")
        files.files = served(other)
        same(f"{host}/d", other)
        # The first is still read by those who loaded it: its other files are read when they are needed.
        assert first.typed("boat") == ContrastiveConcepts.load(folder).typed("boat")
        assert len(entries()) == 2


def test_a_file_that_is_not_the_manifests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = Files(served(folder))
    sound = files.files["/d/concepts.parquet"]
    with serving(files) as (host, _):
        files.files["/d/concepts.parquet"] = sound[:-1] + b"x"
        expected = read_manifest(folder).files["concepts.parquet"][:12]
        said = error_of(f"{host}/d")
        assert said.startswith(f"{host}/d/concepts.parquet: found sha256 ")
        assert f"expected {expected}...: the file was changed" in said
        del files.files["/d/concepts.parquet"]
        assert error_of(f"{host}/d") == f"{host}/d/concepts.parquet: no such file"
        files.files["/d/manifest.json"] = b"{}"
        assert error_of(f"{host}/d").startswith(f"{host}/d/manifest.json: not a readable manifest (")
    assert entries() == []


def test_names_that_lead_elsewhere_are_refused(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    shutil.copytree(folder, place)
    manifest = json.loads((place / NAME).read_text())
    for name in ("../up", "/etc/passwd", ""):
        (place / NAME).write_text(json.dumps(manifest | {"files": {name: "0" * 64}}))
        assert f"found the file name {name!r}, expected one inside" in error_of(f"file://{place}")


class Slow:
    """Files of a server that stops in the midst of one, until it is told to go on."""

    def __init__(self, files: dict[str, bytes], slow: str) -> None:
        self.files, self.slow = files, slow
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = Request(environ).path
        if path == self.slow:
            self.reached.set()
            self.go_on.wait(60)
        return Response(self.files[path], mimetype="application/octet-stream")(environ, start_response)


def test_a_fetch_that_is_killed_leaves_nothing_that_is_read(folder: Path) -> None:
    slow = Slow(served(folder), "/d/dictionary.json")
    with serving(slow) as (host, _):
        process = subprocess.Popen([sys.executable, "-c", LOAD, f"{host}/d"], stderr=subprocess.DEVNULL)
        assert slow.reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        slow.go_on.set()
        [left] = cache_folder().glob("*/*")
        assert left.name.startswith(UNFINISHED)
        assert not (left.parent / LATEST).exists()
        same(f"{host}/d", folder)
        # One that may still be at work is left alone; one of yesterday is not.
        assert left.is_dir()
        old = time.time() - LEFTOVER_SECONDS - 1
        os.utime(left, (old, old))
        shutil.rmtree(entries()[-1])
        same(f"{host}/d", folder)
    assert not left.exists()


def test_an_answer_that_is_cut_off(folder: Path) -> None:
    class Cut(Files):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            content = self.files[Request(environ).path]
            if environ["PATH_INFO"].endswith(".faiss"):
                start_response("200 OK", [("Content-Length", str(len(content)))])
                return [content[: len(content) // 2]]
            return super().__call__(environ, start_response)

    with serving(Cut(served(folder))) as (host, _):
        assert error_of(f"{host}/d").startswith(f"{host}/d/concepts.faiss: cannot be read (")
    assert entries() == []


def test_two_processes_at_once(folder: Path) -> None:
    both = threading.Barrier(2)

    class Together(Files):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["PATH_INFO"].endswith(".faiss"):
                both.wait(60)
            return super().__call__(environ, start_response)

    with serving(Together(served(folder))) as (host, _):
        command = [sys.executable, "-c", LOAD, f"{host}/d"]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        told = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert told == {str(path) for path in entries()}
    assert len(told) == 1


@pytest.mark.parametrize("damage", ["concepts.faiss", NAME, LATEST, "gone"])
def test_a_damaged_copy_is_fetched_again(damage: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Files(served(folder))) as (host, counted):
        copy = fetch(f"{host}/d")
        if damage == "gone":
            shutil.rmtree(copy)
        else:
            path = copy.parent / LATEST if damage == LATEST else copy / damage
            path.write_bytes(path.read_bytes()[:-9])
        counted.served.clear()
        same(f"{host}/d", folder)
        assert "the damaged copy is not used" in capsys.readouterr().err
        counted.served.clear()
        same(f"{host}/d", folder)
        assert counted.served.keys() == {"/d/manifest.json"}
        assert capsys.readouterr().err == ""
        (fetch(f"{host}/d") / "concepts.faiss").write_bytes(b"")
    assert error_of(f"{host}/d").startswith(f"{host}/d/manifest.json: cannot be read (Cannot connect")


def test_a_signature_opens_every_file_and_is_shown_nowhere(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class Signed(Files):
        def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if Request(environ).args.get("X-Amz-Signature") != "s1gnature":
                return Response("who are you?", 403)(environ, start_response)
            return super().__call__(environ, start_response)

    with serving(Signed(served(folder))) as (host, _):
        same(f"{host}/d?X-Amz-Signature=s1gnature", folder)
        said = error_of(f"{host}/e?X-Amz-Signature=wr0ngsign")
        assert "403" in said
    fetch(f"{host}/d?X-Amz-Signature=s1gnature")
    said += capsys.readouterr().err + error_of(f"https://somebody:pa55word@{host.partition('//')[2]}/d")
    # A later signature of the same address has the same copy.
    fetch(f"{host}/d?X-Amz-Signature=another0ne")
    said += "".join(path.read_text() for path in (tmp_path / "cache").rglob(LATEST))
    assert not any(secret in said for secret in ("s1gnature", "wr0ngsign", "pa55word", "another0ne"))


def test_what_cannot_be_fetched_is_said_in_a_line(folder: Path, tmp_path: Path) -> None:
    assert "none/manifest.json: no such file, expected the address of a dictionary" in error_of(f"file://{folder}/none")
    assert error_of("nowhere://x") == "nowhere://x/manifest.json: cannot be read (Protocol not known: nowhere)"
    assert error_of("hf://datasets/only") == "hf://datasets/only: expected hf://datasets/ORG/NAME[@REVISION][/FOLDER]"
    for package, address in (("s3fs", "s3://place/d"), ("huggingface_hub", "hf://datasets/a/b")):
        code = f"import sys; sys.modules[{package!r}] = None; from contrastive_concepts.cli import main; main()"
        command = [sys.executable, "-c", code, "query", address, "boat"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stderr.count("\n") == 1
        assert "pip install 'contrastive-concepts[remote]'" in done.stderr


def test_a_cache_that_is_no_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "cannot be written (" in error_of(f"file://{folder}")


def test_commands_take_addresses(folder: Path, other: Path, tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output
        return done.output

    for command in (
        ["query", "{}", "boat"],
        ["export", "{}", "-o", "{out}", "-f", "json"],
        ["explore", "{}", "-o", "{out}"],
    ):
        outputs = []
        for number, place in enumerate((str(folder), f"file://{folder}")):
            out = tmp_path / f"{command[0]}{number}"
            text = said(*(word.format(place, out=out) for word in command))
            outputs.append(out.read_bytes() if out.exists() else text)
        assert outputs[0] == outputs[1]
    assert said("diff", f"file://{folder}", str(other)) == said("diff", str(folder), f"file://{other}")


def test_a_segmenter_takes_an_address() -> None:
    toy = resource("dictionaries/toyworld")
    segmenter = ConceptSegmenter(f"file://{toy}")
    assert segmenter.dictionary.folder.is_relative_to(cache_folder())
    assert segmenter.dictionary["boat"] == ContrastiveConcepts.load(toy, background=False)["boat"]
