"""The toy CLIP: open_clip loads it, its tokenizer ends where the text tower pools, and it has learnt."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("open_clip")

import torch
from open_clip import OPENAI_IMAGENET_TEMPLATES, create_model, get_tokenizer

from contrastive_concepts.config.toyworld import ToyTraining
from contrastive_concepts.encoders.clip import load_clip
from contrastive_concepts.errors import UserError
from contrastive_concepts.toyworld import train as training
from contrastive_concepts.toyworld.clip import (
    CLIP_FOLDER,
    CONTEXT,
    NAME,
    UNKNOWN,
    WEIGHTS_FILE,
    register,
    vocabulary,
    write_architecture,
)
from contrastive_concepts.toyworld.grammar import WORDS

TINY = ToyTraining(images=128, captions=2, steps=4, batch_size=16, warmup_steps=1, log_every=2)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("clip")
    write_architecture(folder)
    register(folder)
    torch.manual_seed(0)
    return create_model(NAME).eval(), get_tokenizer(NAME)


@pytest.fixture(scope="module")
def frozen():
    if not (CLIP_FOLDER / WEIGHTS_FILE).is_file():
        pytest.skip("the frozen toy CLIP (resources/toyworld/clip) is not there")
    return load_clip("test", "toyworld-clip", None, "cpu")


def held_out(tokenizer, seed: int = 424242, count: int = 256):
    return training.render_images(seed, count), tokenizer(training.caption_texts(seed, count, 0))


def test_the_end_token_is_where_the_text_tower_pools(untrained) -> None:
    model, tokenizer = untrained
    texts = ["boat", "a photo of a boat near the water", "boat " * 40]
    tokens = tokenizer(texts)
    assert tokens.shape == (3, CONTEXT)
    end = tokenizer.tokenizer.eos_token_id
    assert end == len(vocabulary()) - 1
    assert torch.equal(tokens.argmax(1), (tokens == end).int().argmax(1))
    assert (tokens == end).sum(1).tolist() == [1, 1, 1]
    changed = tokens.clone()
    changed[0, 3:] = tokenizer.tokenizer.unk_token_id  # after the end: causal attention must not see it
    with torch.inference_mode():
        assert torch.allclose(model.encode_text(tokens)[0], model.encode_text(changed)[0], atol=1e-6)


def test_every_prompt_is_read_whole(untrained) -> None:
    _, tokenizer = untrained
    unknown = tokenizer.tokenizer.convert_tokens_to_ids(UNKNOWN)
    for template in OPENAI_IMAGENET_TEMPLATES:
        one, two = tokenizer([template("boat"), template("car")])
        assert unknown not in one[one != tokenizer.tokenizer.convert_tokens_to_ids("boat")], template("boat")
        assert one[-1] == tokenizer.tokenizer.pad_token_id, "cut off"
        if "{}s" not in template("{}"):
            assert (one != two).sum() == 1
    assert {"itap", "tattoo", "origami"} <= set(vocabulary())


def test_words_and_case(untrained) -> None:
    _, tokenizer = untrained
    unknown = tokenizer.tokenizer.convert_tokens_to_ids(UNKNOWN)
    assert not (tokenizer(sorted(WORDS)) == unknown).any()
    assert (tokenizer(["xylophone"]) == unknown).sum() == 1
    assert torch.equal(tokenizer(["A Boat."]), tokenizer(["a boat ."]))
    assert not (tokenizer(training.caption_texts(3, 400, 0)) == unknown).any()


def test_training_writes_what_open_clip_loads(tmp_path: Path) -> None:
    training.train(TINY, tmp_path)
    model, tokenizer = load_clip("test", f"local-dir:{tmp_path}", None, "cpu")
    assert not model.training
    again = create_model(f"local-dir:{tmp_path}")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert torch.equal(get_tokenizer(f"local-dir:{tmp_path}")(["boat"]), tokenizer(["boat"]))
    assert next(model.parameters()).dtype == torch.float32
    assert model.encode_text(tokenizer(["boat"])).shape == (1, 128)
    log = (tmp_path / training.LOG_FILE).read_text().splitlines()
    assert [row.split(",")[0] for row in log] == ["step", "2", "4"]


def test_an_interrupted_training_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training.train(TINY, tmp_path / "whole")
    steps = iter(range(3))
    loss = training.contrastive_loss

    def interrupted(*arguments):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return loss(*arguments)

    monkeypatch.setattr(training, "contrastive_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.train(TINY, tmp_path / "cut")
    monkeypatch.undo()
    training.train(TINY, tmp_path / "cut")
    for file in (WEIGHTS_FILE, training.LOG_FILE):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    settings = ToyTraining()
    rates = [training.learning_rate(settings, step) for step in range(settings.steps)]
    assert max(rates) == settings.learning_rate
    assert int(np.argmax(rates)) in (settings.warmup_steps - 1, settings.warmup_steps)
    assert rates[-1] < 1e-6
    assert min(rates) > 0


def test_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be loaded"):
        load_clip("test", f"local-dir:{tmp_path}", None, "cpu")


def test_the_frozen_checkpoint_has_learnt(frozen, untrained) -> None:
    model, tokenizer = frozen
    images, tokens = held_out(tokenizer)
    learnt, before = training.retrieval(model, images, tokens), training.retrieval(untrained[0], images, tokens)
    assert before < 0.08, "5 of 256 by chance"
    assert learnt > 0.4


def test_the_frozen_checkpoint_was_trained_to_the_end(frozen) -> None:
    rows = (CLIP_FOLDER / training.LOG_FILE).read_text().splitlines()
    assert int(rows[-1].split(",")[0]) >= 5000


@pytest.mark.slow
def test_a_short_training_beats_none(tmp_path: Path, untrained) -> None:
    training.train(ToyTraining(seed=77, images=2000, captions=2, steps=150, warmup_steps=50, log_every=150), tmp_path)
    model, tokenizer = load_clip("test", f"local-dir:{tmp_path}", None, "cpu")
    images, tokens = held_out(tokenizer)
    assert training.retrieval(model, images, tokens) > 3 * max(training.retrieval(untrained[0], images, tokens), 0.02)
