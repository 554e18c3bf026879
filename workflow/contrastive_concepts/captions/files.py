"""Open the files of a corpus, on a disk or at an fsspec URL (s3://, https://, hf://, ...).

A remote filesystem takes its keys and endpoints from fsspec's configuration or from the environment.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import fsspec

from contrastive_concepts.credentials import hide, reveal
from contrastive_concepts.errors import UserError, one_line

WEB = ("http://", "https://")
ABSENT = "no such file"


def is_url(path: str) -> bool:
    return "://" in path


def file_name(path: str) -> str:
    """The name of a file without its folders. For a web address also without query and fragment."""
    if not is_url(path):
        return PurePosixPath(path).name
    # In a chain such as simplecache::https://... the first part that has a path.
    address = next(part for part in path.split("::") if "://" in part)
    if address.startswith(WEB):
        address = unquote(re.split(r"[?#]", address, maxsplit=1)[0])
    return PurePosixPath(address.partition("://")[2]).name


def open_file(path: str) -> Any:
    """Open a binary file to read from its beginning, without unpacking it."""
    return fsspec.open(reveal(path), "rb")


def copy_file(path: str, target: str | Path) -> None:
    """Copy a file to a local one, without unpacking it."""
    filesystem, name = fsspec.core.url_to_fs(reveal(path))
    filesystem.get_file(name, str(target))


def open_ranges(path: str) -> Any:
    """Open a binary file for reads at any position. Nothing is fetched ahead, because parquet reads single columns."""
    filesystem, name = fsspec.core.url_to_fs(reveal(path))
    return filesystem.open(name, "rb", cache_type="none")


def size_and_version(path: str) -> tuple[int, str]:
    """Size in bytes, and as text the modification time or a remote object's tag. Raises UserError if not found."""
    with reachable(path):
        if not is_url(path):
            status = os.stat(path)
            return status.st_size, str(status.st_mtime_ns)
        filesystem, name = fsspec.core.url_to_fs(reveal(path))
        info = filesystem.info(name)
        tags = ("ETag", "etag", "blob_id", "LastModified", "last_modified", "mtime", "created")
        tag = next((info[key] for key in tags if info.get(key)), "")
        return int(info.get("size") or 0), str(tag)


def expand_url(pattern: str) -> list[str]:
    """The URLs that match a pattern; a URL without wildcards is returned as is. Raises UserError if listing fails."""
    place = pattern.partition("://")[2]
    if pattern.startswith(WEB):
        # In a web address a question mark begins the query, and a host can be in brackets.
        place = re.split(r"[?#]", place, maxsplit=1)[0].partition("/")[2]
    if not any(character in place for character in "*?["):
        return [pattern]
    with reachable(pattern):
        filesystem, path = fsspec.core.url_to_fs(reveal(pattern))
        if "[" in place and filesystem.isfile(path):
            return [pattern]
        return [hide(filesystem.unstrip_protocol(match)) for match in filesystem.glob(path)]


@contextmanager
def reachable(path: str) -> Iterator[None]:
    """Turn failures to reach a file into UserError. For a URL this is any error: each filesystem has its own kinds."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(
            f"{path}: cannot be read ({one_line(error)}); for S3, HTTP and the hub: "
            "pip install 'contrastive-concepts[remote]'"
        ) from None
    except FileNotFoundError as error:
        # fsspec's HTTP filesystem raises FileNotFoundError also for a refused page or a host that is down.
        cause = error.__cause__
        if getattr(cause, "status", 404) == 404 and not _is_failed_connection(cause):
            raise UserError(f"{path}: {ABSENT}") from None
        raise UserError(f"{path}: cannot be read ({one_line(cause or error)})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from None
    except Exception as error:
        if not is_url(path):
            raise
        raise UserError(f"{path}: cannot be read ({one_line(error)})") from None


def _is_failed_connection(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and not isinstance(error, FileNotFoundError)
