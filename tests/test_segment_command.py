"""`contrastive-concepts segment`: folders, label maps, odd names, records, lists; one line for what is wrong."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from contrastive_concepts import ConceptSegmenter
from contrastive_concepts.cli.main import app
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmentation import folder as folder_module
from tests.scenes import scene


@pytest.fixture(scope="module")
def segmenter() -> ConceptSegmenter:
    return ConceptSegmenter()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["segment", *arguments])


def photos_in(folder: Path, count: int = 3) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(count)]
    for path, sample in zip(paths, scene(count), strict=True):
        Image.fromarray(sample.image).save(path)
    return paths


def test_a_folder_in_a_shell(tmp_path: Path, segmenter: ConceptSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, out = photos_in(tmp_path / "photos"), tmp_path / "out"
    (tmp_path / "photos" / "broken.jpg").write_bytes(photos[0].read_bytes()[:200])
    asked = [str(tmp_path / "photos"), "-q", "boat", "-q", "old dog", "-o", str(out)]
    done = run(*asked)
    assert done.exit_code == 0, done.output
    assert "3 of 4 photos" in done.stdout
    assert "passed over" in done.output
    assert "broken.jpg" in done.output
    content = json.loads((out / "masks.json").read_text())
    assert [each["name"] for each in content["categories"]] == ["boat", "old dog"]
    assert [each["file_name"] for each in content["images"]] == list(map(str, photos))
    assert [each["id"] for each in content["annotations"]] == list(range(1, len(content["annotations"]) + 1))
    for number, photo in enumerate(photos, start=1):
        encoded = segmenter.encode(photo)
        for category, query in enumerate(("boat", "old dog"), start=1):
            found = segmenter(encoded, query)
            stored = np.asarray(Image.open(out / f"{photo.stem}.{query.replace(' ', '_')}.mask.png"))
            assert np.array_equal(stored, found.mask * np.uint8(255))
            assert Image.open(out / f"{photo.stem}.{query.replace(' ', '_')}.overlay.png").size == stored.shape[::-1]
            rows = [a for a in content["annotations"] if (a["image_id"], a["category_id"]) == (number, category)]
            assert len(rows) == int(found.mask.any())
            for row in rows:
                assert np.array_equal(coco.decode(row["segmentation"]) == 1, found.mask)
                assert row["area"] == found.mask.sum()
                columns, lines = found.mask.any(0).nonzero()[0], found.mask.any(1).nonzero()[0]
                assert row["bbox"] == [columns[0], lines[0], np.ptp(columns) + 1, np.ptp(lines) + 1]
            assert content["images"][number - 1]["negatives"][query] == found.shares
    # What is done is not done again; a run that was cut off in its last line goes on.
    text = (out / "done.jsonl").read_text()
    (out / "done.jsonl").write_text(text[:-30])
    read: list[str] = []
    cropped = ConceptSegmenter.cropped
    monkeypatch.setattr(
        ConceptSegmenter, "cropped", lambda self, image: (read.append(str(image)), cropped(self, image))[1]
    )
    assert run(*asked).exit_code == 0
    assert set(read) == {str(tmp_path / "photos" / "broken.jpg"), str(photos[2])}
    assert json.loads((out / "masks.json").read_text()) == content


def test_label_maps_of_classes(tmp_path: Path, segmenter: ConceptSegmenter) -> None:
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    (tmp_path / "classes.txt").write_text("boat\nsea\ngrass\n")
    done = run(str(photo), "--classes", str(tmp_path / "classes.txt"), "-o", str(out))
    assert done.exit_code == 0, done.output
    found = segmenter(photo, ["boat", "sea", "grass"])
    stored = Image.open(out / "0.labels.png")
    assert stored.mode == "P"
    assert np.array_equal(np.asarray(stored), found.query_map)
    content = json.loads((out / "masks.json").read_text())
    assert {a["category_id"] for a in content["annotations"]} == set(np.unique(found.query_map)) - {0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photo}"], "--query: found both or neither"),
        (["{photo}", "-q", ""], "query: found an empty text"),
        (["absent.png", "-q", "boat"], "absent.png: not found, expected a photo"),
        (["{texts}", "-q", "boat"], "found no photo"),
        (["{broken}", "-q", "boat"], "broken.png: cannot be decoded"),
        (
            ["{photo}", "-q", "boat", "--negatives", "all"],
            "--negatives: found 'all', expected dictionary, background, none",
        ),
        (["{photo}", "-q", "boat", "--segmenter", "mask"], "segmenter: found 'mask'"),
        (["{photo}", "-q", "boat", "--option", "scale"], "--option: found 'scale', expected NAME=VALUE"),
        (["{photo}", "-q", "boat", "--option", "scale=[1]"], "option 'scale' is unknown"),
        (["{photo}", "-q", "boat", "--image-weights", "w.pt"], "--image-weights: found without --image-model"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    places = {
        "photo": str(photos_in(tmp_path / "photos", 1)[0]),
        "texts": str(tmp_path / "texts"),
        "broken": str(tmp_path / "broken.png"),
    }
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    done = run(*(argument.format(**places) for argument in arguments), "-o", str(tmp_path / "out"))
    assert done.exit_code != 0
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1


def test_names_stay_apart() -> None:
    names = folder_module._distinct({"a/1": "1", "b/1": "1", "b/2": "2", "c": "1-2", "B/2": "2", "d": "X", "e": "x"})
    assert list(names.values()) == ["1", "1-2", "2", "1-2-2", "2-2", "X", "x-2"]


def test_results_of_other_settings_or_photos_are_not_taken_for_these(
    tmp_path: Path, segmenter: ConceptSegmenter
) -> None:
    """Results of two photos of one name, and of two settings, in one folder: what was written last is what is there."""
    out = tmp_path / "out"
    [one] = photos_in(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    other = tmp_path / "b" / "0.png"
    Image.fromarray(scene(2)[1].image).save(other)

    def mask_after(photo: Path, *options: str) -> bool:
        assert run(str(photo), "-q", "boat", "-o", str(out), *options).exit_code == 0
        stored = np.asarray(Image.open(out / "0.boat.mask.png")) == 255
        return np.array_equal(stored, segmenter(photo, "boat", options[1] if options else None).mask)

    assert all(mask_after(photo) for photo in (one, other, one))
    assert all(mask_after(one, *options) for options in ((), ("--negatives", "none"), ()))
    (out / "0.boat.mask.png").unlink()
    assert mask_after(one)
    # Both at once have files of their own, and the results are no photos.
    done = run(str(tmp_path), "-q", "boat", "-q", "Boat", "-o", str(out))
    assert "2 of 2 photos" in done.stdout
    masks = sorted(path.name for path in out.glob("*.mask.png"))
    assert masks == ["0-2.Boat-2.mask.png", "0-2.boat.mask.png", "0.Boat-2.mask.png", "0.boat.mask.png"]


def test_names_that_are_no_text_and_places_that_cannot_be_written(tmp_path: Path) -> None:
    [photo] = photos_in(tmp_path / "photos", 1)
    odd = photo.with_name("caf\udce9.png")
    photo.rename(odd)
    assert run(str(tmp_path / "photos"), "-q", "bateau à voile", "-o", str(tmp_path / "out")).exit_code == 0
    [image] = json.loads((tmp_path / "out" / "masks.json").read_text())["images"]
    assert image["file_name"] == str(odd)
    (tmp_path / "file").write_text("")
    done = run(str(tmp_path / "photos"), "-q", "boat", "-o", str(tmp_path / "file"))
    assert isinstance(done.exception, UserError)
    assert "file: cannot be written" in str(done.exception)


def masks_equal(out: Path, segmenter: ConceptSegmenter, negatives: str) -> bool:
    [image] = {image["file_name"] for image in json.loads((out / "masks.json").read_text())["images"]} or [""]
    stored = np.asarray(Image.open(out / f"{Path(image).stem}.boat.mask.png")) == 255
    return np.array_equal(stored, segmenter(image, "boat", negatives).mask)


def test_a_run_that_is_cut_off_leaves_no_records_of_replaced_files(
    tmp_path: Path, segmenter: ConceptSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are replaced before their records: an interrupted run with other negatives is not taken for the first."""
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    asked = [str(photo), "-q", "boat", "-o", str(out)]
    assert run(*asked).exit_code == 0
    whole = folder_module._write_results

    def cut(*arguments: Any, **named: Any) -> Any:
        whole(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folder_module, "_write_results", cut)
        assert run(*asked, "--negatives", "none").exit_code != 0
    assert not masks_equal(out, segmenter, "dictionary")
    assert run(*asked).exit_code == 0
    assert masks_equal(out, segmenter, "dictionary")


