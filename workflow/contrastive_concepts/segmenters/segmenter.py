"""Base class of the segmenters: an image is encoded once, then any number of sets of texts can be scored."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.config.methods import Method
from contrastive_concepts.errors import UserError
from contrastive_concepts.segmenters.tower import Tower

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
LEAST_PROBABILITY = 1e-30
"""Smaller probabilities are set to 0: they win at no pixel, and a CPU resizes subnormal numbers ten times as slowly."""


@dataclass(frozen=True)
class Features:
    """Features of B images: `dense` [B, D, h, w], to be compared with texts, and `extra`, further features of a method.

    `single`: the input was one image [H, W, 3], so its scores have no dimension B. `size`: H, W in pixels."""

    dense: Tensor
    size: tuple[int, int]
    single: bool
    extra: dict[str, Tensor] = field(default_factory=dict)


class Segmenter(ABC):
    """Segments an image by comparing CLIP's patch features with texts (paper 4.1).

    `similarities` computes one map for each text, independently of the other texts. `combine` does the part that
    depends on the set of texts. A text in several sets is therefore compared with an image only once."""

    name: str = "unnamed"
    method: Method = Method("unnamed")
    """The entry of the method in `config.methods`; `build` sets it."""
    scored_extra: tuple[str, ...] = ()
    """Names of the extra features that are needed for scores."""

    combines_many: ClassVar[bool] = False
    """Whether `_combine`, without background handling, uses of the features only sizes. On a GPU it then receives the
    similarities of several sets at once, [sets * B, C, h, w]."""

    precision: torch.dtype = torch.float32
    """Dtype of the encoder's matrix products; float16 and bfloat16 are for GPUs. The results are always float32."""

    def __init__(self, clip_model: Any) -> None:
        """clip_model: None for a segmenter that only scores encoded features, see `Method.scores_alone`."""
        self._clip_model = clip_model
        if clip_model is not None:
            self.tower  # noqa: B018  raises an error for an unsuitable model here, not at the first image

    @property
    def background_is(self) -> str | None:
        """Own background handling: None; "text" (text 0 must be "background"); "channel" (index 0 is added)."""
        return self.method.background

    @property
    def refines(self) -> bool:
        """Whether `refiner` changes maps. Then `combine` mixes no texts, and `extra` has the images: "pixels"."""
        return False

    @cached_property
    def tower(self) -> Tower:
        return Tower(self._clip_model)

    @torch.inference_mode()
    def encode_image(self, image: Pixels | Tensor) -> Features:
        """Encode uint8 RGB [H, W, 3], or [B, H, W, 3] of one size. Raises UserError for any other array."""
        pixels = torch.as_tensor(image)
        if pixels.dtype != torch.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3 or 0 in pixels.shape:
            found = f"{pixels.dtype} {tuple(pixels.shape)}"
            raise UserError(f"image: found {found}, expected uint8 RGB [H, W, 3] or [B, H, W, 3]")
        batch = pixels.reshape(-1, *pixels.shape[-3:]).to(self.tower.device).permute(0, 3, 1, 2).float()
        reduced = self.precision != torch.float32
        with torch.autocast(self.tower.device.type, self.precision if reduced else None, enabled=reduced):
            dense, extra = self._encode(batch)
        extra = {name: value.float() for name, value in extra.items()}
        return Features(dense.float(), (int(batch.shape[-2]), int(batch.shape[-1])), pixels.ndim == 3, extra)

    @torch.inference_mode()
    def similarities(self, features: Features, texts: Tensor, boosts: Tensor | None = None) -> Tensor:
        """Texts float32 [T, D] -> [B, T, h, w], each map independent of the other texts.

        boosts: float32 [T], added to the cosines of each text."""
        return boosted(cosine(features.dense, texts.to(features.dense)), boosts)

    @torch.inference_mode()
    def scores(
        self, features: Features, text_embeddings: Tensor | np.ndarray[Any, Any], background: bool = False
    ) -> Tensor:
        """Scores of one set of texts, [C, h, w] ([B, C, h, w] for a batch), to be averaged over windows.

        background: use the method's own background handling (paper 6.1.1), see `background_is`."""
        texts = torch.as_tensor(text_embeddings).to(features.dense)
        if texts.ndim != 2 or texts.shape[1] != self.tower.embed or len(texts) == 0:
            raise UserError(f"texts: found {tuple(texts.shape)}, expected [C, {self.tower.embed}] with C > 0")
        scores = self.combine(features, self.similarities(features, texts), background)
        return scores[0] if features.single else scores

    @torch.inference_mode()
    def combine(self, features: Features, similarities: Tensor, background: bool = False) -> Tensor:
        """Result of `similarities` for one set [B, C, h, w] -> scores of the set [B, C (+ 1), h, w]."""
        if background and self.background_is is None:
            raise UserError(
                f"segmenter {self.name}: it has no background handling of its own, expected background=False"
            )
        return self._combine(features, similarities, background)

    def refiner(self, image: Tensor, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
        """What refines maps, each by itself, after averaging over windows and resizing: [T, H, W] -> same shape.

        image: pixels of the whole resized image as the encoder gets them, float32 [3, h, w]. size: (H, W)."""
        return lambda scores: scores

    def refine_maps(self, scores: Tensor, image: Tensor) -> Tensor:
        """What `refiner` makes of the maps of texts: [T, H, W] -> same shape."""
        return self.refiner(image, (int(scores.shape[-2]), int(scores.shape[-1])))(scores)

    def finish(self, scores: Tensor, background: bool = False, classes: Sequence[int] | None = None) -> Tensor:
        """Last step, after averaging over windows and resizing: [C, H, W] -> [C (+ 1), H, W] for the argmax.

        classes: the class of each text, if several texts can name one."""
        return scores

    def finishes_by_text(self, background: bool = False) -> bool:
        """Whether `finish` leaves the best of some texts the best if the others are left out."""
        return True

    @abstractmethod
    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """float32 RGB [B, 3, H, W] in 0..255 -> dense [B, D, h, w] and the extras."""

    @abstractmethod
    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor: ...


def cosine(dense: Tensor, texts: Tensor) -> Tensor:
    """[B, D, h, w] and [T, D] -> [B, T, h, w]. The texts must be unit vectors."""
    return torch.einsum("bdhw,td->bthw", F.normalize(dense, dim=1), texts)


def probabilities(similarities: Tensor) -> Tensor:
    """softmax(100 cos) over the texts, [B, T, h, w] -> the same shape."""
    return F.threshold(torch.softmax(100 * similarities, dim=1), LEAST_PROBABILITY, 0.0)


def boosted(cosines: Tensor, boosts: Tensor | None) -> Tensor:
    """Add a number for each text: [B, T, h, w] and [T] -> [B, T, h, w]. None adds nothing."""
    return cosines if boosts is None else cosines + boosts.to(cosines).view(-1, 1, 1)
