"""A user's photos segmented by words: equal to what the benchmark scores, in Python and in a shell."""

import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco
from typer.testing import CliRunner

from contrastive_concepts import ConceptSegmenter
from contrastive_concepts.cli.main import app
from contrastive_concepts.config.evaluation import ImageModelSettings, Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import protocol
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, background_only, from_mapping
from contrastive_concepts.evaluation.datasets import open_dataset
from contrastive_concepts.evaluation.scoring import evaluate_single
from contrastive_concepts.segmentation import folder as folder_module
from contrastive_concepts.segmentation.concept_segmenter import TOY_PROTOCOL
from contrastive_concepts.segmentation.photos import as_pixels, find_photos
from contrastive_concepts.segmenters.texts import text_embeddings
from tests.conftest import DATA, ROOT
from tests.helpers import release_dictionary
from tests.scenes import scene
from tests.synthetic_clip import random_clip

SEG = DATA / "seg"
CLASSES = ("background", "boat", "sea", "dog", "grass")


@pytest.fixture(scope="module")
def segmenter() -> ConceptSegmenter:
    return ConceptSegmenter()


@pytest.fixture(scope="module")
def sclip() -> ConceptSegmenter:
    return ConceptSegmenter(segmenter="sclip", options={"threshold": 0.05}, original=True)


def embedded(asked: ConceptSegmenter) -> Any:
    return lambda texts: text_embeddings(texts, asked._encoder, asked._method)


def mined(asked: ConceptSegmenter, original: bool = False) -> ContrastiveSet:
    matches = asked.dictionary.lookup(CLASSES[1:])
    return from_mapping("ccd", {m.query: m.contrastive_concepts for m in matches}, True, original)


@pytest.mark.parametrize("kind", ["maskclip", "sclip with its own background"])
def test_a_mask_is_what_the_benchmark_scores(kind: str, segmenter: ConceptSegmenter, sclip: ConceptSegmenter) -> None:
    asked, original = (segmenter, False) if kind == "maskclip" else (sclip, True)
    samples, labels = scene(), [1, 2, 3, 4]
    method, embed = asked._segmenter, embedded(asked)
    scored = evaluate_single(
        method, samples, CLASSES, labels, [mined(asked, original), background_only(original)], embed, TOY_PROTOCOL
    )
    for negatives, scores in zip(("dictionary", "background"), scored, strict=True):
        for number, sample in enumerate(samples):
            encoded = asked.encode(sample.image)
            for label in labels:
                truth, kept = sample.labels == label, sample.labels != 255
                if truth.any():
                    found = asked(encoded, CLASSES[label], negatives)
                    assert (found.mask & truth).sum() == scores.intersection[number, label]
                    assert ((found.mask | truth) & kept).sum() == scores.union[number, label]
    together = evaluate_classic(method, samples, CLASSES, labels, mined(asked, original), embed, TOY_PROTOCOL)
    for number, sample in enumerate(samples):
        found = asked(sample.image, CLASSES[1:])
        for label in labels:
            both = (found.mask_of(CLASSES[label]) & (sample.labels == label)).sum()
            assert both == together.intersection[number, label]


@pytest.mark.skipif(not SEG.is_dir(), reason="../shared/data/seg is not on this machine")
@pytest.mark.parametrize(
    ("kind", "folder", "clip", "method", "options", "original"),
    [
        ("voc21", "VOCdevkit/VOC2012", "toy", "maskclip", {}, False),
        ("voc21", "VOCdevkit/VOC2012", "random", "maskclip", {}, False),
        ("ade20k", "ADEChallengeData2016", "toy", "maskclip", {}, False),
        ("voc21", "VOCdevkit/VOC2012", "random", "gem", {"threshold": 0.05}, True),
        ("voc21", "VOCdevkit/VOC2012", "toy", "sclip", {"threshold": 0.02}, True),
        ("voc21", "VOCdevkit/VOC2012", "toy", "naclip", {"refine": True}, False),
    ],
)
def test_real_photos_as_the_benchmark_scores_them(
    kind: str, folder: str, clip: str, method: str, options: dict[str, Any], original: bool, tmp_path: Path
) -> None:
    """Photos of several windows and every size, on the toy CLIP and on random weights."""
    model = "toyworld-clip" if clip == "toy" else f"local-dir:{random_clip(tmp_path)}"
    sizes = Protocol(short_side=80, long_side=160, window=64, stride=32)
    asked = ConceptSegmenter(segmenter=method, model=model, options=options, original=original, protocol=sizes)
    data = open_dataset(kind, SEG / folder)
    samples = [data.read(name) for name in data.names[:2]]
    shown = sorted({label for sample in samples for label in np.unique(sample.labels).tolist()} & set(data.queries))
    sets = [
        from_mapping(
            "ccd", {m.query: m.contrastive_concepts for m in asked.dictionary.lookup(data.classes)}, True, original
        ),
        background_only(original),
    ]
    scored = evaluate_single(asked._segmenter, samples, data.classes, shown, sets, embedded(asked), sizes)
    for number, sample in enumerate(samples):
        photo = asked.encode(sample.image)
        for label in sorted(set(np.unique(sample.labels).tolist()) & set(shown)):
            for negatives, scores in zip(("dictionary", "background"), scored, strict=True):
                mask, truth = asked(photo, data.classes[label], negatives).mask, sample.labels == label
                assert (mask & truth).sum() == scores.intersection[number, label]
                assert ((mask | truth) & (sample.labels != 255)).sum() == scores.union[number, label]


