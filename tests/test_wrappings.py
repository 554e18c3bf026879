"""The same captions come out of every wrapping: marks, encodings, packings, line ends, column types."""

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contrastive_concepts.captions.duplicates import find_duplicates
from contrastive_concepts.captions.formats import detect_format
from contrastive_concepts.captions.manifest import inspect_shard, manifest
from contrastive_concepts.captions.packing import open_text
from contrastive_concepts.captions.shards import Shard, find_shards
from contrastive_concepts.cooccurrence.shard import count_shard
from contrastive_concepts.errors import UserError
from contrastive_concepts.file_kinds import HEAD
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.vocabulary.mining import sample_captions
from tests.helpers import read_all, written_captions

from .wrappings import ENCODINGS, LINE_ENDS, PACKINGS, encoded

# No control characters: lines and fields end at them.
WORDS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters='"\ufeff'), min_size=1, max_size=8)
CAPTION = st.lists(WORDS, min_size=2, max_size=6).map(" ".join).map(lambda text: f"a {text}")
CAPTIONS = st.lists(CAPTION, min_size=1, max_size=20)


def table(captions: list[str], layout: str, end: str) -> str:
    if layout == "jsonl":
        return "".join(json.dumps({"url": "x", "caption": caption}, ensure_ascii=False) + "\n" for caption in captions)
    if layout == "json":
        return json.dumps({"annotations": [{"image_id": 1, "caption": caption} for caption in captions]})
    if layout == "token.txt":
        return "".join(f"1.jpg#{number}\t{caption}{end}" for number, caption in enumerate(captions))
    if layout == "csv":
        sink = io.StringIO()
        writer = csv.writer(sink, lineterminator=end)
        writer.writerows([["image", "caption"], *([f"{n}.jpg", text] for n, text in enumerate(captions))])
        return sink.getvalue()
    rows = [["", "filepath", "title"], *([str(n), f"{n}.jpg", caption] for n, caption in enumerate(captions))]
    return "".join("\t".join(row) + end for row in rows)


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_file_of_one_line(encoding: str, end: str, tmp_path: Path) -> None:
    """Of every length up to some bytes, and with its line end where the first bytes that are looked at end."""
    unit = len(encoded("a", encoding)) - len(ENCODINGS[encoding])
    room = (HEAD - len(ENCODINGS[encoding])) // unit - len("1.jpg#0\t")
    for length in (*range(1, 9), *range(room - 3, room + 2)):
        (tmp_path / "caps.token.txt").write_bytes(encoded(f"1.jpg#0\t{'a' * length}{end}", encoding))
        assert read_all(tmp_path / "caps.token.txt") == ["a" * length], length


