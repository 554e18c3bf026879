"""Class-name files: a class a line in label order, and the names of a class in its line.

SCLIP and NACLIP separate names by ", ", ClearCLIP by ","; other projects by "; "."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from contrastive_concepts.errors import UserError
from contrastive_concepts.text_files import read_text

Separator = Literal[", ", ",", "; "]


def read_class_names(path: str | Path, separator: Separator = ", ") -> list[list[str]]:
    """The names of each class, without outer spaces.

    Raises UserError for an empty line or name, or a file whose names are separated in another way."""
    text = read_text(path, "names of classes, one class a line")
    lines = text.removesuffix("\n").split("\n") if text else []
    if not lines:
        raise UserError(f"{path}: found no line, expected the names of a class in each")
    if not any(separator in line for line in lines):
        for other in get_args(Separator):
            if any(other in line for line in lines):
                raise UserError(f"{path}: found names separated by {other!r}, expected {separator!r}")
    classes = [[name.strip() for name in line.split(separator)] for line in lines]
    for number, names in enumerate(classes, start=1):
        if "" in names or any(name.endswith(separator.strip()) for name in names):
            raise UserError(f"{path}: line {number}: found an empty name, expected names separated by {separator!r}")
    return classes


def write_class_names(path: Path, classes: Sequence[Sequence[str]], separator: Separator = ", ") -> None:
    """Write the names of each class. Raises UserError for a name that the file cannot represent."""
    for number, names in enumerate(classes, start=1):
        for name in names:
            if not name.strip() or separator in name or len(name.splitlines()) != 1:
                raise UserError(
                    f"{path}: line {number}: found the name {name!r}, expected one without {separator!r} in one line"
                )
    path.write_text("".join(separator.join(names) + "\n" for names in classes), encoding="utf-8")
