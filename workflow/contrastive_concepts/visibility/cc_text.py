"""The authors' text format of contrastive concepts: one line per class, names joined by ", ".

The first name is usually `background`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from contrastive_concepts.errors import UserError
from contrastive_concepts.text_files import read_text

SEPARATOR = ", "


def read_classes(path: str | Path) -> list[str]:
    """The classes of a benchmark, one per line. Raises UserError if the file cannot be read or is empty."""
    classes = [SEPARATOR.join(names) for names in read_cc_text(path) if names]
    if not classes:
        raise UserError(f"{path}: found no class, expected one a line")
    return classes


def read_cc_text(path: str | Path) -> list[list[str]]:
    """The names in each line, in order and unchanged. An empty line is a class without names.

    Empty names, as from a doubled or final comma, are dropped. Raises UserError if the file cannot be read.
    """
    text = read_text(path, "a text of one class a line")
    lines = text.removesuffix("\n").split("\n") if text else []
    return [[name for part in line.split(",") if (name := part.strip().strip("\ufeff").strip())] for line in lines]


def write_cc_text(path: str | Path, classes: Iterable[Sequence[str]]) -> None:
    """Write one line per class. Raises UserError for a name that the format cannot represent."""
    lines = []
    for row, names in enumerate(classes, start=1):
        for name in names:
            if not name.strip() or name != name.strip() or "," in name or len(name.splitlines()) != 1:
                raise UserError(
                    f"{path}: line {row}: found the name {name!r}, expected one without commas and outer spaces"
                )
        lines.append(SEPARATOR.join(names) + "\n")
    Path(path).write_text("".join(lines), encoding="utf-8")