@given(
    CAPTIONS,
    st.sampled_from(["tsv", "csv", "jsonl", "json", "token.txt"]),
    st.sampled_from(sorted(ENCODINGS)),
    st.sampled_from(LINE_ENDS),
    st.sampled_from(["", *PACKINGS]),
    st.booleans(),
)
def test_captions_are_the_same_in_every_wrapping(
    tmp_path_factory: pytest.TempPathFactory,
    captions: list[str],
    layout: str,
    encoding: str,
    end: str,
    packing: str,
    capitals: bool,
) -> None:
    name = f"caps.{layout}{packing}"
    path = tmp_path_factory.mktemp("w") / (name.upper() if capitals else name)
    data = encoded(table(captions, layout, end), encoding)
    path.write_bytes(PACKINGS[packing](data) if packing else data)
    assert read_all(path) == captions
    assert inspect_shard(Shard("a", str(path))).rows == len(captions)


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_packed_is_unpacked_to_its_end_or_refused(packing: str, tmp_path: Path) -> None:
    text = "".join(f"a boat number {n}\thttp://x/{n}.jpg\n" for n in range(5000)).encode()
    packed = PACKINGS[packing](text)
    wanted = [f"a boat number {n}" for n in range(5000)]
    hidden = tmp_path / "hidden.tsv"
    hidden.write_bytes(packed)
    assert read_all(hidden) == wanted
    path = tmp_path / f"a.tsv{packing}"
    if packing != ".zip":
        path.write_bytes(packed + packed)
        assert read_all(path) == wanted * 2
    damages = [
        packed[: len(packed) // 2], packed[:-5], packed[:6], b"", text, b"<!DOCTYPE html>\n<html>",
        PACKINGS[packing](packed), PACKINGS[packing](gzip.compress(text)),
    ]  # fmt: skip
    if packing != ".zst":  # zstd's frames may go without a checksum, and Arrow writes none
        damages.append(packed[:200] + b"\xff" * 40 + packed[240:])
    for damaged in damages:
        path.write_bytes(damaged)
        refused(path)


def refused(path: Path, message: str | None = None) -> None:
    with pytest.raises(UserError, match=message) as caught:
        inspect_shard(Shard("a", str(path)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        ("a.csv", b"<html><body>Sign in</body></html>", "HTML"),
        ("a.tsv", b"PAR1\x15\x04\x15", "parquet"),
        ("a.tsv", b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
        ("a.tsv", b"\x89PNG\r\n\x1a\n", "PNG"),
        ("a.tsv.br", b"\x8b\x01", "layout not known"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "packed parquet"),
        ("a.tsv", "a boat\thttp://x\n".encode("utf-16")[:-1], "not a readable tsv file"),
        ("a.jsonl", b'{"caption": 3}\n', "line 1: 'caption' holds int"),
        ("a.jsonl", b'{"caption": "a"}\n{"capt', "line 2: not JSON"),
        ("a.jsonl", b'{"url": "a", "blurb": "b"}\n', "found keys url, blurb"),
        ("a.csv", b'image,caption\n1.jpg,"a boat\n2.jpg,a ship\n', "line 3: not a row of a CSV file"),
        ("a.tsv", b"link\tblurb\nhttp://x/1.jpg\ta boat\n", "found header link, blurb"),
        ("a.tsv", b"a boat\tthe sky\nthe dog\ta man\n", r"2 columns of text \(0: 'a boat' \(text\)"),
        ("a.tsv", b"1\thttp://x\n2\thttp://y\n", "no column of text"),
        ("a.tsv", "猫\thttp://x\n犬\thttp://y\n".encode("cp932"), "each of its 2 captions in column 0 is null, empty"),
        ("a.tsv", b"url\tcaption\nhttp://x\t\nhttp://y\t \n", "each of its 2 captions in column 'caption'"),
        ("a.token.txt", b"image,caption\n1.jpg,a boat\n", "captions.format: csv"),
    ],
)  # fmt: skip
def test_what_is_no_text_of_captions_is_a_line(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)


HASHES = ["9f86d081884c7d65", "60303ae22b998861", "fd61a03af4f77d87"]
TEXTS = ["a boat, a ship", "the sky", "dogs on grass"]
COLUMNS = {
    "url": [f"http://x/{n}.jpg" for n in range(3)],
    "filepath": [f"images/{n} a.jpg" for n in range(3)],
    "": ["0", "1", "2"],
    "hash": HASHES,
    "score": ["0.31", "1e-3", "nan"],
    "date": ["2014-01-02", "2015-02-03", "2016-03-04"],
    "uuid": ["123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174001", "a" * 32],
}


@given(
    st.permutations([*COLUMNS, "caption"]),
    st.integers(1, 8),
    st.booleans(),
    st.sampled_from(["caption", "TEXT", "Title", '"top_caption"', " re_caption ", "sentence", "raw", "alt-text", "Comment"]),
    st.sampled_from(["tsv", "csv"]),
)  # fmt: skip
def test_the_column_is_chosen_by_name_or_by_what_it_holds(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], width: int, header: bool, name: str, layout: str
) -> None:
    shown = [column for column in order if column in order[:width] or column == "caption"]
    named = [name if column == "caption" else column for column in shown]
    rows = [[TEXTS[n] if column == "caption" else COLUMNS[column][n] for column in shown] for n in range(3)]
    path = tmp_path_factory.mktemp("c") / f"a.{layout}"
    with path.open("w", newline="") as file:
        if layout == "csv":
            csv.writer(file).writerows([named, *rows] if header else rows)
        else:
            file.writelines("\t".join(row) + "\n" for row in ([named, *rows] if header else rows))
    assert read_all(path) == TEXTS
    assert read_all(path, shown.index("caption")) == TEXTS


def test_of_several_known_names_the_first_in_the_stated_order_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for names, chosen in (
        (["title", "TEXT"], "TEXT"), (["raw", "sentence"], "sentence"), (["description", "top_caption"], "top_caption"),
        (["re_caption", "Caption"], "Caption"), (["comment", "alt"], "alt"),
    ):  # fmt: skip
        pq.write_table(pa.table({name: ["a boat"] for name in names}), path)
        assert inspect_shard(Shard("a", str(path))).column == chosen


def test_kaggles_tables_are_read_as_they_are(tmp_path: Path) -> None:
    eight = tmp_path / "captions.txt"
    eight.write_text('image,caption\n1.jpg,A child in a pink dress .\n1.jpg,"A ""girl"" , going\ninto it ."\n')
    thirty = tmp_path / "results.csv"
    thirty.write_text(
        'image_name| comment_number| comment\n1.jpg| 0| Two men, "young" .\n1.jpg| 1| "A dog .\n2.jpg| 4 A\n'
    )
    record = inspect_shard(Shard("a", str(eight)), "csv")
    assert (record.column, record.rows) == ("caption", 2)
    refused_as_flickr = "found lines without a tab"
    with pytest.raises(UserError, match=refused_as_flickr):
        inspect_shard(Shard("a", str(eight)), "flickr")
    assert read_all(thirty) == ['Two men, "young" .', '"A dog .', None]


TYPES = [
    pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view(),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string()), pa.dictionary(pa.int32(), pa.binary()),
]  # fmt: skip
LEXICON = Lexicon.build(["boat", "sky", "dog"])


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a boat", "sky and dog", ""]), CAPTION), max_size=20), st.data())
def test_every_stage_reads_every_type_of_column(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str | None], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("t")
    captions = [*captions, "a boat"]
    for number, kind in enumerate((pa.string(), data.draw(st.sampled_from(TYPES)))):
        raw = [None if text is None else text.encode() for text in captions]
        values = raw if "binary" in str(kind) else captions
        values = pa.array(values, kind.value_type).dictionary_encode() if pa.types.is_dictionary(kind) else values
        column = values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)
        pq.write_table(pa.table({"TEXT": column}), folder / f"{number}.parquet")
    pq.write_table(pa.table({"TEXT": pa.nulls(3)}), folder / "null.parquet")
    pq.write_table(pa.table({"TEXT": pa.array([], pa.string())}), folder / "none.parquet")
    (folder / "none.tsv").write_text(data.draw(st.sampled_from(["", "url\tcaption\n"])))
    (folder / "none.csv").write_text(data.draw(st.sampled_from(["", "image,caption\n"])))
    (folder / "none.json").write_text('{"images": [], "annotations": []}')
    (folder / "none.jsonl").write_text("")
    records = [inspect_shard(shard) for shard in find_shards(["*"], str(folder))]
    rows = {Path(record.path).name: record.rows for record in records}
    empty = dict.fromkeys(["none.parquet", "none.tsv", "none.csv", "none.json", "none.jsonl"], 0)
    assert rows == {"0.parquet": len(captions), "1.parquet": len(captions), "null.parquet": 3, **empty}
    assert manifest(records)["rows"].sum() == 2 * len(captions) + 3
    counted = {}
    for record in records:
        matrix, statistics = count_shard(record, LEXICON, 100_000, np.empty(0, np.int64), "fail")
        counted[Path(record.path).name] = (matrix.toarray().tolist(), statistics["null"], statistics["rows"])
    assert counted["0.parquet"] == counted["1.parquet"]
    assert counted["null.parquet"][1:] == (3, 3)
    texts = {text for text in captions if text}
    assert set(sample_captions(records, 10**6)) == texts
    copies = find_duplicates(records, folder)
    known = [text for text in captions if text is not None]
    assert copies.height == 2 * len(known) - len(set(known))


