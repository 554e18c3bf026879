"""Files of the project: those it has, below `resources/` or in a wheel, and those it keeps in the user's cache."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
UNFINISHED, ABANDONED_S = "unfinished-", 3600
"""How the name of a folder begins while it is made, and after how many seconds a killed process left it."""
CARRIED = PACKAGE / "_resources"
RESOURCES = (CARRIED if CARRIED.is_dir() else PACKAGE.parents[1] / "resources").resolve()


def resource(path: str) -> Path:
    """The file or folder `path` below `resources/`.

    Call this with a literal path: `provenance.code_sha256` finds the resources of a module by its strings.
    """
    return RESOURCES / path


def user_cache(name: str) -> Path:
    """Where this project keeps things of one kind between runs: below `XDG_CACHE_HOME`, by default `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "contrastive-concepts" / name


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Where the block makes a folder, which becomes `folder` at its end: a reader finds all of it or nothing.

    If the block fails, nothing is kept. Another `folder`, which could not be read, is replaced. What killed processes
    left beside it is removed. Raises OSError where nothing can be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f"{UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder.parent) as parent:
        made = Path(parent) / folder.name
        yield made
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)
