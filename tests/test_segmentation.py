"""A user's photos segmented by words: equal to what the benchmark scores, in Python and in a shell."""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from contrastive_concepts import ConceptSegmenter
from contrastive_concepts.config.evaluation import ImageModelSettings, Protocol
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation import protocol
from contrastive_concepts.evaluation.classic import evaluate_classic
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet, background_only, from_mapping
from contrastive_concepts.evaluation.datasets import open_dataset
from contrastive_concepts.evaluation.scoring import evaluate_single
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
    """Photos of several windows and every size, on the toy CLIP and on random weights.

    Another number of texts at once is another matrix product: on some processors a tied pixel falls to another text.
    """
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
                both, either = (mask & truth).sum(), ((mask | truth) & (sample.labels != 255)).sum()
                assert both == pytest.approx(scores.intersection[number, label], abs=2)
                assert either == pytest.approx(scores.union[number, label], abs=2)


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


def test_pictures_of_other_depths() -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (5, 8), np.uint16)
    assert np.array_equal(as_pixels(deep.astype(">u2")), as_pixels(deep))
    for mode in ("I", "F"):
        with pytest.raises(UserError, match=f"found the mode {mode}"):
            as_pixels(Image.new(mode, (4, 4)))
    with pytest.raises(UserError, match="found no array"):
        as_pixels([[1, 2], [3]])
