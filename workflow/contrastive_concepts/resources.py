"""Files that are part of the project: below `resources/` in the repository, or inside an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CARRIED = PACKAGE / "_resources"
RESOURCES = (CARRIED if CARRIED.is_dir() else PACKAGE.parents[1] / "resources").resolve()


def resource(path: str) -> Path:
    """The file or folder `path` below `resources/`.

    Call this with a literal path: `provenance.code_sha256` finds the resources of a module by its strings.
    """
    return RESOURCES / path
