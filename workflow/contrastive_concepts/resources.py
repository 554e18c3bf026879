"""Files of the project: those it has, below `resources/` or in a wheel, and those it keeps in the user's cache."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
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
