"""Zero-shot detectors of transformers: the real architectures with random weights, tokenizers that know a few words."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessor,
    OwlViTProcessor,
    PreTrainedTokenizerFast,
    SwinConfig,
)

SIDE = 128
"""Images are resized to this many pixels."""


def owl_vit(seed: int = 0) -> tuple[OwlViTForObjectDetection, OwlViTProcessor]:
    """OWL-ViT with 16 boxes for an image. Its tokens are letters."""
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    # OWL-ViT pads with "!", number 0, and pools at the largest number, the end's.
    vocabulary = {token: number for number, token in enumerate(["!", *letters, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = CLIPTokenizer(vocabulary, [], pad_token="!", model_max_length=32)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "vocab_size": len(vocabulary),
    }
    config = OwlViTConfig(
        text_config={**tower, **marks, "max_position_embeddings": 32},
        vision_config={**tower, "image_size": SIDE, "patch_size": 32},
        projection_dim=32,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = OwlViTProcessor(OwlViTImageProcessor(size=size, do_center_crop=False), tokenizer)
    torch.manual_seed(seed)
    model = OwlViTForObjectDetection(config).eval()
    with torch.no_grad():
        # The weights of a new model are so small that all boxes are alike.
        for parameter in model.box_head.parameters():
            parameter.normal_(std=0.2)
        model.class_head.logit_scale.weight.normal_(std=0.5)
    return model, processor


def grounding_dino(words: list[str], seed: int = 0) -> tuple[GroundingDinoForObjectDetection, GroundingDinoProcessor]:
    """Grounding DINO with 12 boxes for an image and a caption of up to 48 tokens. Its tokens are the words."""
    # The numbers of BERT's own marks are fixed in the model's code.
    vocabulary = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    vocabulary |= {word: 2000 + number for number, word in enumerate(words)}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 101), ("[SEP]", 102)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    )
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=SIDE, embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=2, out_indices=[2, 3, 4]
        ),
        text_config=BertConfig(
            vocab_size=3000, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
        ),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=12,
        max_text_len=48,
    )  # fmt: skip
    size = {"height": SIDE, "width": SIDE}
    processor = GroundingDinoProcessor(GroundingDinoImageProcessor(size=size), tokenizer)
    torch.manual_seed(seed)
    return GroundingDinoForObjectDetection(config).eval(), processor


def save_owl_vit(folder: Path, seed: int = 0) -> Path:
    """A folder as it would come from a hub."""
    model, processor = owl_vit(seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_grounding_dino(folder: Path, words: list[str], seed: int = 0) -> Path:
    """A folder as it would come from a hub."""
    model, processor = grounding_dino(words, seed)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