def test_photos_in_order_however_they_are_batched(segmenter: ConceptSegmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a batch has windows of several photos; here the CPU is told that it were one."""
    images = [scene(3)[0].image, scene(1, 100)[0].image, *(sample.image for sample in scene(3))]
    alone = [segmenter(image, "boat") for image in images]
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(alone, segmenter.each(images, "boat"), strict=True))
    monkeypatch.setattr(segmenter, "device", torch.device("meta"))
    batches: list[int] = []
    tower = segmenter._segmenter.encode_image
    monkeypatch.setattr(segmenter._segmenter, "encode_image", lambda p: (batches.append(len(p)), tower(p))[1])
    together = list(segmenter.encode_all(map(segmenter.cropped, images)))
    monkeypatch.undo()
    assert max(batches) > 1
    for photo, found in zip(together, alone, strict=True):
        assert (segmenter(photo, "boat").labels == found.labels).mean() > 0.999


def test_proxyclip_has_a_second_model() -> None:
    with pytest.raises(UserError, match="image_model is missing"):
        ConceptSegmenter(segmenter="proxyclip")
    settings = ImageModelSettings(model="vit_tiny_patch16_224", pretrained=False)
    found = ConceptSegmenter(segmenter="proxyclip", image_model=settings)(scene(1)[0].image, "boat")
    assert found.labels.shape == scene(1)[0].labels.shape


def test_a_photo_is_encoded_once(segmenter: ConceptSegmenter) -> None:
    calls: list[int] = []
    handle = segmenter._segmenter.tower.visual.conv1.register_forward_hook(lambda *_: calls.append(1))
    photo = segmenter.encode(scene(1)[0].image)
    found = [segmenter(photo, "boat", negatives) for negatives in ("dictionary", "none", ["sea", "sky"])]
    handle.remove()
    assert len(calls) == 1
    assert found[1].mask.all()
    assert set(found[2].shares) <= {"sea", "sky"}
    assert found[0].mask.mean() + sum(found[0].shares.values()) == pytest.approx(1)
    assert list(found[0].shares.values()) == sorted(found[0].shares.values(), reverse=True)
    assert found[0].scores.shape == (len(found[0].texts), *found[0].mask.shape)
    assert (found[0].scores.argmax(axis=0) == found[0].labels).mean() > 0.999
    assert found[0].overlay().shape == photo.pixels.shape


def test_a_word_that_is_no_concept(segmenter: ConceptSegmenter) -> None:
    match = segmenter(scene(1)[0].image, "Sailing-boat").matches["Sailing-boat"]
    assert match.concept in segmenter.dictionary
    assert match.similarity < 1
    assert segmenter(scene(1)[0].image, "boats", "none").matches == {}


def test_the_maps_of_a_large_photo_a_few_texts_at_a_time(
    segmenter: ConceptSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = segmenter.encode(scene(1, 300)[0].image)
    whole = segmenter(photo, "boat").labels
    for scores in (1, 3 * 300 * 300):
        monkeypatch.setattr(protocol, "PIXEL_SCORES", scores)
        assert (segmenter(photo, "boat").labels == whole).mean() > 0.9999


def test_photos_of_every_kind(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    grey = colours[..., 0]
    deep = grey.astype(np.uint16) * 257
    same = {
        "array": colours, "grey": grey, "channel": grey[..., None], "alpha": np.dstack([colours, grey]), "deep": deep,
        "PIL": Image.fromarray(colours), "PIL alpha": Image.fromarray(np.dstack([colours, grey])),
        "PIL deep": Image.fromarray(deep), "narrow": colours[:, :1],
    }  # fmt: skip
    repeated = np.repeat(grey[..., None], 3, axis=2)
    for kind, image in same.items():
        expected = {"narrow": colours[:, :1]}.get(
            kind, repeated if kind in ("grey", "channel", "deep", "PIL deep") else colours
        )
        assert np.array_equal(as_pixels(image), expected), kind
    turned = Image.fromarray(colours)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(colours, -1)
    assert np.array_equal(as_pixels(tmp_path / "turned.png"), upright)
    assert np.array_equal(as_pixels(Image.open(tmp_path / "turned.png")), upright)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(as_pixels(tmp_path / "deep.png"), repeated)
    for wrong in (
        colours.astype(float),
        np.zeros((0, 3, 3), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros(3, np.uint8),
    ):
        with pytest.raises(UserError, match="expected uint8 or uint16"):
            as_pixels(wrong)


def test_photos_at_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "deep/c.tif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = [tmp_path / name for name in ("a.jpg", "b.PNG", "deep/c.tif")]
    assert find_photos([str(tmp_path)], tmp_path / "out") == folder
    assert find_photos([str(tmp_path / "b.PNG"), str(tmp_path)], tmp_path / "out") == [folder[1], folder[0], folder[2]]
    assert find_photos([f"{tmp_path}/*.jpg"], tmp_path / "out") == [folder[0]]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    for place, message in (("texts", "found no photo"), ("absent.jpg", "not found"), ("*.gif", "found no photo")):
        with pytest.raises(UserError, match=message):
            find_photos([str(tmp_path / place)], tmp_path / "out")


@pytest.mark.parametrize(
    ("query", "negatives", "message"),
    [
        (" ", "dictionary", "query: found an empty text"),
        ([], "dictionary", "query: found an empty text"),
        (["boat", "dog", "boat"], "none", "query: found 'boat' more than once, expected distinct texts"),
        (["boat", "Boat "], "none", "query: found 'boat' more than once"),
        ("boat", ["sea", "boat"], "negatives: found the query 'boat'"),
        ("boat", ["sea", " Boat"], "negatives: found the query ' Boat'"),
        ("boat", ["sea", ""], "negatives: found an empty text"),
        ("boat", ["sea", 5], "negatives: found an empty text"),
        (5, "none", "query: found an empty text"),
        ([None], "none", "query: found an empty text"),
    ],
)
def test_a_wrong_question_is_one_line(query: Any, negatives: Any, message: str, segmenter: ConceptSegmenter) -> None:
    with pytest.raises(UserError, match=message):
        segmenter(scene(1)[0].image, query, negatives)


def test_a_wrong_segmenter_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for options, message in (
        ({"segmenter": "mask"}, "segmenter: found 'mask', expected one of maskclip"),
        ({"original": True}, "maskclip has no background handling of its own"),
        ({"model": "ViT-B-17"}, "found 'ViT-B-17', expected a model that open_clip lists"),
        ({"segmenter": "tcl"}, "segmenter tcl: checkpoint is missing"),
        ({"options": {"scale": 3}}, "option 'scale' is unknown"),
        ({"device": "cuda:77"}, "device: found 'cuda:77', expected auto, cpu, or a GPU"),
        ({"device": "abacus"}, "device: found 'abacus', expected auto, cpu, or a GPU"),
        ({"dictionary": tmp_path}, "expected the folder of a dictionary"),
    ):
        with pytest.raises(UserError, match=message):
            ConceptSegmenter(**options)  # type: ignore[arg-type]
    other = ConceptSegmenter(release_dictionary(tmp_path / "other"))
    assert "note: made with the encoder" in capsys.readouterr().err
    assert other(scene(1)[0].image, "boat").texts[:2] == ("boat", "background")


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


def test_a_picture_that_claims_to_be_gigantic_is_one_line(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    (tmp_path / "gigantic.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pytest.raises(UserError, match=r"gigantic\.png: cannot be decoded"):
        as_pixels(tmp_path / "gigantic.png")


def test_the_embedded_dictionary_is_that_of_the_toy_clip(segmenter: ConceptSegmenter) -> None:
    assert segmenter.dictionary.manifest.encoder.weights_sha256 == segmenter._encoder.weights_sha256
    [found], [stored] = (
        text_embeddings(["boat"], segmenter._encoder, "maskclip"),
        segmenter.dictionary._vectors_of(["boat"]),
    )
    assert np.allclose(found, stored, atol=1e-6)


@pytest.mark.parametrize("negatives", ["none", "background", "dictionary"])
def test_the_pictures_of_the_first_page(negatives: str, segmenter: ConceptSegmenter) -> None:
    folder = ROOT / "docs" / "images" / "segment"
    found = segmenter(folder / "street.png", "bus", negatives).overlay()
    assert (found == np.asarray(Image.open(folder / f"{negatives}.png"))).all(axis=2).mean() > 0.999


def test_the_recipe_for_ones_own_segmenter(segmenter: ConceptSegmenter) -> None:
    """The code of docs/segmenting.md, with this project's scores as the other segmenter's."""
    page = (ROOT / "docs" / "segmenting.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    [code] = [block for block in blocks if "scores_of" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    image = scene(1)[0].image
    mask, shares = names["segment"](
        image, "boat", segmenter.dictionary, lambda image, texts: segmenter(image, texts[0], texts[1:]).scores
    )
    found = segmenter(image, "boat", segmenter.dictionary.lookup(["boat"])[0].contrastive_concepts)
    assert (mask == found.mask).mean() > 0.999
    assert sum(shares.values()) + mask.mean() == pytest.approx(1)


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


def test_pictures_of_other_depths() -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (5, 8), np.uint16)
    assert np.array_equal(as_pixels(deep.astype(">u2")), as_pixels(deep))
    for mode in ("I", "F"):
        with pytest.raises(UserError, match=f"found the mode {mode}"):
            as_pixels(Image.new(mode, (4, 4)))
    with pytest.raises(UserError, match="found no array"):
        as_pixels([[1, 2], [3]])
