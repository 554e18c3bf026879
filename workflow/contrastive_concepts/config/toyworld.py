"""Settings of the toy world: how its CLIP is trained."""

from pydantic import Field

from contrastive_concepts.config.base import Settings


class ToyTraining(Settings):
    """Training of the toy CLIP. Below about 2,000 steps the order in the paper's table is reversed."""

    seed: int = Field(0, ge=0, description="Seed of training images, captions, weights and batches.")
    images: int = Field(
        40_000, ge=128, description="Number of rendered training images. They stay in memory (12 kB each)."
    )
    captions: int = Field(3, ge=1, description="Number of captions per image.")
    steps: int = Field(5_000, ge=1, description="Number of optimiser steps.")
    batch_size: int = Field(128, ge=2, description="Number of image-caption pairs per step.")
    learning_rate: float = Field(
        2e-3, gt=0, description="AdamW's peak learning rate. It decays to zero along a cosine."
    )
    warmup_steps: int = Field(200, ge=1, description="Number of steps of linear warm-up.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's weight decay, applied to matrices only.")
    templated: float = Field(0.15, ge=0, le=1, description="Share of captions put into one of the 80 ImageNet prompts.")
    unknown: float = Field(0.02, ge=0, le=1, description="Share of words replaced by the unknown word.")
    threads: int = Field(1, ge=1, description="Number of CPU threads. The same number gives the same results.")
    log_every: int = Field(250, ge=1, description="Number of steps between log rows and checkpoints.")
