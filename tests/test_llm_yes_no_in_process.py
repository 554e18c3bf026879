"""The paper's prompt in this process, on a tiny Mixtral: yes or no read from the logits, in full and in 4 bit."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MISSING = [name for name in ("torch", "transformers", "tokenizers", "bitsandbytes") if find_spec(name) is None]
if MISSING:
    pytest.skip(f"not installed: {', '.join(MISSING)}", allow_module_level=True)

import torch  # noqa: E402

from contrastive_concepts.config.visibility import TransformersJudge  # noqa: E402
from contrastive_concepts.errors import UserError  # noqa: E402
from contrastive_concepts.visibility.answers import Answer  # noqa: E402
from contrastive_concepts.visibility.in_process import InProcessJudge  # noqa: E402
from contrastive_concepts.visibility.prompts import load_prompt  # noqa: E402
from contrastive_concepts.visibility.yes_no import NEITHER, names_of  # noqa: E402

from .tiny_mixtral import write_weights, write_words_tokenizer  # noqa: E402

WORDS = ["boat", "water", "freedom", "fire hydrant", "teddy bear", "logic"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "mixtral"
    texts = [load_prompt("prompts/visible.txt").text, *WORDS]
    size = write_words_tokenizer(folder.with_name("words"), texts)
    write_weights(folder, vocabulary=size)
    write_words_tokenizer(folder, texts)
    return folder


@pytest.fixture
def judge(weights: Path) -> Callable[..., InProcessJudge]:
    def made(**settings: Any) -> InProcessJudge:
        values = {"judge": "transformers", "model": str(weights), "form": "yes_no"}
        return InProcessJudge(TransformersJudge.model_validate(values | settings))

    return made


def asked(judge: InProcessJudge, words: list[str] = WORDS) -> dict[str, Answer]:
    with judge:
        return {answer.word: answer for batch in judge.ask(words) for answer in batch}


def shares(model: Any, tokenizer: Any) -> dict[str, float]:
    """P(yes) / (P(yes) + P(no)) with transformers alone, a word at a time, the prompt written out; "No" is in it."""
    found = {}
    yes, *no = tokenizer.convert_tokens_to_ids(["yes", "no", "No"])
    for word in WORDS:
        ids = tokenizer(
            f"<s> [INST] {load_prompt('prompts/visible.txt').fill(word)} [/INST]", return_tensors="pt"
        ).input_ids
        with torch.no_grad():
            found[word] = float(torch.softmax(model(ids).logits[0, -1, [yes, *no]].float(), 0)[0])
    return found


def test_the_share_of_yes_is_that_of_the_models_logits(judge: Callable[..., InProcessJudge]) -> None:
    used = judge()
    found = asked(used)
    with used:
        expected = shares(*used._loaded)
    assert {word: answer.p for word, answer in found.items()} == pytest.approx(expected, abs=1e-5)
    assert all(
        answer.parsed and answer.answer == ("yes" if (answer.p or 0) >= 0.5 else "no") for answer in found.values()
    )
    assert {answer.remark for answer in found.values()} <= {"", NEITHER}
    assert len({round(answer.p or 0, 4) for answer in found.values()}) == len(WORDS)


def test_a_batch_changes_no_answer(judge: Callable[..., InProcessJudge]) -> None:
    together = asked(judge(batch_size=64), WORDS * 5)
    alone = asked(judge(batch_size=1))
    assert {word: answer.p for word, answer in together.items()} == pytest.approx(
        {word: answer.p for word, answer in alone.items()}, abs=1e-5
    )


def test_four_bits_are_those_of_every_weight_rounded_by_itself(
    judge: Callable[..., InProcessJudge], weights: Path
) -> None:
    """Against the whole model in fp32 with each linear layer and each expert rounded to NF4 and back.

    bitsandbytes multiplies by 4-bit layers on a processor in bfloat16.
    """
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rounded = judge(quantization="nf4")
    found = asked(rounded)
    plain = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32).eval()
    before = shares(plain, AutoTokenizer.from_pretrained(weights))
    names = []
    with torch.no_grad():
        for name, value in plain.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "v_proj", "o_proj", "experts")):
                names.append(name)
                value.copy_(dequantize_4bit(*quantize_4bit(value.data.contiguous(), quant_type="nf4")))
    expected = shares(plain, AutoTokenizer.from_pretrained(weights))
    assert len(names) == 2 * (4 + 2)
    assert {word: answer.p for word, answer in found.items()} == pytest.approx(expected, abs=0.01)
    assert max(abs(expected[word] - before[word]) for word in WORDS) > 0.03
    with rounded:
        model, _ = rounded._loaded
        layers = model.model.layers
        sizes = [value.numel() * value.element_size() for value in layers.parameters() if value.dtype == torch.uint8]
        assert sum(sizes) == sum(plain.get_parameter(name).numel() for name in names) / 2


def test_what_was_loaded_is_part_of_the_answer_key(judge: Callable[..., InProcessJudge]) -> None:
    questions = [judge(**settings).answer_key for settings in ({}, {"dtype": "bfloat16"}, {"quantization": "nf4"})]
    assert [question.weights for question in questions] == ["", "bfloat16", "nf4"]
    assert len({question.parameters for question in questions}) == 3
    assert judge(revision="abc").answer_key.revision == "abc"
    likelihood = TransformersJudge(judge="transformers")
    assert InProcessJudge(likelihood).answer_key.parameters == '{"score": "likelihood"}'


def test_a_vocabulary_without_yes_or_no_is_refused() -> None:
    assert names_of({"▁yes": 1, "Yes": 2, "ĠNO": 3, "no.": 4, "nobody": 5, "yes no": 6}) == {
        "yes": [1, 2],
        "no": [3, 4],
    }
    with pytest.raises(UserError, match="no token for yes or no; use form: likelihood"):
        names_of({"yes": 1, "maybe": 2})


def test_a_model_that_is_not_there_is_a_line_with_what_helps(
    judge: Callable[..., InProcessJudge], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"visibility.model: '.*none' cannot be loaded \(.+\); ") as caught:
        asked(judge(model=str(tmp_path / "none")))
    assert "\n" not in str(caught.value)
