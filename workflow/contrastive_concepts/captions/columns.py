"""Find the caption column of a table: by its name or, without a header, by its contents."""

import re
from collections.abc import Sequence

from contrastive_concepts.errors import UserError

CAPTIONS = (
    "caption", "text", "title", "top_caption", "re_caption", "recaption", "sentence", "raw", "captions", "alt_text",
    "alttext", "alt", "raw_caption", "image_caption", "caption_text", "text_caption", "caption_reference_description",
    "caption_alt_text_description", "blip_caption", "description", "comment", "sentences", "texts", "prompt",
)  # fmt: skip
"""Common names of caption columns, in lower case with underscores. If a table has several, the first here is used."""
OTHER_NAMES = frozenset(
    (
        "", "url", "urls", "image", "images", "image_url", "image_name", "image_path", "image_file", "img", "filename",
        "file_name", "filepath", "file_path", "file", "path", "key", "id", "image_id", "sample_id", "uid", "index",
        "hash", "md5", "sha256", "comment_number", "caption_number", "caption_id", "sentid", "imgid", "split",
        "width", "height", "license", "language", "lang", "nsfw", "similarity", "score", "subreddit", "label", "link",
        "unnamed:_0",
    )
)  # fmt: skip
"""Common names of other columns. They show that a first row is a header."""

Row = Sequence[bytes]
_KINDS = (
    ("blank", re.compile(rb"\s*")),
    ("address", re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://\S*|//\S+|www\.\S+|data:\S+")),
    ("number", re.compile(rb"[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?%?|\d{4}-\d\d-\d\d\S*|(?i:nan|true|false)")),
    (
        "path",
        re.compile(
            rb"(?:[^\t]*\.(?:jpe?g|png|webp|gif|bmp|tiff?|svg|npy|npz|pt|tar|json|txt|mp4)(?:#\d+)?"
            rb"|(?:\.{0,2}/|[A-Za-z]:[\\/])[^\t]*|[^\s/]+(?:/[^\s/]+)+)",
            re.IGNORECASE,
        ),
    ),
    # A token with a digit, or a long one: base64, hexadecimal, keys.
    ("identifier", re.compile(rb"(?=\S*\d)[A-Za-z0-9_+/=:.-]{5,}|[A-Za-z0-9+/_=-]{22,}|[0-9a-fA-F]{8,}")),
)  # fmt: skip


def kind_of(value: bytes) -> str:
    """The kind of a field's value: text, blank, address, number, path or identifier."""
    value = value.strip(b" \t\r\n\"'")
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(value)), "text")


def plain_name(name: str) -> str:
    """A column's name without byte-order mark, quotes and surrounding white space."""
    return name.strip("\ufeff \t\r\n\"'`")


def known_column(names: Sequence[str], known: Sequence[str] = CAPTIONS) -> str | None:
    """The column whose name comes first in the list of known names; None if no name is known."""
    plain = [_key(name) for name in names]
    return next((names[plain.index(name)] for name in known if name in plain), None)


def named_column(names: Sequence[str], wanted: str) -> str | None:
    """The column with the wanted name: an exact match, else one with the same `plain_name`; None if there is none."""
    if wanted in names:
        return wanted
    return next((name for name in names if plain_name(name) == plain_name(wanted)), None)


def is_header(rows: Sequence[Row], known: Sequence[str] = CAPTIONS) -> bool:
    """Whether the first row names the columns.

    It does if it has a known name and no address, number or path. It also does if a column has a word in the first row
    and addresses, numbers, paths or identifiers below it.
    """
    if not rows:
        return False
    names = header_names(rows[0])
    kinds = [kind_of(name) for name in rows[0]]
    keys = [_key(name) for name in names]
    if names in ([str(n) for n in range(len(names))], ["", *map(str, range(len(names) - 1))]) and len(names) > 1:
        return True
    if {"address", "path"} & set(kinds) or all(kind == "blank" for kind in kinds):
        return False
    if any(key in known or (key and len(keys) > 1 and key in OTHER_NAMES) for key in keys):
        return "number" not in kinds
    below = [_column_kind(rows[1:], place) for place in range(len(names))]
    pairs = list(zip(kinds, below, strict=True))
    return any(
        first == "text" and below in ("address", "number", "path", "identifier") for first, below in pairs
    ) and not any(first in ("number", "identifier") and first == below for first, below in pairs)


def header_names(row: Row) -> list[str]:
    """The column names in a header row, each as `plain_name`."""
    return [plain_name(name.decode("utf-8", "replace")) for name in row]


def text_column(path: str, rows: Sequence[Row], key: str) -> int:
    """The number of the only text column in a table without a header. Raises UserError if there are none or several."""
    width = max((len(row) for row in rows), default=1)
    kinds = [_column_kind(rows, place) for place in range(width)]
    texts = [place for place, kind in enumerate(kinds) if kind == "text"]
    if len(texts) == 1:
        return texts[0]
    if not rows or all(kind == "blank" for kind in kinds):
        return 0
    found = "; ".join(f"{place}: {_shown(rows, place)} ({kinds[place]})" for place in range(width))
    what = f"{len(texts)} columns of text" if texts else "no column of text"
    raise UserError(f"{path}: found no header and {what} ({found}); say which it is ({key})")


def _column_kind(rows: Sequence[Row], place: int) -> str:
    """text if at least half of the values are text; else the most frequent kind. Blank values are ignored."""
    kinds = [kind_of(row[place]) for row in rows if place < len(row)]
    kinds = [kind for kind in kinds if kind != "blank"]
    if not kinds:
        return "blank"
    return "text" if kinds.count("text") * 2 >= len(kinds) else max(sorted(set(kinds)), key=kinds.count)


def _shown(rows: Sequence[Row], place: int) -> str:
    first = next((row[place] for row in rows if place < len(row) and row[place].strip()), b"")
    text = first.decode("utf-8", "replace")
    return repr(text if len(text) <= 30 else text[:27] + "...")


def _key(name: str) -> str:
    return re.sub(r"[\s-]+", "_", plain_name(name).lower())
