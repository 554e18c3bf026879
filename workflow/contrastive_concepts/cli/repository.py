"""Commands whose code is in the repository but not in the installed library."""

import sys

from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import PACKAGE


def import_from_repository(command: str) -> None:
    """Make `benchmarks` and `tools` importable. Raises UserError if the library was installed without them."""
    root = PACKAGE.parents[1]
    if not (root / "benchmarks").is_dir():
        raise UserError(f"{command}: this command needs the repository, not only the installed library")
    sys.path.insert(0, str(root))
