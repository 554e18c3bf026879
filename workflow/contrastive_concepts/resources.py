"""Files that come with the project: below `resources/` of the repository, or inside an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CARRIED = PACKAGE / "_resources"
RESOURCES = CARRIED if CARRIED.is_dir() else PACKAGE.parents[1] / "resources"


def resource(path: str) -> Path:
    """The file or folder `path` below `resources/`.

    Write the path out where you call this: `provenance.code_sha256` finds the resources of a module by its strings.
    """
    return RESOURCES / path