def test_odd_names_and_records(tmp_path: Path) -> None:
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    for name in (".0.png", f"{'x' * 245}.png", "0.PNG"):
        (tmp_path / "photos" / name).write_bytes(photo.read_bytes())
    asked = [str(tmp_path / "photos"), "-q", "boat", "-q", "漢" * 90, "-o", str(out)]
    out.mkdir()
    for junk in (b"5\nnull\n[1]\n{}\n", b'{"name": "0"}\n', b"\xff\xfe\n", b"[" * 5000):
        (out / "done.jsonl").write_bytes(junk)
        done = run(*asked)
        assert done.exit_code == 0, done.output
    images = json.loads((out / "masks.json").read_text())["images"]
    files = [file for image in images for file in image["files"]]
    assert len(images) == 4
    assert len(set(files)) == len(files) == 16
    assert {*files, "masks.json", "done.jsonl", ".running"} == {path.name for path in out.iterdir()}
    done = run("x" * 300, "-q", "boat", "-o", str(out))
    assert isinstance(done.exception, UserError)


def test_results_beside_the_photos(tmp_path: Path) -> None:
    """Results in the photos' folder are no photos; a glob of the shell that has the results is no fault."""
    photos = photos_in(tmp_path / "photos", 2)
    folder = tmp_path / "photos"
    for _ in range(2):
        assert "2 of 2 photos" in run(str(folder), "-q", "boat", "-o", str(folder)).stdout
    inner = folder / "out"
    for _ in range(2):
        places = [str(place) for place in (*photos, *([inner] if inner.exists() else []))]
        assert "2 of 2 photos" in run(*places, "-q", "boat", "-o", str(inner)).stdout
    spelled = [str(photos[0]), str(folder / "out" / ".." / "0.png")]
    assert "1 of 1 photos" in run(*spelled, "-q", "boat", "-o", str(inner)).stdout
    assert isinstance(run(str(inner), "-q", "boat", "-o", str(inner)).exception, UserError)


