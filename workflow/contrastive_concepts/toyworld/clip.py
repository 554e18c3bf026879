"""The toy CLIP's configuration and tokenizer. Its architecture is open_clip's."""

import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contrastive_concepts.resources import resource
from contrastive_concepts.toyworld.captions import FUNCTION_WORDS
from contrastive_concepts.toyworld.grammar import ABSTRACT, ADJECTIVES, SCENES, UNINFORMATIVE, WORDS

NAME = "toyworld-clip"
CONTEXT = 16
PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[START]", "[END]"
CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"

CLIP_FOLDER = resource("toyworld/clip")
"""Folder of the frozen checkpoint."""


def vocabulary() -> list[str]:
    """Token strings in the order of their ids: padding, unknown, start, words, end.

    The end token has the highest id, because CLIP's text tower pools where the id is largest.
    """
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    said = (*WORDS, *(word for scene in SCENES.values() for word in scene.words))
    prompts = (word for template in OPENAI_IMAGENET_TEMPLATES for word in _words(template("")))
    words = {*said, *prompts, *ABSTRACT, *ADJECTIVES, *UNINFORMATIVE, *FUNCTION_WORDS, "background", ".", ","}
    return [PAD, UNKNOWN, START, *sorted(words), END]


def model_config(tokenizer: str) -> dict[str, Any]:
    """open_clip's model configuration: 64-pixel images, patches of 8 pixels, width 128, 2 + 2 layers.

    The image vector is the average of the patches. With a class token, the loss would not reach the residual of a patch
    in the last block. In a deep CLIP that residual is small; with two layers it hides the features that MaskCLIP reads
    (docs/toyworld.md). tokenizer: folder of the tokenizer's files.
    """
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 64, "patch_size": 8, "width": 128, "head_width": 64, "layers": 2,
            "patch_dropout": 0.5, "pool_type": "avg",
        },
        "text_cfg": {
            "context_length": CONTEXT, "vocab_size": len(vocabulary()), "width": 128, "heads": 2, "layers": 2,
            "hf_tokenizer_name": tokenizer,
        },
    }  # fmt: skip


def write_architecture(folder: Path) -> None:
    """Write the files of a `local-dir:FOLDER` except the weights: open_clip's configuration, the tokenizer's files."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"size": [64, 64], "mean": list(OPENAI_DATASET_MEAN), "std": list(OPENAI_DATASET_STD)}
    config = {"model_cfg": model_config("."), "preprocess_cfg": preprocess}
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    ids = {token: index for index, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=PAD, unk_token=UNKNOWN, bos_token=START, eos_token=END
    ).save_pretrained(folder)


def register(folder: Path = CLIP_FOLDER) -> None:
    """Register NAME with open_clip, so that `create_model` and `get_tokenizer` find it from any working directory."""
    import open_clip

    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))["model_cfg"]
    config["text_cfg"]["hf_tokenizer_name"] = str(folder.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / f"{NAME}.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        open_clip.add_model_config(file)


def _words(text: str) -> Iterable[str]:
    return re.findall(r"\w+|[^\w\s]+", text.lower())
