"""The unpacked sizes of the pages of a parquet column, from the page headers, because a footer can be wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ONE_BY_ONE = (0, 6)
"""PLAIN, DELTA_LENGTH_BYTE_ARRAY: the page contains the bytes of each value."""
DICTIONARY_CODED = (2, 8)
"""PLAIN_DICTIONARY, RLE_DICTIONARY."""
DICTIONARY_PAGE = 2


@dataclass(frozen=True)
class Page:
    """`unpacked`: bytes after decompression; dictionary-encoded values count as their indices."""

    is_dictionary: bool
    encoding: int
    values: int
    unpacked: int


def read_pages(chunk: bytes) -> Iterator[Page]:
    """Yield the pages of a column chunk, in order. Raises ValueError for an invalid header."""
    at = 0
    while at < len(chunk):
        header, at = _struct(chunk, at)
        detail: dict[int, Any] = next((header[key] for key in (5, 7, 8) if isinstance(header.get(key), dict)), {})
        # In a data page of version 2 the encoding is the fourth field, in other pages the second.
        found = [header.get(1), header.get(2), header.get(3), detail.get(1), detail.get(4 if 8 in header else 2)]
        numbers = [number for number in found if isinstance(number, int) and number >= 0]
        if len(numbers) < len(found):
            raise ValueError(f"no page header before byte {at} of a column's chunk")
        kind, unpacked, packed, values, encoding = numbers
        yield Page(kind == DICTIONARY_PAGE, encoding, values, unpacked)
        at += packed


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Parse a structure in Thrift's compact protocol: field -> number or structure, and the offset of the next byte."""
    if depth > 8:
        raise ValueError("a page header is nested too deep")
    fields: dict[int, Any] = {}
    field = 0
    while head := _byte(data, at):
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        kind = head & 15
        if kind in (1, 2):  # true and false take no bytes
            continue
        if kind == 3:
            at += 1
        elif kind in (4, 5, 6):
            fields[field], at = _number(data, at)
        elif kind == 7:
            at += 8
        elif kind == 8:
            size, at = _varint(data, at)
            at += size
        elif kind == 12:
            fields[field], at = _struct(data, at, depth + 1)
        else:
            raise ValueError(f"a page header holds Thrift's type {kind}, which none has")
    return fields, at + 1


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(data, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a page header holds a number of more than ten bytes")


def _byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise ValueError("a page header is cut short")
    return data[at]
