"""A text column of a parquet file, read in batches of bounded size, even if the file unpacks to much more."""

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contrastive_concepts.captions.parquet_pages import DICTIONARY_CODED, ONE_BY_ONE, Page, read_pages


class ParquetColumn:
    """A text column. The column's chunk of one row group is in memory at a time; each chunk is fetched in one read."""

    def __init__(self, file: IO[bytes], column: str) -> None:
        self.column = column
        self._window = _Window(file)
        self._file = pq.ParquetFile(self._window)
        paths = [self._file.metadata.schema.column(number).path for number in range(self._file.metadata.num_columns)]
        found = [number for number, path in enumerate(paths) if path == column]
        if len(found) != 1:
            raise ValueError(f"found {len(found)} columns {column!r}, expected one")
        self._number = found[0]
        self._pages: list[Page] = []

    @property
    def kind(self) -> pa.DataType:
        return self._file.schema_arrow.field(self.column).type

    @property
    def rows(self) -> int:
        return int(self._file.metadata.num_rows)

    @property
    def nulls(self) -> int:
        """Number of rows that are null according to the footer's statistics."""
        chunks = (self._file.metadata.row_group(group).column(self._number) for group in range(self.row_groups))
        told = (chunk.statistics for chunk in chunks if chunk.is_stats_set)
        return sum(int(known.null_count) for known in told if known.has_null_count)

    @property
    def row_groups(self) -> int:
        return int(self._file.num_row_groups)

    def fetch(self, group: int) -> int:
        """Fetch a row group's chunk and return the unpacked size of its largest page in bytes. Raises ValueError."""
        chunk = self._file.metadata.row_group(group).column(self._number)
        starts = [chunk.data_page_offset, chunk.dictionary_page_offset if chunk.has_dictionary_page else None]
        self._window.hold(min(start for start in starts if start), chunk.total_compressed_size)
        self._pages = list(read_pages(self._window.held))
        return max((page.unpacked for page in self._pages), default=0)

    def batches(self, group: int, rows: int, size: int) -> Iterator[pa.Array]:
        """Yield the fetched row group in batches of at most `rows`; fewer if a batch could have more bytes than `size`
        and two pages."""
        longest = max([1, *(_longest(page) for page in self._pages if not page.is_dictionary)])
        rows = max(min(rows, int(size / longest)), 1)
        if any(page.encoding in DICTIONARY_CODED for page in self._pages if not page.is_dictionary):
            rows = max(min(rows, size // max(self._longest_entry(group, rows), 1)), 1)
        for batch in self._file.iter_batches(rows, row_groups=[group], columns=[self.column], use_threads=False):
            yield batch.column(0)

    def _longest_entry(self, group: int, rows: int) -> int:
        """Bytes of the longest text in the dictionary, or of its whole page if the dictionary cannot be read."""
        pages = [page for page in self._pages if page.is_dictionary]
        coded = pq.ParquetFile(self._window, metadata=self._file.metadata, read_dictionary=[self.column])
        try:
            batch = next(coded.iter_batches(rows, row_groups=[group], columns=[self.column], use_threads=False))
        except (StopIteration, pa.ArrowNotImplementedError):
            return max((page.unpacked for page in pages), default=1)
        if not isinstance(batch.column(0), pa.DictionaryArray):  # a column that has only nulls
            return max((page.unpacked for page in pages), default=1)
        entries = batch.column(0).dictionary
        if len(pages) == 1 and len(entries) >= pages[0].values:
            return int(pc.max(pc.binary_length(entries)).as_py() or 0)
        return max((page.unpacked for page in pages), default=1)


def _longest(page: Page) -> float:
    """An upper estimate of the bytes of a row: the mean if the page stores every value by itself. Other encodings can
    repeat a part of one value in every row: the whole page."""
    if page.encoding in ONE_BY_ONE:
        return page.unpacked / max(page.values, 1)
    return 0 if page.encoding in DICTIONARY_CODED else page.unpacked


class _Window:
    """A file object for Arrow that keeps one range of the file in memory."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.held = b""
        self._file, self._start, self._at = file, 0, 0
        self._size = file.seek(0, 2)

    def hold(self, start: int, size: int) -> None:
        if start < 0 or size < 0 or start + size > self._size:
            raise ValueError(f"the column's {size} bytes from {start} on lie outside the file's {self._size}")
        self.held = b""
        self._file.seek(start)
        self.held, self._start = self._file.read(size), start

    def read(self, size: int = -1) -> bytes | memoryview:
        size = self._size - self._at if size < 0 else size
        first = self._at - self._start
        if first >= 0 and first + size <= len(self.held):
            found: bytes | memoryview = memoryview(self.held)[first : first + size]
        else:
            self._file.seek(self._at)
            found = self._file.read(size)
        self._at += len(found)
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        """Does nothing: the caller that opened the file closes it."""
