"""Compares the batched text embedding (distinct prompts, no padding) with embedding one concept at a time."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contrastive_concepts.similarity.ensemble import embed, load_templates


@dataclass(frozen=True)
class Embedding:
    """Seconds for the same concepts, and the largest absolute difference of the vectors' components."""

    concepts: int
    together: float
    one_by_one: float
    largest_difference: float
    device: str


def measure_embedding(concepts: Sequence[str], model: str = "ViT-B-16") -> Embedding:
    """Encode the 80 ImageNet prompts with an open_clip text tower of the architecture `model` with random weights.

    Random weights need no file, and the time is the same.
    """
    import open_clip
    import torch

    from contrastive_concepts.encoders.text_tower import encode_tokens

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    tower = open_clip.create_model(model, pretrained=None).eval().to(device)
    tokenizer = open_clip.get_tokenizer(model)

    class Encoder:
        """As `OpenClipText`, for a tower that is not loaded from a file."""

        name, weights_sha256 = f"open_clip:{model}:random", "0" * 64
        dimension = int(tower.text_projection.shape[-1])

        def encode(self, prompts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
            with torch.inference_mode():
                batches = [
                    encode_tokens(tower, tokenizer(list(prompts[first : first + 256])).to(device)).float().cpu().numpy()
                    for first in range(0, len(prompts), 256)
                ]
            return np.concatenate(batches)

    def one(concept: str) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        with torch.inference_mode():
            prompts = [template(concept) for template in load_templates("imagenet")]
            vectors = torch.nn.functional.normalize(tower.encode_text(tokenizer(prompts).to(device)), dim=-1)
            return np.asarray(torch.nn.functional.normalize(vectors.mean(dim=0), dim=0).float().cpu().numpy())

    encoder = Encoder()
    encoder.encode(["warm up"])
    start = time.perf_counter()
    together = embed(concepts, encoder, "imagenet")
    middle = time.perf_counter()
    alone = np.stack([one(concept) for concept in concepts])
    end = time.perf_counter()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return Embedding(len(concepts), middle - start, end - middle, float(np.abs(together - alone).max()), name)
