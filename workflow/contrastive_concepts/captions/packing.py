"""Compressed caption files, unpacked as a stream. The packing is found from the first bytes and must fit the name."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any

import pyarrow as pa

from contrastive_concepts.captions.files import file_name, open_file
from contrastive_concepts.errors import UserError
from contrastive_concepts.file_kinds import ENDINGS, HEAD, other_kind, packing_of
from contrastive_concepts.text_files import Chunks, chunks_of, read_head, utf8_stream

DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
"""Exceptions that the unpackers raise for a truncated or damaged file, besides OSError and ValueError."""


def unpacked_name(path: str) -> str:
    """The file's name in lower case without the ending of its packing: `https://host/A.TSV.gz?x=1` -> `a.tsv`."""
    name = file_name(path).lower()
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


@contextmanager
def open_text(path: str) -> Iterator[IO[bytes]]:
    """Open the unpacked text of a file as UTF-8. Raises UserError if it is not text or does not fit its name.

    Reading raises OSError, ValueError or one of `DAMAGED` if the file is damaged.
    """
    with open_file(path) as file:
        head = read_head(file)
        said = ENDINGS.get(PurePosixPath(file_name(path).lower()).suffix)
        packing = packing_of(head)
        if said and not packing:
            what = other_kind(head) or ("nothing" if not head else "no packed file")
            raise UserError(f"{path}: found {what}, expected {said} by its name; fetch it anew, or rename it")
        if packing == "zip":
            file.seek(0)
            with _only_member(path, file) as member:
                yield _text(path, member, read_head(member))
        elif packing:
            unpacked = _unpacker(packing, io.BufferedReader(Chunks(chunks_of(file, head)), HEAD))
            yield _text(path, unpacked, read_head(unpacked))
        else:
            yield _text(path, file, head)


def _text(path: str, file: Any, head: bytes) -> IO[bytes]:
    packing, kind = packing_of(head), other_kind(head)
    if packing:
        raise UserError(f"{path}: found {packing} inside another packing, expected text; unpack it once")
    if kind:
        raise UserError(f"{path}: found a file of the kind {kind}, expected text")
    return utf8_stream(io.BufferedReader(Chunks(chunks_of(file, head)), HEAD))


def _unpacker(packing: str, file: IO[bytes]) -> Any:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=file)
    if packing == "bzip2":
        return bz2.BZ2File(file)
    if packing == "xz":
        return lzma.LZMAFile(file)
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), packing)


@contextmanager
def _only_member(path: str, file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Open the only file of a zip archive. Files that macOS adds are ignored."""
    with zipfile.ZipFile(file) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise UserError(f"{path}: found a zip archive of {len(members)} files, expected one of captions; unpack it")
        if members[0].flag_bits & 1:
            raise UserError(f"{path}: found a zip archive with a password; unpack it")
        with archive.open(members[0]) as member:
            yield member
