"""SCLIP, ClearCLIP and NACLIP: patches attend to similar patches in the last block of the tower."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from contrastive_concepts.segmenters.pamr import refiner
from contrastive_concepts.segmenters.segmenter import Features, Segmenter
from contrastive_concepts.segmenters.tower import normalise_pixels, to_map

CLIP_MEAN_255 = (122.771, 116.746, 104.094)
CLIP_STD_255 = (68.501, 66.632, 70.323)
"""CLIP's constants as these methods round them. The exact ones move the features by 1e-5."""
DILATIONS = (8, 16)
"""Of NACLIP's refinement."""


class LastBlock(Segmenter):
    """Scores are cosines at patch resolution. Own background: no text has a probability of `threshold` or more.

    attention: which tokens a token attends to in the last block, see `attended`. architecture: "reduced" leaves out the
    residual connection and the MLP of this block, "vanilla" keeps them. scale: factor of the cosines in the softmax.
    area: with own background, classes with at most this share of the foreground's pixels are removed from an image.
    refine: PAMR on the cosines. std: of NACLIP's Gaussian, in patches. zero_pad: images whose sides are no multiples of
    the patch are padded with zeros on all sides; otherwise the remainder is cut off and the map stretched."""

    combines_many = True

    def __init__(
        self,
        clip_model: Any,
        scale: float,
        threshold: float | None,
        attention: str,
        architecture: str,
        area: float | None = None,
        refine: bool | None = None,
        std: float = 5,
        zero_pad: bool = False,
    ) -> None:
        super().__init__(clip_model)
        self.scale, self.threshold, self.area = scale, threshold or 0.0, area or 0.0
        self.attention, self.architecture, self.std = attention, architecture, std
        self.with_pamr, self.zero_pad = bool(refine), zero_pad
        self.scored_extra = ("pixels",) if refine else ()

    @property
    def refines(self) -> bool:
        return self.with_pamr

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = normalise_pixels(images, CLIP_MEAN_255, CLIP_STD_255)
        top, bottom, left, right = self._padding(pixels.shape[-2:])
        tokens, grid = self.tower.tokens(F.pad(pixels, (left, right, top, bottom)), "scaled")
        for block in self.tower.blocks[:-1]:
            tokens = block(tokens)
        dense = to_map(self.tower.project(self.last_block(tokens, grid)), grid)
        return dense, {"pixels": pixels} if self.refines else {}

    def last_block(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Output of the changed last block: [B, 1 + h*w, width] -> same shape. Its result is not normalised."""
        block = self.tower.blocks[-1]
        changed = block.ls_1(attended(block, tokens, grid, self.attention, self.std))
        if self.architecture == "reduced":
            return changed  # type: ignore[no-any-return]
        tokens = tokens + changed
        return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))  # type: ignore[no-any-return]

    def _padding(self, size: Sequence[int]) -> tuple[int, int, int, int]:
        if not self.zero_pad:
            return 0, 0, 0, 0
        rows, columns = (-side % self.tower.patch for side in size)
        return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2

    def _combine(self, features: Features, similarities: Tensor, background: bool) -> Tensor:
        height, width = features.size
        top, bottom, left, right = self._padding(features.size)
        if not top + bottom + left + right:
            return similarities
        padded = (height + top + bottom, width + left + right)
        pixels = F.interpolate(similarities, padded, mode="bilinear", align_corners=False)
        return pixels[..., top : top + height, left : left + width]

    def finishes_by_text(self, background: bool = False) -> bool:
        return not background

    def refiner(self, image: Tensor, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
        return refiner(F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0], dilations=DILATIONS)

    def finish(self, scores: Tensor, background: bool = False, classes: Sequence[int] | None = None) -> Tensor:
        if not background:
            return scores
        of_text = range(1, len(scores) + 1) if classes is None else classes
        probabilities = without_small(torch.softmax(self.scale * scores, dim=0), of_text, self.area)
        highest = probabilities.amax(dim=0, keepdim=True)
        unsure = (highest < self.threshold) | (highest == 0)  # 0: all classes were small
        return torch.cat([torch.where(unsure, 2.0, -1.0), probabilities])


def attended(block: Any, tokens: Tensor, grid: tuple[int, int], attention: str, std: float) -> Tensor:
    """Changed attention of a block, with its output projection: [B, 1 + h*w, width] -> same shape.

    attention: of queries q, keys k, and s = 1 / sqrt(width of a head): "qq" softmax(s q q'); "kk" softmax(s k k');
    "csa" the sum of both; "naclip" softmax(s k k' + G), G a Gaussian of the distance between patches; "nonly" the
    Gaussian alone, times a mean of |q| |k|; "vanilla" softmax(s q k')."""
    layer = block.attn
    inner = block.ln_1(tokens)
    batch, length, width = inner.shape
    parts = F.linear(inner, layer.in_proj_weight, layer.in_proj_bias)
    query, key, value = parts.view(batch, length, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    scale = value.shape[-1] ** -0.5

    def similar(first: Tensor, second: Tensor) -> Tensor:
        scores: Tensor = scale * first @ second.transpose(-2, -1)
        return scores

    if attention == "csa":
        # The sum, not the mean: rows sum to 2.
        weights = similar(query, query).softmax(dim=-1) + similar(key, key).softmax(dim=-1)
    elif attention == "qq":
        weights = similar(query, query).softmax(dim=-1)
    elif attention == "kk":
        weights = similar(key, key).softmax(dim=-1)
    elif attention == "vanilla":
        weights = similar(query, key).softmax(dim=-1)
    else:
        near = gaussian(grid, std, tokens.device).to(value.dtype)
        if attention == "naclip":
            weights = (similar(key, key) + near).softmax(dim=-1)
        else:
            size = query.norm(dim=-1).mean(dim=-1) * key.norm(dim=-1).mean(dim=-1)
            weights = (scale * size.mean(dim=1).view(-1, 1, 1, 1) * near).softmax(dim=-1)
    mixed = (weights @ value).transpose(1, 2).reshape(batch, length, width)
    return layer.out_proj(mixed)  # type: ignore[no-any-return]


@lru_cache(maxsize=16)
def gaussian(grid: tuple[int, int], std: float, device: torch.device) -> Tensor:
    """exp(-d^2 / (2 std^2)) for the distance d of two patches, [1 + h*w, 1 + h*w]; 0 for the class token."""
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in grid)
    places = torch.cartesian_prod(rows, columns).reshape(-1, 2)
    near = torch.exp(-torch.cdist(places, places).square() / (2 * std**2))
    return F.pad(near, (1, 0, 1, 0)).to(device, torch.float32)


def without_small(probabilities: Tensor, classes: Sequence[int], area: float) -> Tensor:
    """Set small classes to 0: probabilities [T, H, W], classes: of each text, 0 is background.

    A class is small if it wins at most the share `area` of the pixels that all classes but 0 win together. An area of 0
    changes nothing."""
    if area == 0:
        return probabilities
    of_text = torch.as_tensor(list(classes), device=probabilities.device)
    won = torch.bincount(of_text[probabilities.max(dim=0).indices].flatten(), minlength=int(of_text.max()) + 1)
    small = won <= area * won[1:].sum()
    small[0] = False
    return probabilities * ~small[of_text].view(-1, 1, 1)


def reduce_texts(
    cosines: Tensor, classes: Sequence[int], scale: float, threshold: float = 0, area: float = 0
) -> tuple[Tensor, Tensor]:
    """Cosines of texts at pixels [T, H, W] -> scores of classes [C, H, W] and labels int64 [H, W].

    classes: the class of each text. A class has the highest probability of its texts. A pixel whose highest probability
    is below `threshold` has label 0, whatever class 0 is."""
    probabilities = without_small(torch.softmax(scale * cosines, dim=0), classes, area)
    of_text = torch.as_tensor(list(classes), device=cosines.device)
    # A class without texts has a score of 0.
    scores = torch.zeros(int(of_text.max()) + 1, *cosines.shape[1:], device=cosines.device)
    scores.scatter_reduce_(0, of_text.view(-1, 1, 1).expand_as(cosines), probabilities, "amax")
    best, labels = scores.max(dim=0)
    return scores, torch.where(best < threshold, 0, labels)
