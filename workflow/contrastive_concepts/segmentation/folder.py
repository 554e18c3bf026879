"""Segments many photos, a few in memory at a time. What is done is not done again; a broken photo is passed over."""

import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from contrastive_concepts.dictionary.contrastive import Match
from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter, CroppedPhoto, Segmentation
from contrastive_concepts.segmentation.masks import annotations, coco_file, write_label_map, write_mask, write_overlay

RECORDS = "done.jsonl"
COCO = "masks.json"
LOCK, UNFINISHED = ".running", ".part"
STEM, WORD = 120, 80
"""Bytes of a photo's stem and of a query in file names at most."""
RECORD = {
    "name": str,
    "key": str,
    "photo": str,
    "files": list,
    "height": int,
    "width": int,
    "shares": dict,
    "annotations": list,
}
"""The keys of a line of done.jsonl, and the kinds of their values."""
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


def segment_photos(
    segmenter: ConceptSegmenter,
    photos: Sequence[Path],
    queries: Sequence[str],
    output: Path,
    settings: dict[str, Any],
    label_maps: bool = False,
    workers: int = 2,
    matches: Mapping[str, Match] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Write masks and overlays of each photo, and `masks.json` of all. Returns a line for each photo that failed.

    Several queries are asked one by one, or at once if `label_maps`, which then has the map of all. settings: all that
    the result depends on beside the photo. workers: threads that read photos ahead, and as many that write results. A
    photo whose files are those of the same settings is passed over. matches: of the queries, for `masks.json`. Raises
    UserError if the folder cannot be written or another run writes there, or if no photo could be segmented."""
    if label_maps and len(queries) > 255:
        raise UserError(f"classes: found {len(queries)}, expected at most 255 in a label map")
    content = json.dumps([settings, list(queries), label_maps], sort_keys=True)
    fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
    names = _distinct({photo: _fitting(photo.stem, STEM) for photo in photos})
    failed: dict[Path, str] = {}
    with ExitStack() as stack, _unwritable(output):
        output.mkdir(parents=True, exist_ok=True)
        stack.enter_context(_only_run(output))
        done = _records(output / RECORDS)
        keys: dict[Path, str] = {}
        for photo in photos:
            try:
                stat = photo.stat()
                keys[photo] = f"{fingerprint} {os.path.abspath(photo)} {stat.st_size} {stat.st_mtime_ns}"
            except OSError as error:
                failed[photo] = f"{photo}: cannot be read ({one_line(error)})"
        waiting = [photo for photo in keys if not _is_done(done.get(names[photo]), keys[photo], output)]
        # Their files will be replaced before their new records are written: a run that is cut off says nothing of them.
        for photo in waiting:
            done.pop(names[photo], None)
        _save_records(output / RECORDS, done)
        finished = len(photos) - len(waiting)
        progress(finished)
        write = partial(_write_results, queries=queries, label_maps=label_maps)
        with (output / RECORDS).open("a", encoding="utf-8") as records:
            for photo, written in _segmented(segmenter, waiting, queries, label_maps, output, names, write, workers):
                if isinstance(written, UserError):
                    failed[photo] = str(written)
                else:
                    name = names[photo]
                    done[name] = {"name": name, "key": keys[photo], "photo": str(photo), **written}
                    records.write(json.dumps(done[name]) + "\n")
                    records.flush()
                finished += 1
                progress(finished)
        kept = [done[names[photo]] for photo in photos if photo not in failed]
        if kept:
            _finished(output / COCO, partial(_write_coco, coco_file(queries, kept, matches)))
    lines = [failed[photo] for photo in photos if photo in failed]
    if not kept:
        raise UserError("\n".join(lines))
    return lines


def _is_done(record: Mapping[str, Any] | None, key: str, output: Path) -> bool:
    """Whether the files of a name are those of this photo and these settings, and are still there."""
    return record is not None and record["key"] == key and all((output / file).is_file() for file in record["files"])


def _segmented(
    segmenter: ConceptSegmenter,
    photos: Sequence[Path],
    queries: Sequence[str],
    label_maps: bool,
    output: Path,
    names: Mapping[Path, str],
    write: Callable[[Path, list[Segmentation]], dict[str, Any]],
    workers: int,
) -> Iterator[tuple[Path, dict[str, Any] | UserError]]:
    """Each photo, and what `masks.json` says of it or why it could not be read. The encoder waits for no file."""
    with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
        readable: deque[Path] = deque()
        failed: deque[tuple[Path, UserError]] = deque()

        def cropped() -> Iterator[CroppedPhoto]:
            for photo, reading in _ahead(
                ((photo, readers.submit(segmenter.cropped, photo)) for photo in photos), 2 * workers
            ):
                try:
                    read = reading.result()
                except UserError as error:
                    failed.append((photo, error))
                    continue
                readable.append(photo)
                yield read

        def writing() -> Iterator[tuple[Path, Future[dict[str, Any]]]]:
            for encoded in segmenter.encode_all(cropped()):
                photo = readable.popleft()
                asked = [queries] if label_maps else [[query] for query in queries]
                found = [segmenter(encoded, each) for each in asked]
                yield photo, writers.submit(write, output / names[photo], found)

        for photo, result in _ahead(writing(), 2 * workers):
            yield photo, result.result()
        yield from failed


def _ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """The items in order, of which `count` more were begun before one is given away."""
    begun: deque[Item] = deque()
    for item in items:
        begun.append(item)
        if len(begun) > count:
            yield begun.popleft()
    yield from begun


def _write_results(
    place: Path, found: Sequence[Segmentation], queries: Sequence[str], label_maps: bool
) -> dict[str, Any]:
    """Write the files of one photo, whose names begin with `place`. Returns what `masks.json` says of it."""
    rows: list[dict[str, Any]] = []
    files: list[str] = []
    shares: dict[str, dict[str, float]] = {}
    words = _distinct({query: _fitting(_file_name(query), WORD) for query in queries})
    for number, each in enumerate(found, start=1):
        stem = place.name if label_maps else f"{place.name}.{words[each.queries[0]]}"
        pictures = {"labels": write_label_map} if label_maps else {"mask": write_mask}
        for kind, write in {**pictures, "overlay": write_overlay}.items():
            files.append(f"{stem}.{kind}.png")
            _finished(place.with_name(files[-1]), partial(write, each))
        rows += annotations(each) if label_maps else [{**row, "category_id": number} for row in annotations(each)]
        shares[", ".join(each.queries)] = each.shares
    height, width = found[0].labels.shape
    return {"files": files, "height": height, "width": width, "shares": shares, "annotations": rows}


@contextmanager
def _unwritable(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({one_line(error)})") from None


@contextmanager
def _only_run(output: Path) -> Iterator[None]:
    """Two runs would replace each other's files. The lock ends with the process, however it ends."""
    with (output / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{output}: another run writes there, expected a folder of its own") from None
        yield


def _records(path: Path) -> dict[str, dict[str, Any]]:
    """The last record of each name from earlier runs. A line that a kill cut off, or of another format, is left out."""
    found: dict[str, dict[str, Any]] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        known = isinstance(record, dict) and record.keys() == RECORD.keys()
        if known and all(isinstance(record[key], kind) for key, kind in RECORD.items()):
            found[record["name"]] = record
    return found


def _save_records(path: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(each) + "\n" for each in records.values())
    _finished(path, lambda new: new.write_text(text, encoding="utf-8"))


def _write_coco(content: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _finished(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that appears when it is complete."""
    unfinished = path.with_name(f"{path.name}{UNFINISHED}")
    write(unfinished)
    os.replace(unfinished, path)


def _distinct(names: Mapping[Key, str]) -> dict[Key, str]:
    """A name for each item that no other has, in any letter case: a repeated one gets a number."""
    given: dict[Key, str] = {}
    taken: set[str] = set()
    following: dict[str, int] = {}
    for item, name in names.items():
        numbers = count(following.get(name.casefold(), 1))
        numbered = ((number, name if number == 1 else f"{name}-{number}") for number in numbers)
        number, given[item] = next(each for each in numbered if each[1].casefold() not in taken)
        following[name.casefold()] = number + 1
        taken.add(given[item].casefold())
    return given


def _file_name(query: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "_" for character in query)


def _fitting(name: str, most: int) -> str:
    """The name, shortened to so many bytes with a hash of the whole if it has more: file names have at most 255."""
    content = os.fsencode(name)
    if len(content) <= most:
        return name
    return f"{os.fsdecode(content[: most - 9])}~{hashlib.sha256(content).hexdigest()[:8]}"
