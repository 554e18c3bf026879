"""A contrastive set of one data set as a JSON file: what a job made, the others read."""

import json
from dataclasses import asdict
from pathlib import Path

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet


def save_set(path: Path, chosen: ContrastiveSet) -> None:
    path.write_text(json.dumps(asdict(chosen), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def load_set(path: Path) -> ContrastiveSet:
    """Raises UserError for a file that `save_set` did not write."""
    try:
        return ContrastiveSet(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a contrastive set ({one_line(error)})") from None
