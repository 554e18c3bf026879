"""A model of Mixtral's architecture, tokeniser and chat template with random weights: two layers, eight experts."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

NAME = "mistralai/Mixtral-8x7B-Instruct-v0.1"
GROUP = 32
"""Weights that share a scale and a zero point in the 4-bit formats."""
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
"""The column that each 4 bits of AWQ's 32-bit words hold, lowest bits first."""
CONFIG: dict[str, Any] = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "vocab_size": 32000,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ ' [INST] ' + "
    "message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)


def write_weights(folder: Path, quantization: str | None = None, seed: int = 0, vocabulary: int = 32000) -> Path:
    """Weights and configuration; the same numbers whatever the `quantization`: None (bfloat16), `awq`, `gptq` (4 bit)."""
    folder.mkdir(parents=True)
    config = CONFIG | {"dtype": "bfloat16", "vocab_size": vocabulary}
    weights = dict(_weights(np.random.default_rng(seed), config))
    kept = torch.bfloat16
    if quantization is not None:
        kept = torch.float16
        config |= {"dtype": "float16", "quantization_config": _description(quantization)}
        weights = {
            name: tensor for key, value in weights.items() for name, tensor in _quantized(quantization, key, value)
        }
    tensors = {name: tensor if tensor.dtype == torch.int32 else tensor.to(kept) for name, tensor in weights.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": 2}))
    return folder


def write_words_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """A tokeniser of whole words, those of `texts`, with Mixtral's template; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text)} | {"yes", "no", "INST"})
    vocabulary = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=TEMPLATE
    )
    wrapped.save_pretrained(folder)
    return len(vocabulary)


def write_mistral_tokenizer(folder: Path, python: Path) -> None:
    """Mixtral's own tokeniser, from the package mistral_common in the environment of vLLM."""
    vocabulary = next(python.parent.parent.glob("lib/python3*/site-packages/mistral_common/data/tokenizer.model.v1"))
    shutil.copy(vocabulary, folder / "tokenizer.model")
    settings = {
        "tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "add_bos_token": True, "add_eos_token": False, "legacy": False, "chat_template": TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    convert = "import sys; from transformers import AutoTokenizer as T; T.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])"
    subprocess.run([python, "-c", convert, folder], check=True, capture_output=True)


def _weights(chance: np.random.Generator, config: dict[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors as Mixtral's checkpoints name them; wide enough apart that words get different answers."""
    size, inner, heads = config["hidden_size"], config["intermediate_size"], config["head_dim"]

    def drawn(*shape: int) -> torch.Tensor:
        return torch.from_numpy(chance.standard_normal(shape, dtype=np.float32)) * (2.0 / shape[-1] ** 0.5)

    yield "model.embed_tokens.weight", drawn(config["vocab_size"], size)
    yield "lm_head.weight", drawn(config["vocab_size"], size)
    yield "model.norm.weight", torch.ones(size)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        yield f"{prefix}.input_layernorm.weight", torch.ones(size)
        yield f"{prefix}.post_attention_layernorm.weight", torch.ones(size)
        for name, number in (("q", "num_attention_heads"), ("k", "num_key_value_heads"), ("v", "num_key_value_heads")):
            yield f"{prefix}.self_attn.{name}_proj.weight", drawn(config[number] * heads, size)
        yield f"{prefix}.self_attn.o_proj.weight", drawn(size, config["num_attention_heads"] * heads)
        yield f"{prefix}.block_sparse_moe.gate.weight", drawn(config["num_local_experts"], size)
        for expert in range(config["num_local_experts"]):
            for name, shape in (("w1", (inner, size)), ("w2", (size, inner)), ("w3", (inner, size))):
                yield f"{prefix}.block_sparse_moe.experts.{expert}.{name}.weight", drawn(*shape)


def _description(quantization: str) -> dict[str, object]:
    if quantization == "awq":
        return {
            "quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm",
            "modules_to_not_convert": ["gate"],
        }  # fmt: skip
    return {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": GROUP,
        "desc_act": False,
        "sym": True,
        "static_groups": False,
    }


def _quantized(quantization: str, key: str, weight: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that stand for one: rounded to the nearest of sixteen steps in each group of inputs."""
    name = key.removesuffix(".weight")
    if not name.endswith(("_proj", ".w1", ".w2", ".w3")):
        yield key, weight
        return
    columns = weight.T.contiguous().float()  # [inputs, outputs]
    groups = columns.reshape(-1, GROUP, columns.shape[1])
    if quantization == "awq":
        low, high = groups.amin(1), groups.amax(1)
        scale = ((high - low) / 15).clamp(min=1e-5)
        zero = (-low / scale).round().clamp(0, 15)
    else:
        scale = (groups.abs().amax(1) / 7).clamp(min=1e-5)
        zero = torch.full_like(scale, 8)
    steps = (groups / scale[:, None]).round() + zero[:, None]
    steps = steps.clamp(0, 15).reshape(columns.shape).to(torch.int64)
    if quantization == "awq":
        yield f"{name}.qweight", _packed(steps, AWQ_ORDER)
        yield f"{name}.qzeros", _packed(zero.to(torch.int64), AWQ_ORDER)
    else:
        yield f"{name}.qweight", _packed(steps.T, range(8)).T.contiguous()
        yield f"{name}.qzeros", _packed(zero.to(torch.int64) - 1, range(8))
        yield f"{name}.g_idx", torch.arange(columns.shape[0], dtype=torch.int32) // GROUP
    yield f"{name}.scales", scale


def _packed(values: torch.Tensor, order: Sequence[int]) -> torch.Tensor:
    """Eight 4-bit values of a row in each 32-bit word."""
    eights = values.reshape(values.shape[0], -1, 8)
    words = torch.stack([eights[:, :, column] << (4 * place) for place, column in enumerate(order)]).sum(0)
    return words.to(torch.int64).where(words < 2**31, words - 2**32).to(torch.int32)
