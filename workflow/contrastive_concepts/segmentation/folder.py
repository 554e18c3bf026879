"""Segments many photos, one in memory at a time. What is done is not done again, and a broken photo is passed over."""

import hashlib
import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter
from contrastive_concepts.segmentation.masks import annotations, coco_file, write_label_map, write_mask, write_overlay

RECORDS = "done.jsonl"
COCO = "masks.json"
Item = TypeVar("Item", bound=Hashable)


def segment_photos(
    segmenter: ConceptSegmenter,
    photos: Sequence[Path],
    queries: Sequence[str],
    output: Path,
    settings: dict[str, Any],
    label_maps: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Write masks and overlays of each photo, and `masks.json` of all. Returns a line for each photo that failed.

    Several queries are asked one by one, or at once if `label_maps`, which then has the map of all. settings: all that
    the result depends on beside the photo. A photo whose files are those of the same settings is passed over. Raises
    UserError if the folder cannot be written, or if no photo could be segmented."""
    if label_maps and len(queries) > 255:
        raise UserError(f"classes: found {len(queries)}, expected at most 255 in a label map")
    content = json.dumps([settings, list(queries), label_maps], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    names = _distinct({photo: photo.stem for photo in photos})
    try:
        output.mkdir(parents=True, exist_ok=True)
        done = _records(output / RECORDS)
        failed, kept = [], []
        with (output / RECORDS).open("a", encoding="utf-8") as records:
            for number, photo in enumerate(photos, start=1):
                name = names[photo]
                try:
                    stat = photo.stat()
                    key = f"{fingerprint} {photo} {stat.st_size} {stat.st_mtime_ns}"
                    if not _is_done(done.get(name), key, output):
                        found = _segmented(segmenter, photo, queries, output / name, label_maps)
                        done[name] = {"name": name, "key": key, "photo": str(photo), **found}
                        records.write(json.dumps(done[name]) + "\n")
                        records.flush()
                    kept.append(done[name])
                except UserError as error:
                    failed.append(str(error))
                progress(number)
        if kept:
            _finished(output / COCO, partial(_write_coco, coco_file(queries, kept)))
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({one_line(error)})") from None
    if not kept:
        raise UserError("\n".join(failed))
    return failed


def _is_done(record: Mapping[str, Any] | None, key: str, output: Path) -> bool:
    """Whether the files of a name are those of this photo and these settings, and are still there."""
    return record is not None and record["key"] == key and all((output / file).is_file() for file in record["files"])


def _segmented(
    segmenter: ConceptSegmenter, photo: Path, queries: Sequence[str], place: Path, label_maps: bool
) -> dict[str, Any]:
    """Segment one photo and write its files, whose names begin with `place`. Returns what `masks.json` says of it."""
    encoded = segmenter.encode(photo)
    height, width = encoded.pixels.shape[:2]
    rows: list[dict[str, Any]] = []
    files: list[str] = []
    shares: dict[str, dict[str, float]] = {}
    words = _distinct({query: _file_name(query) for query in queries})
    for number, asked in enumerate([queries] if label_maps else [[query] for query in queries], start=1):
        found = segmenter(encoded, asked)
        stem = place.name if label_maps else f"{place.name}.{words[asked[0]]}"
        pictures = {"labels": write_label_map} if label_maps else {"mask": write_mask}
        for kind, write in {**pictures, "overlay": write_overlay}.items():
            files.append(f"{stem}.{kind}.png")
            _finished(place.with_name(files[-1]), partial(write, found))
        rows += annotations(found) if label_maps else [{**row, "category_id": number} for row in annotations(found)]
        shares[", ".join(asked)] = found.shares
    return {"files": files, "height": height, "width": width, "shares": shares, "annotations": rows}


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The last record of each name from earlier runs. A line that a kill cut off is removed."""
    found: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        # Last in order, as it was written last.
        found.pop(record["name"], None)
        found[record["name"]] = record
    _finished(path, lambda new: new.write_text("".join(json.dumps(each) + "\n" for each in found.values())))
    return found


def _write_coco(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _finished(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears when it is complete."""
    unfinished = path.with_name(f".{path.name}")
    write(unfinished)
    os.replace(unfinished, path)


def _distinct(names: Mapping[Item, str]) -> dict[Item, str]:
    """A name for each item that no other has, in any letter case: a repeated one gets a number."""
    given: dict[Item, str] = {}
    taken: set[str] = set()
    for item, name in names.items():
        numbered = (name if number == 1 else f"{name}-{number}" for number in count(1))
        given[item] = next(each for each in numbered if each.casefold() not in taken)
        taken.add(given[item].casefold())
    return given


def _file_name(query: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in query)
