"""The source that the paper used: an inverted index, concept -> numbers of the captions that mention it (its ref. 62).

The JSON can have gigabytes, and a list can contain a caption twice. It is streamed into a folder of plain arrays:
`numbers.int64` holds the caption numbers of each concept, ascending and without repetition, concept by concept;
`concepts.parquet` has the columns `concept` and `start`, `stop`, the range of the concept's numbers.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import ijson
import numpy as np
import polars as pl

from contrastive_concepts.captions.files import open_file
from contrastive_concepts.captions.formats import readable
from contrastive_concepts.errors import UserError

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


def stream_index(path: str) -> Iterator[tuple[str, Numbers]]:
    """Yield (concept, its caption numbers, unsorted, with repetitions) from a search-indices JSON. Raises UserError."""
    concept, numbers, depth = "", [], 0
    with readable(path, "search-indices JSON"), open_file(path) as file:
        for event, value in ijson.basic_parse(file, use_float=True):
            if event == "number" and depth == 2:
                if not isinstance(value, int) or not 0 <= value < 2**63:
                    raise UserError(f"{path}: concept {concept!r}: found {value!r}, expected a caption number")
                numbers.append(value)
            elif event == "map_key" and depth == 1:
                concept = value
            elif event == "start_array" and depth == 1:
                numbers, depth = [], 2
            elif event == "end_array" and depth == 2:
                depth = 1
                yield concept, np.array(numbers, np.int64)
            elif event == "start_map" and depth == 0:
                depth = 1
            elif not (event == "end_map" and depth == 1):
                where = f"concept {concept!r}" if depth else "the top"
                raise UserError(f"{path}: {where}: found {event}, expected an object of concept -> [caption numbers]")


def write_index(lists: Iterable[tuple[str, Numbers]], path: str, folder: str | Path) -> None:
    """Write the folder described above. At most one concept's list is in memory. `path`: the source, for messages."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    concepts, starts, stops, written = [], [], [], 0
    with (folder / "numbers.int64").open("wb") as file:
        for concept, numbers in lists:
            distinct = np.unique(numbers)
            distinct.tofile(file)
            concepts.append(concept)
            starts.append(written)
            written += len(distinct)
            stops.append(written)
    if not concepts:
        raise UserError(f"{path}: found no concept")
    pl.DataFrame(
        {"concept": concepts, "start": starts, "stop": stops},
        schema={"concept": pl.String, "start": pl.Int64, "stop": pl.Int64},
    ).write_parquet(folder / "concepts.parquet")


def read_index(folder: str | Path) -> tuple[pl.DataFrame, Numbers]:
    """The folder's table of concepts, and its caption numbers as a memory map."""
    folder = Path(folder)
    size = (folder / "numbers.int64").stat().st_size
    numbers = np.memmap(folder / "numbers.int64", np.int64, "r") if size else np.empty(0, np.int64)
    return pl.read_parquet(folder / "concepts.parquet"), numbers
