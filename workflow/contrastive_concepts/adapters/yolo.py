"""Queries and negatives as the names of a YOLO data.yaml, and the queries' part of YOLO's label files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from contrastive_concepts.adapters.claims import KEPT, OVERLAP, box_claims
from contrastive_concepts.adapters.prompts import Prompts
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.text_files import read_text, write_new


def write_names(prompts: Prompts, target: str | Path) -> None:
    """Write a data.yaml with `names`, class number -> text, and `queries`, how many of them are queries.

    `path`, `train` and `val` are for you to add. Raises UserError if the file exists."""
    content = {"queries": len(prompts.queries), "names": dict(enumerate(prompts.texts))}
    write_new(target, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_names(path: str | Path) -> Prompts:
    """The queries and negatives of a data.yaml, whatever else is in it. Raises UserError if it does not tell them."""
    try:
        content = yaml.safe_load(read_text(path, "a data.yaml"))
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {one_line(error)}") from None
    names, queries = (content.get(key) if isinstance(content, dict) else None for key in ("names", "queries"))
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or list(names) != list(range(len(names))):
        raise UserError(f"{path}: names: found no texts numbered from 0, expected the classes in order")
    if type(queries) is not int or not 0 < queries <= len(names):
        raise UserError(f"{path}: queries: found {queries!r}, expected how many of the {len(names)} names are queries")
    texts = tuple(names.values())
    return Prompts(texts[:queries], texts[queries:])


def keep_queries(lines: Sequence[str], prompts: Prompts, overlap: float = OVERLAP) -> list[str]:
    """The lines of one image's label file that are a query's and that no negative takes, in their order.

    lines: `class x y width height [confidence]`, or `class x1 y1 x2 y2 x3 y3 ... [confidence]` with the corners of a
    polygon, of which the box around it is compared; without numbers of tracks. The rule is that of `claims`; in a file
    without confidences nothing is taken, and the negatives' lines are dropped all the same. Raises UserError for a line
    of another kind, or a class not asked."""
    rows = [_numbers(line, number) for number, line in enumerate(lines, start=1)]
    if not rows:
        return []
    with_score = {len(row) % 2 == 0 for row in rows}
    if len(with_score) == 2:
        raise UserError("lines: found some with and some without a confidence, expected one kind")
    scores = np.array([row[-1] for row in rows]) if with_score == {True} else None
    boxes = np.array([_corners(row[1 : len(row) - (len(row) + 1) % 2]) for row in rows])
    fate = box_claims(prompts, np.array([int(row[0]) for row in rows]), scores, boxes, overlap)
    return [line for line, each in zip(lines, fate, strict=True) if each == KEPT]


def keep_queries_of_folder(source: str | Path, target: str | Path, prompts: Prompts, overlap: float = OVERLAP) -> int:
    """Write the label files (*.txt) of a folder with what `keep_queries` keeps to a new folder.

    An image without a detection has an empty file. Returns the number of lines. Raises UserError for a folder without
    label files, or a target that exists."""
    source, target = Path(source), Path(target)
    files = sorted(source.glob("*.txt"))
    if not files:
        raise UserError(f"{source}: found no label file (*.txt)")
    if target.exists():
        raise UserError(f"{target}: exists, expected a new folder")
    kept: dict[str, list[str]] = {}
    for file in files:
        lines = [line for line in read_text(file, "YOLO labels, one a line").split("\n") if line.strip()]
        try:
            kept[file.name] = keep_queries(lines, prompts, overlap)
        except UserError as error:
            raise UserError(f"{file}: {error}") from None
    target.mkdir(parents=True)
    for name, lines in kept.items():
        (target / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return sum(map(len, kept.values()))


def _numbers(line: str, number: int) -> list[float]:
    try:
        row = [float(field) for field in line.split()]
    except ValueError:
        row = []
    # A class and a box, or three corners and more; with a confidence one more.
    if len(row) < 5 or not np.isfinite(row).all() or row[0] != int(row[0]):
        raise UserError(f"line {number}: found {line[:60]!r}, expected a class and the numbers of a box or polygon")
    return row


def _corners(shape: Sequence[float]) -> list[float]:
    """x1, y1, x2, y2 of a box given by centre, width and height, or of the box around a polygon."""
    if len(shape) == 4:
        x, y, width, height = shape
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return [min(shape[::2]), min(shape[1::2]), max(shape[::2]), max(shape[1::2])]
