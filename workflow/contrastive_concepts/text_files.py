"""Read text files with byte-order marks, UTF-16 and UTF-32, Windows and old Mac line ends, and extra blanks.

Every list, table, prompt and configuration of a user is read here. A file that cannot be read gives a one-line error
with the file and the position. New files are UTF-8.
"""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, ValidationError

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.file_kinds import HEAD, other_kind, packing_of

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, because this mark begins with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CHUNK = 1 << 18

Model = TypeVar("Model", bound=BaseModel)


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding of a text that begins with these bytes, and the length of its byte-order mark.

    Without a mark, UTF-16 and UTF-32 are recognised by the positions of NUL bytes. All else is read as UTF-8.
    """
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return (_by_nulls(head) if b"\0" in head else "utf-8"), 0


def _by_nulls(head: bytes) -> str:
    nulls = [head[place::4].count(0) for place in range(4)]
    quarter = len(head) // 4
    for encoding, high, low in (("utf-32-le", (2, 3), 0), ("utf-32-be", (0, 1), 3)):
        if quarter and all(nulls[place] >= quarter * 0.9 for place in high) and nulls[low] <= quarter * 0.1:
            return encoding
    even, odd = nulls[0] + nulls[2], nulls[1] + nulls[3]
    for encoding, there, elsewhere in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        share = there / max(len(head) // 2, 1)
        if there > 10 * elsewhere and (share >= 0.25 or (share >= 0.02 and _has_wide_line_ends(head, encoding))):
            return encoding
    return "utf-8"


def _has_wide_line_ends(head: bytes, encoding: str) -> bool:
    """Whether most line ends are two bytes at an even position: UTF-16 text with few Latin letters."""
    wide = re.compile(re.escape("\n".encode(encoding)))
    aligned = sum(found.start() % 2 == 0 for found in wide.finditer(head))
    return aligned > 0 and aligned >= head.count(b"\n") * 0.5


class Chunks(io.RawIOBase):
    """A binary stream of the chunks of bytes from an iterator."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def chunks_of(file: Any, head: bytes = b"") -> Iterator[bytes]:
    """Yield `head`, then the rest of a file in chunks."""
    if head:
        yield head
    while chunk := file.read(CHUNK):
        yield bytes(chunk)


def read_head(file: Any) -> bytes:
    """The first `HEAD` bytes of a file, or all if it has fewer."""
    head = b""
    while len(head) < HEAD and (chunk := file.read(HEAD - len(head))):
        head += chunk
    return head


def utf8_stream(file: Any) -> IO[bytes]:
    """The text as UTF-8 without a byte-order mark, with line ends \\n or \\r\\n. Invalid UTF-8 is not changed.

    Reading raises UnicodeDecodeError if UTF-16 or UTF-32 is truncated.
    """
    return io.BufferedReader(Chunks(_as_utf8(file)), CHUNK)


def _as_utf8(file: Any) -> Iterator[bytes]:
    head = read_head(file)
    encoding, mark = encoding_of(head)
    chunks: Iterator[bytes] = chunks_of(file, head[mark:])
    begin = head[mark:]
    if encoding != "utf-8":
        begin = codecs.getincrementaldecoder(encoding)("replace").decode(begin).encode("utf-8", "replace")
        decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        chunks = (text.encode("utf-8", "surrogatepass") for text in _decoded(decoder, chunks))
    if len(head) == HEAD:
        # The other half of a line end can lie behind it.
        begin = begin.removesuffix(b"\r")
    if b"\r" in begin and b"\n" not in begin:
        chunks = (chunk.replace(b"\r", b"\n") for chunk in chunks)
    yield from chunks


def _decoded(decoder: codecs.IncrementalDecoder, chunks: Iterator[bytes]) -> Iterator[str]:
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def read_text(path: str | Path, expected: str) -> str:
    """The whole text, decoded, without a byte-order mark, with line ends \\n.

    `expected` describes the file in error messages. Raises UserError if it cannot be read or is not text.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: not found, expected {expected}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}), expected {expected}") from None
    kind = packing_of(data[:HEAD]) or other_kind(data[:HEAD])
    if kind:
        raise UserError(f"{path}: found a file of the kind {kind}, expected {expected}")
    encoding, mark = encoding_of(data[:HEAD])
    try:
        text = data[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        start = mark + error.start
        line = data[:start].count(b"\n") + 1
        raise UserError(
            f"{path}: line {line}: byte {start} is not {encoding.upper()}, expected {expected} in UTF-8"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}: line {line}: found a NUL character, expected {expected}")
    return text


def write_new(target: str | Path, text: str) -> None:
    """Write a file in UTF-8. Raises UserError if it exists."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(f"{target}: exists, expected a new file") from None


def read_lines(path: str | Path, expected: str) -> list[str]:
    """The lines of a text, stripped, without empty lines at the end. Only \\n, \\r\\n and \\r end a line.

    Raises UserError if the file cannot be read or has no line.
    """
    lines = [line.strip().strip("\ufeff").strip() for line in read_text(path, expected).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise UserError(f"{path}: found an empty list, expected {expected}")
    return lines


def read_json(path: str | Path, expected: str) -> Any:
    """The value in a JSON file. Raises UserError if it cannot be read."""
    text = read_text(path, expected)
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({one_line(error)}), expected {expected}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deep, expected {expected}") from None


def read_json_as(model: type[Model], path: Path, expected: str) -> Model:
    """A JSON file that follows a model. Raises UserError if it cannot be read or does not."""
    try:
        return model.model_validate_json(read_text(path, expected))
    except ValidationError as error:
        raise UserError(f"{path}: not {expected} ({' '.join(str(error).split())[:160]})") from None


def read_table(path: str | Path, expected: str) -> list[list[str]]:
    """The rows of a CSV or, by its name, a TSV. Fields are stripped, empty rows are left out. Raises UserError."""
    text = read_text(path, expected)
    separator = "\t" if Path(path).suffix.lower() in (".tsv", ".tab") else _separator(text)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}: not a readable table ({one_line(error)}), expected {expected}") from None
    stripped = ([field.strip().strip("\ufeff").strip() for field in row] for row in rows)
    return [row for row in stripped if any(row)]


def _separator(text: str) -> str:
    """The most frequent separator in the first line of a CSV; a comma if there is none."""
    first = text.lstrip("\n").partition("\n")[0]
    return max(",;\t|", key=first.count)
