"""Settings of the evaluation protocol (paper 6.1)."""

from pydantic import Field

from contrastive_concepts.config.base import Settings


class Protocol(Settings):
    """How an image is resized and cut; the defaults are the paper's."""

    short_side: int = Field(448, ge=1, description="Pixels of the shorter side after resizing.")
    long_side: int = Field(
        2048, ge=1, description="Most pixels of the longer side after resizing; wins over short_side."
    )
    window: int = Field(448, ge=1, description="Side of a sliding window, in pixels.")
    stride: int = Field(224, ge=1, description="Step between windows, in pixels; at most the window.")
    batch: int = Field(8, ge=1, description="Windows that go through the encoder together.")