def test_a_corpus_of_nothing_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"TEXT": pa.nulls(3)}), tmp_path / "a.parquet")
    record = inspect_shard(Shard("a", str(tmp_path / "a.parquet")))
    with pytest.raises(UserError, match=r"found no caption in any of the 1 shards: 3 rows"):
        manifest([record])
    pq.write_table(pa.table({"TEXT": pa.nulls(3, pa.string())}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "each of its 3 captions in column 'TEXT' is null")
    (tmp_path / "a.tsv").write_text("")
    with pytest.raises(UserError, match="found no caption"):
        manifest([inspect_shard(Shard("a", str(tmp_path / "a.tsv")))])


def test_captions_in_every_packing(tmp_path: Path) -> None:
    raw = "".join(
        f"{caption}\thttp://x/{row}\n" for row, caption in enumerate(filter(None, written_captions()))
    ).encode()
    plain = tmp_path / "plain.tsv"
    plain.write_bytes(raw)
    wanted = read_all(plain)
    assert wanted == list(filter(None, written_captions()))
    for packing, pack in PACKINGS.items():
        path = tmp_path / f"a.tsv{packing}"
        path.write_bytes(pack(raw))
        assert read_all(path) == wanted
    assert detect_format(str(plain)) == "tsv"
    with open_text(str(plain)) as file:
        assert file.read() == raw