def test_one_run_at_a_time(tmp_path: Path) -> None:
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    out.mkdir()
    with folder_module._only_run(out):
        done = run(str(photo), "-q", "boat", "-o", str(out))
    assert "another run writes there" in str(done.exception)
    assert run(str(photo), "-q", "boat", "-o", str(out)).exit_code == 0


def test_lists_in_files(tmp_path: Path, segmenter: ConceptSegmenter) -> None:
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    (tmp_path / "negatives.txt").write_text("sea\n\nsky\n\n")
    assert run(str(photo), "-q", "boat", "-o", str(out), "--negatives", str(tmp_path / "negatives.txt")).exit_code == 0
    [image] = json.loads((out / "masks.json").read_text())["images"]
    assert image["negatives"]["boat"] == segmenter(photo, "boat", ["sea", "sky"]).shares
    (tmp_path / "negatives.txt").write_text("\n\n")
    empty = run(str(photo), "-q", "boat", "-o", str(out), "--negatives", str(tmp_path / "negatives.txt"))
    assert "negatives.txt: found an empty list" in str(empty.exception)
    classes = tmp_path / "classes.txt"
    classes.write_text("background\nboat\nsea\n")
    assert run(str(photo), "-o", str(out), "--classes", str(classes)).exit_code == 0
    assert [each["name"] for each in json.loads((out / "masks.json").read_text())["categories"]] == ["boat", "sea"]
    for content, message in (
        ("boat\n\nsea\n", "classes.txt: line 2: found an empty line"),
        ("background\n", "classes.txt: found 0 classes"),
        ("".join(f"c{number}\n" for number in range(300)), "classes.txt: found 300 classes, expected 1 to 255"),
        ("boat\nsea\nBoat\n", "query: found 'boat' more than once"),
    ):
        classes.write_text(content)
        done = run(str(photo), "-o", str(out), "--classes", str(classes))
        assert isinstance(done.exception, UserError), content[:20]
        assert message in str(done.exception)


def test_a_word_that_the_dictionary_does_not_have_is_told(tmp_path: Path) -> None:
    [photo], out = photos_in(tmp_path / "photos", 1), tmp_path / "out"
    done = run(str(photo), "-q", "schooner", "-q", "Boat", "-o", str(out))
    assert "note: 'schooner' is not in the dictionary; its negatives are those of" in done.output
    assert "'Boat'" not in done.output
    categories = json.loads((out / "masks.json").read_text())["categories"]
    assert [each["concept"] == each["name"] for each in categories] == [False, False]
    assert categories[1]["concept"] == "boat"


@pytest.mark.parametrize(("command", "package"), [("segment", "pycocotools"), ("demo", "uvicorn")])
def test_a_missing_package_is_one_line(command: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = CliRunner().invoke(app, [command, *(["a.png", "-q", "boat", "-o", "out"] if command == "segment" else [])])
    assert isinstance(done.exception, UserError)
    assert f"{command}: found no package {package}, expected the extras {command}: pip" in str(done.exception)
