"""Settings of the toy world: how its CLIP is trained."""

from pydantic import Field

from contrastive_concepts.config.base import Settings


class ToyTraining(Settings):
    """Training of the toy CLIP. Under about 2,000 steps the order of the paper's table reverses."""

    seed: int = Field(0, ge=0, description="Seed of the training images and captions, the weights and the batches.")
    images: int = Field(40_000, ge=128, description="Rendered training images, kept in memory (12 kB each).")
    captions: int = Field(3, ge=1, description="Captions per image.")
    steps: int = Field(5_000, ge=1, description="Optimiser steps.")
    batch_size: int = Field(128, ge=2, description="Pairs per step.")
    learning_rate: float = Field(2e-3, gt=0, description="AdamW's peak learning rate; cosine decay to zero.")
    warmup_steps: int = Field(200, ge=1, description="Steps of linear warm-up.")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's weight decay, on matrices only.")
    templated: float = Field(0.15, ge=0, le=1, description="Share of captions put into one of the 80 ImageNet prompts.")
    unknown: float = Field(0.02, ge=0, le=1, description="Share of words replaced by the unknown word.")
    threads: int = Field(1, ge=1, description="CPU threads; results are repeatable for an equal number.")
    log_every: int = Field(250, ge=1, description="Steps between log rows and checkpoints.")
