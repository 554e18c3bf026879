"""Segments many photos, one in memory at a time. What is done is not done again, and a broken photo is passed over."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter
from contrastive_concepts.segmentation.masks import annotations, coco_file, write_label_map, write_mask, write_overlay

RECORDS = "done.jsonl"
COCO = "masks.json"


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
    the result depends on beside the photo; a photo that was done with the same ones is passed over. Raises UserError
    if no photo could be segmented."""

    if label_maps and len(queries) > 255:
        raise UserError(f"classes: found {len(queries)}, expected at most 255 in a label map")
    output.mkdir(parents=True, exist_ok=True)
    content = json.dumps([settings, list(queries), label_maps], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    done = {record["key"]: record for record in _records(output / RECORDS)}
    names, failed, kept = _names(photos), [], []
    with (output / RECORDS).open("a", encoding="utf-8") as records:
        for number, photo in enumerate(photos, start=1):
            try:
                stat = photo.stat()
                key = f"{fingerprint} {photo} {stat.st_size} {stat.st_mtime_ns}"
                if key not in done:
                    found = _segmented(segmenter, photo, queries, output / names[photo], label_maps)
                    done[key] = {"key": key, "photo": str(photo), **found}
                    records.write(json.dumps(done[key], ensure_ascii=False) + "\n")
                    records.flush()
                kept.append(done[key])
            except (UserError, OSError) as error:
                failed.append(str(error) if isinstance(error, UserError) else f"{photo}: {one_line(error)}")
            progress(number)
    if not kept:
        raise UserError("\n".join(failed))
    every = json.dumps(coco_file(queries, kept), ensure_ascii=False)
    _finished(output / COCO, lambda path: path.write_text(f"{every}\n", encoding="utf-8"))
    return failed


def _segmented(
    segmenter: ConceptSegmenter, photo: Path, queries: Sequence[str], place: Path, label_maps: bool
) -> dict[str, Any]:
    """Segment one photo and write its files, whose names begin with `place`. Returns what `masks.json` says of it."""
    encoded = segmenter.encode(photo)
    height, width = encoded.pixels.shape[:2]
    rows: list[dict[str, Any]] = []
    shares: dict[str, dict[str, float]] = {}
    for number, asked in enumerate([queries] if label_maps else [[query] for query in queries], start=1):
        found = segmenter(encoded, asked)
        stem = place.name if label_maps else f"{place.name}.{_file_name(asked[0])}"
        picture = place.with_name(f"{stem}.labels.png" if label_maps else f"{stem}.mask.png")
        _finished(picture, partial(write_label_map if label_maps else write_mask, found))
        _finished(place.with_name(f"{stem}.overlay.png"), partial(write_overlay, found))
        rows += annotations(found) if label_maps else [{**row, "category_id": number} for row in annotations(found)]
        shares[", ".join(asked)] = found.shares
    return {"height": height, "width": width, "shares": shares, "annotations": rows}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of an earlier run. A last line that a kill cut off is left out."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _finished(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears when it is complete."""
    unfinished = path.with_name(f".{path.name}")
    write(unfinished)
    os.replace(unfinished, path)


def _names(photos: Sequence[Path]) -> dict[Path, str]:
    """A distinct name for the files of each photo: its own, with its folders if several photos have the same."""
    alike = Counter(photo.stem for photo in photos)
    return {
        photo: photo.stem if alike[photo.stem] == 1 else "_".join(part.strip("./") for part in photo.parts).lstrip("_")
        for photo in photos
    }


def _file_name(query: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in query)
