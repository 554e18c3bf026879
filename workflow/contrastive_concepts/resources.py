"""Files that come with the project: below `resources/` of the repository, or inside an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def resource_folder(name: str) -> Path:
    """The folder `resources/<name>`, wherever this package was installed from."""
    carried = PACKAGE / "_resources" / name
    return carried if carried.is_dir() else PACKAGE.parents[1] / "resources" / name
