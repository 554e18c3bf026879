"""No key, password or signature is shown: not in a message, nor in any file that a run leaves."""

import http.server
import io
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts import credentials
from contrastive_concepts.credentials import hide, redact, reveal
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.logs import Redacting

from .project import CONCEPTS, Project
from .scripted_model import scripted_model

KEY = "sk-S3CRETkey0123456789"


@pytest.fixture(autouse=True)
def _nothing_hidden_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(credentials.VARIABLE, "")
    monkeypatch.setattr(credentials, "_told", set())


URLS = [
    ("https://user:pa55word@host/x.parquet", "pa55word"),
    ("s3://AKIAABCDEFGHIJKLMNOP:secretkey@bucket/x", "secretkey"),
    ("https://ghp_0123456789abcdef0123@host/x", "ghp_0123456789abcdef0123"),
    ("https://a.blob.core.windows.net/c/x.parquet?sv=2024-01-01&se=2026&sp=r&sig=AbC%2Bd%3D", "AbC%2Bd%3D"),
    ("https://b.s3.amazonaws.com/x?X-Amz-Credential=AKIA1%2F2&X-Amz-Signature=0f0f0f0f", "0f0f0f0f"),
    ("https://b.s3.amazonaws.com/x?AWSAccessKeyId=AKIAX1234&Signature=sIg%2Fnature&Expires=1", "sIg%2Fnature"),
    ("https://storage.googleapis.com/b/x?X-Goog-Signature=abcdef0123", "abcdef0123"),
    ("https://host/x.tsv?download=true&access_token=t0k3n&api_key=k3yk3y", "t0k3n"),
    ("https://host/f?code=functionkey==", "functionkey=="),
]


@pytest.mark.parametrize(("url", "secret"), URLS)
def test_a_url_is_shown_without_its_credentials_and_opened_with_them(url: str, secret: str) -> None:
    shown = hide(url)
    assert secret not in shown
    assert reveal(shown) == url
    assert hide(shown) == shown
    assert secret not in redact(f"ClientError: cannot connect to {url} [{secret}]")
    assert secret not in str(UserError(f"{url}: no such file"))
    assert secret not in one_line(OSError(f"\x1b[31m{url}\x1b[0m\nfailed"))


@pytest.mark.parametrize(
    "url", ["https://host/x.tsv.gz?download=true", "s3://bucket/a b/[x]*.parquet", "file.tsv", "a@b"]
)
def test_a_url_without_credentials_stays(url: str) -> None:
    assert hide(url) == url == redact(url) == reveal(url)


def test_urls_that_differ_only_in_their_signature_stay_two() -> None:
    one, other = hide(["https://h/x?sig=aaaa", "https://h/x?sig=bbbb"])
    assert one != other
    assert [reveal(one), reveal(other)] == ["https://h/x?sig=aaaa", "https://h/x?sig=bbbb"]


def test_tokens_of_a_servers_environment_and_arguments_are_hidden() -> None:
    judge = {
        "environment": {"HF_TOKEN": "hf_abcdefgh", "CUDA_VISIBLE_DEVICES": "0"},
        "arguments": ["--hf-token", "hf_abcdefgh", "--api-key=hunter22", "--max-model-len", "2048"],
        "api_key_variable": "OPENAI_API_KEY",
    }
    shown = hide(judge)
    assert not any(secret in json.dumps(shown) for secret in ("hf_abcdefgh", "hunter22"))
    assert (shown["environment"]["CUDA_VISIBLE_DEVICES"], shown["api_key_variable"]) == ("0", "OPENAI_API_KEY")
    assert list(map(reveal, shown["arguments"])) == judge["arguments"]
    assert reveal(shown["environment"]["HF_TOKEN"]) == "hf_abcdefgh"


@pytest.mark.parametrize(
    "name", ["OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN",
             "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_SAS_TOKEN", "MY_SAS", "DB_PASSWORD", "GITHUB_PAT"],
)  # fmt: skip
def test_the_names_of_credentials(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "xyzzy plugh")
    assert redact("say xyzzy plugh") == "say ***"
    monkeypatch.delenv(name)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "xyzzy plugh")
    assert redact("say xyzzy plugh") == "say xyzzy plugh"


