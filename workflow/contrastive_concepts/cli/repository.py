"""Commands whose code is not part of the library: it lies beside it in the repository."""

import sys

from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import PACKAGE


def import_from_repository(command: str) -> None:
    """Let `benchmarks` and `tools` be imported. Raises UserError where this library was installed without them."""
    root = PACKAGE.parents[1]
    if not (root / "benchmarks").is_dir():
        raise UserError(f"{command}: this command needs the repository, not only the installed library")
    sys.path.insert(0, str(root))
