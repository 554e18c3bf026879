"""Trains the toy CLIP from scratch: CLIP's symmetric contrastive loss on rendered images and their captions."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contrastive_concepts.config.toyworld import ToyTraining
from contrastive_concepts.toyworld.captions import caption_image
from contrastive_concepts.toyworld.clip import NAME, UNKNOWN, WEIGHTS_FILE, register, write_architecture
from contrastive_concepts.toyworld.render import draw_image

if TYPE_CHECKING:
    import torch
    from open_clip.model import CLIP
    from open_clip.tokenizer import HFTokenizer

LOG_FILE, CHECKPOINT_FILE = "training.csv", "checkpoint.pt"
HELD_OUT_SEED, HELD_OUT = 10**9, 512
"""Seed and number of the images that are not used for training."""


def train(settings: ToyTraining, folder: Path) -> None:
    """Train and write the checkpoint folder: configuration, tokenizer, fp16 weights, log (step, loss, retrieval).

    Resumes from the folder's last checkpoint. The result is the same as without an interruption.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(settings.threads)
    write_architecture(folder)
    register(folder)
    torch.manual_seed(settings.seed)
    model, tokenizer = open_clip.create_model(NAME), open_clip.get_tokenizer(NAME)
    optimizer = _optimizer(model, settings)
    first, rows = _resume(folder, settings, model, optimizer)

    held_out = render_images(HELD_OUT_SEED, HELD_OUT), tokenizer(caption_texts(HELD_OUT_SEED, HELD_OUT, 0))
    images = render_images(settings.seed, settings.images)
    tokens = np.stack([_tokens(settings, tokenizer, which) for which in range(settings.captions)])
    losses = []
    for step in range(first, settings.steps):
        batch, which = _batch(settings, step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        loss = contrastive_loss(model, images[batch], torch.from_numpy(tokens[which, batch]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.item())
        done = step + 1
        if done % settings.log_every == 0 or done == settings.steps:
            rows.append((done, float(np.mean(losses)), retrieval(model, *held_out)))
            losses.clear()
            print("toy CLIP: step {}, loss {:.4f}, held-out retrieval {:.3f}".format(*rows[-1]), flush=True)
            _write_log(folder, rows)
            _checkpoint(folder, settings, model, optimizer, rows)
    half = {name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(half, folder / WEIGHTS_FILE)
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)


def contrastive_loss(model: "CLIP", images: "torch.Tensor", tokens: "torch.Tensor") -> "torch.Tensor":
    """CLIP's loss on uint8 images [n, 3, 64, 64] and tokens [n, 16]."""
    import torch
    from torch.nn.functional import cross_entropy

    model.train()
    image, text, scale = model(normalise(images), tokens)
    logits = scale * image @ text.T
    target = torch.arange(len(logits))
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def retrieval(model: "CLIP", images: "torch.Tensor", tokens: "torch.Tensor") -> float:
    """Share of images whose own caption is among the five nearest of the given captions."""
    import torch

    model.eval()
    with torch.inference_mode():
        image, text, _ = model(normalise(images), tokens)
    own = (image * text).sum(1, keepdim=True)
    return float(((image @ text.T > own + 1e-6).sum(1) < 5).float().mean())


def normalise(images: "torch.Tensor") -> "torch.Tensor":
    """uint8 RGB [n, 3, h, w] -> float32, normalised with CLIP's mean and standard deviation."""
    import torch
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean = torch.tensor(OPENAI_DATASET_MEAN).view(1, 3, 1, 1) * 255
    deviation = torch.tensor(OPENAI_DATASET_STD).view(1, 3, 1, 1) * 255
    return (images.float() - mean) / deviation


def render_images(seed: int, count: int) -> "torch.Tensor":
    """Images 0 .. count-1: uint8 [count, 3, 64, 64]."""
    import torch

    return torch.from_numpy(np.stack([draw_image(seed, image)[0].transpose(2, 0, 1) for image in range(count)]))


def caption_texts(seed: int, count: int, which: int) -> list[str]:
    """Caption number `which` of images 0 .. count-1."""
    return [caption_image(seed, image, which) for image in range(count)]


def learning_rate(settings: ToyTraining, step: int) -> float:
    """Linear warm-up, then cosine decay to zero."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _tokens(
    settings: ToyTraining, tokenizer: "HFTokenizer", which: int
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Tokens of one caption per image. Some captions are put into ImageNet prompts and some words are replaced by the
    unknown token, so that the model learns both."""
    from open_clip import OPENAI_IMAGENET_TEMPLATES

    draws = np.random.Generator(np.random.Philox(key=[settings.seed, 2**40 + which]))
    texts = caption_texts(settings.seed, settings.images, which)
    for image in np.flatnonzero(draws.random(len(texts)) < settings.templated):
        texts[image] = OPENAI_IMAGENET_TEMPLATES[draws.integers(len(OPENAI_IMAGENET_TEMPLATES))](texts[image])
    tokens = np.asarray(tokenizer(texts).numpy())
    vocabulary = tokenizer.tokenizer
    words = ~np.isin(tokens, [vocabulary.pad_token_id, vocabulary.bos_token_id, vocabulary.eos_token_id])
    tokens[words & (draws.random(tokens.shape) < settings.unknown)] = vocabulary.convert_tokens_to_ids(UNKNOWN)
    return tokens


def _batch(settings: ToyTraining, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and caption numbers of a step. Each epoch uses every image once, in an order determined by the step."""
    per_epoch = settings.images // settings.batch_size
    epoch, position = divmod(step, per_epoch)
    draws = np.random.Generator(np.random.Philox(key=[settings.seed, 2**41 + epoch]))
    order, captions = draws.permutation(settings.images), draws.integers(settings.captions, size=settings.images)
    batch = slice(position * settings.batch_size, (position + 1) * settings.batch_size)
    return order[batch], captions[batch]


def _optimizer(model: "CLIP", settings: ToyTraining) -> "torch.optim.AdamW":
    import torch

    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)


def _checkpoint(
    folder: Path,
    settings: ToyTraining,
    model: "CLIP",
    optimizer: "torch.optim.Optimizer",
    rows: list[tuple[int, float, float]],
) -> None:
    import torch

    state = {
        "rows": rows, "settings": settings.model_dump_json(), "model": model.state_dict(),
        "optimizer": optimizer.state_dict(), "random": torch.get_rng_state(),
    }  # fmt: skip
    torch.save(state, folder / f"{CHECKPOINT_FILE}.part")
    (folder / f"{CHECKPOINT_FILE}.part").replace(folder / CHECKPOINT_FILE)


def _resume(
    folder: Path, settings: ToyTraining, model: "CLIP", optimizer: "torch.optim.Optimizer"
) -> tuple[int, list[tuple[int, float, float]]]:
    """The step to continue from and the log so far; 0 and an empty log without a checkpoint of the same settings."""
    import torch

    if not (folder / CHECKPOINT_FILE).is_file():
        return 0, []
    state = torch.load(folder / CHECKPOINT_FILE, weights_only=True)
    if state["settings"] != settings.model_dump_json():
        return 0, []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return state["rows"][-1][0], state["rows"]


def _write_log(folder: Path, rows: list[tuple[int, float, float]]) -> None:
    with (folder / LOG_FILE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("step", "loss", "retrieval_top5_of_512"))
        writer.writerows((step, f"{loss:.5f}", f"{accuracy:.4f}") for step, loss, accuracy in rows)