@given(st.text("abcXYZ019_-./+é", min_size=6, max_size=30), st.text("mnop ="), st.text("mnop ="))
def test_what_the_environment_holds_is_never_shown(secret: str, before: str, after: str) -> None:
    """Nor as a library prints what it finds invalid."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MY_SERVICE_TOKEN", secret + "\n")
        text = redact(before + secret + after + repr((secret + "\n").encode("latin-1")))
    assert secret not in text
    assert repr(secret.encode("latin-1"))[2:-1] not in text


def test_a_stream_redacts_what_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    inner = io.StringIO()
    stream = Redacting(inner)
    for piece in ("the key is ", KEY[:7], KEY[7:], "\nand ", KEY):
        stream.write(piece)
    stream.flush()
    assert inner.getvalue() == "the key is ***\nand ***"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "p").mkdir()
    return Project(tmp_path / "p")


def everything(project: Project) -> Iterator[tuple[Path, bytes]]:
    """Every file that a run left, Snakemake's own included; the configuration is the user's own."""
    for path in project.folder.rglob("*"):
        if path.is_file() and path.name != "config.yaml":
            yield path, path.read_bytes()


def run(project: Project, *options: str, **environment: str) -> tuple[int, str]:
    project.snakemake("--dry-run", *options)
    done = subprocess.run(
        project.command(*options), cwd=project.folder, env={**project.environment, **environment}, capture_output=True,
        text=True, timeout=600, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


class Keyless(http.server.BaseHTTPRequestHandler):
    """Repeats the key in its refusal, as some servers do."""

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"error": {"message": f"Incorrect API key: {self.headers['Authorization']}"}}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (f"{KEY}\n", "refused with 401"),
        pytest.param(f"{KEY}é", "not plain ASCII", marks=pytest.mark.slow),
        pytest.param(f"{KEY}\nx", "expected a key of printable", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_fails_shows_the_key_nowhere(project: Project, key: str, says: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keyless)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    url = f"http://user:hunter22@127.0.0.1:{server.server_port}/v1"
    project.config["visibility"] = {"judge": "openai", "url": url, "model": "m", "attempts": 1}
    code, said = run(project, "results/small/visibility/visibility.parquet", OPENAI_API_KEY=key)
    server.shutdown()
    assert code != 0
    assert says in said
    assert "Traceback" not in said
    for where, content in [(Path("terminal"), said.encode()), *everything(project)]:
        for secret in (KEY.encode(), b"hunter22"):
            assert secret not in content, where


class Signed(http.server.SimpleHTTPRequestHandler):
    """Serves a folder to those who know the signature."""

    folder = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=self.folder)

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def send_head(self) -> Any:
        if "sig=S1GNATURE" not in self.path:
            self.send_error(403)
            return None
        return super().send_head()


@pytest.mark.slow
def test_shards_behind_signed_urls_are_counted_and_their_signature_is_kept_nowhere(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "served").mkdir()
    captions = "\n".join(["a boat on the water", "a dog on grass", "the sky"]) + "\n"
    (tmp_path / "served" / "caps.tsv").write_text(captions)
    Signed.folder = str(tmp_path / "served")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Signed)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    project.config["captions"]["shards"] = [
        f"http://127.0.0.1:{server.server_port}/caps.tsv?sv=2024-01-01&sp=r&sig=S1GNATURE%2Babc"
    ]
    with scripted_model({"freedom"}) as model:
        project.config["visibility"] = model.judge
        project.config["similarity"] = {
            "encoder": "open_clip", "model": "toyworld-clip", "pretrained": None, "templates": "photo"
        }  # fmt: skip
        code, said = run(project, "dictionary")
    server.shutdown()
    assert code == 0, said[-3000:]
    assert project.dictionary.manifest.captions["rows"] == 3
    assert set(pl.read_parquet(project.folder / "results/small/vocabulary/concepts.parquet")["concept"]) == set(
        CONCEPTS
    )
    for where, content in [(Path("terminal"), said.encode()), *everything(project)]:
        assert b"S1GNATURE" not in content, where
    assert os.environ.get(credentials.VARIABLE) == ""
