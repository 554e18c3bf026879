"""The kind of a file from its first bytes, independent of its name."""

import re

PACKED = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "bzip2": re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
    "zip": re.compile(rb"PK(?:\x03\x04|\x05\x06)"),
}
"""Compression formats that are unpacked, by their first bytes."""

OTHERS = {
    "compress (.Z)": re.compile(rb"\x1f[\x9d\xa0]"),
    "lzma": re.compile(rb"\x5d\0\0[\0-\xff]{2}(?:\xff{8}|[\0-\xff]{5}\0{3})"),
    "old lz4": re.compile(rb"\x02\x21\x4c\x18"),
    "snappy": re.compile(rb"\xff\x06\0\0sNaPpY"),
    "7z": re.compile(rb"7z\xbc\xaf\x27\x1c"),
    "rar": re.compile(rb"Rar!\x1a\x07"),
    "tar": re.compile(rb"[\0-\xff]{257}ustar"),
    "parquet": re.compile(rb"PAR[1E]"),
    "Arrow": re.compile(rb"ARROW1\0"),
    "ORC": re.compile(rb"ORC[\0-\x1f]"),
    "Avro": re.compile(rb"Obj\x01"),
    "HDF5": re.compile(rb"\x89HDF\r\n\x1a\n"),
    "SQLite": re.compile(rb"SQLite format 3\0"),
    "NumPy": re.compile(rb"\x93NUMPY"),
    "pickle": re.compile(rb"\x80[\x02-\x05][\x95}\](.c]"),
    "old Excel": re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    "PDF": re.compile(rb"%PDF-"),
    "PNG": re.compile(rb"\x89PNG\r\n"),
    "JPEG": re.compile(rb"\xff\xd8\xff[\xc0-\xfe]"),
    "HTML": re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html[\s>])", re.IGNORECASE),
    "Git LFS pointer": re.compile(rb"version https://git-lfs\.github\.com/"),
}
"""Files that are not text, by their first bytes: for example failed downloads and files with a wrong ending."""

ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".lz4": "lz4", ".zip": "zip"}
"""File name endings of compressed files, in lower case."""

HEAD = 1 << 16
"""Number of first bytes that are enough to recognise a file."""


def packing_of(head: bytes) -> str | None:
    """The compression format of a file that begins with these bytes; None if it is not in `PACKED`."""
    return next((name for name, pattern in PACKED.items() if pattern.match(head)), None)


def other_kind(head: bytes) -> str | None:
    """The kind of a file that is not text, from its first bytes; None if it is not recognised."""
    return next((name for name, pattern in OTHERS.items() if pattern.match(head)), None)
