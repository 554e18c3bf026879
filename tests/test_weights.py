"""Files of trained heads by address: kept only where the content is the expected one."""

import hashlib
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.weights import OFFICIAL, OfficialFile, fetch

CONTENT = b"heads" * 1000


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "published.pt").write_bytes(CONTENT)
    return (tmp_path / "published.pt").as_uri()


def test_a_file_is_kept_where_its_checksum_is_right(tmp_path: Path, url: str) -> None:
    target, sha256 = tmp_path / "new" / "heads.pt", hashlib.sha256(CONTENT).hexdigest()
    assert fetch(OfficialFile(url, sha256.upper()), target) == sha256
    assert target.read_bytes() == CONTENT
    with pytest.raises(UserError, match="exists already"):
        fetch(OfficialFile(url), target)
    blob = subprocess.run(["git", "hash-object", target], capture_output=True, text=True, check=True).stdout.strip()
    fetch(OfficialFile(url, git_blob=blob), tmp_path / "new" / "again.pt")


@pytest.mark.parametrize("wrong", [{"sha256": "0" * 64}, {"git_blob": OFFICIAL["clip_dinoiser"].git_blob}])
def test_another_content_leaves_nothing(tmp_path: Path, url: str, wrong: dict[str, str]) -> None:
    with pytest.raises(UserError, match="nothing was kept"):
        fetch(OfficialFile(url, **wrong), tmp_path / "new" / "heads.pt")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_command(tmp_path: Path, url: str) -> None:
    target = tmp_path / "heads.pt"
    done = CliRunner().invoke(app, ["weights", url, str(target), "--sha256", hashlib.sha256(CONTENT).hexdigest()])
    assert done.output == f"{hashlib.sha256(CONTENT).hexdigest()}  {target}\n"
    for name, message in (("tlc", "expected tcl, clip_dinoiser or an address"), (f"{url}x", "cannot be fetched")):
        wrong = CliRunner().invoke(app, ["weights", name, str(tmp_path / "other.pt")])
        assert isinstance(wrong.exception, UserError)
        assert message in str(wrong.exception)
        assert not (tmp_path / "other.pt").exists()
