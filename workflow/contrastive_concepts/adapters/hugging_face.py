"""Asks zero-shot detectors of Hugging Face transformers for queries beside their negatives, and keeps the queries'."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contrastive_concepts.adapters.claims import KEPT, OVERLAP, box_claims
from contrastive_concepts.adapters.prompts import Numbers, Prompts
from contrastive_concepts.errors import UserError

Found = list[dict[str, Any]]
"""What the pipeline gives for an image: {"score", "label", "box": {"xmin", "ymin", "xmax", "ymax"}}, in pixels."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SEPARATORS = str.maketrans(".?", "  ")


def detect(pipeline: Any, image: Any, prompts: Prompts, overlap: float = OVERLAP, **options: Any) -> Any:
    """What a pipeline `zero-shot-object-detection` finds of the queries, and no negative takes.

    image: a path, a PIL image, or a list of PIL images, which gives a list of results. options: of the pipeline, as
    `threshold`. Returns its list of {"score", "label", "box"}, the highest score first. The rule is that of `claims`.
    The pipeline runs its model once for each text: cut the negatives with `Prompts.of(..., at_most=20)`, or use
    `ground` for Grounding DINO."""
    found = pipeline(image, candidate_labels=list(prompts.texts), **options)
    if isinstance(image, list | tuple):
        return [keep_queries(each, prompts, overlap) for each in found]
    return keep_queries(found, prompts, overlap)


def keep_queries(found: Sequence[dict[str, Any]], prompts: Prompts, overlap: float = OVERLAP) -> Found:
    """The pipeline's detections of one image that are a query's and that no negative takes, in their order.

    Raises UserError for a label that was not asked."""
    boxes = np.array([[row["box"][side] for side in CORNERS] for row in found], np.float64).reshape(-1, 4)
    scores = np.array([row["score"] for row in found], np.float64)
    fate = box_claims(prompts, prompts.numbers([row["label"] for row in found]), scores, boxes, overlap)
    return [row for row, each in zip(found, fate, strict=True) if each == KEPT]


def caption(prompts: Prompts) -> str:
    """The texts as Grounding DINO is asked: "boat. water. sky." Full stops and question marks in texts are blanks."""
    return "".join(f"{' '.join(text.lower().translate(SEPARATORS).split())}. " for text in prompts.texts).rstrip()


def ground(
    model: Any, processor: Any, image: Any, prompts: Prompts, threshold: float = 0.25, overlap: float = OVERLAP
) -> Found:
    """What Grounding DINO finds of the queries, and no negative takes, with all texts in one caption and one pass.

    model, processor: `GroundingDinoForObjectDetection` and its processor. image: PIL, RGB. A box belongs to the text
    with the highest probability at any of its tokens; this is the box's score, which must be above `threshold`. (The
    processor's own labels are the words of the caption above a threshold: a piece of a text, or words of several.)
    Returns what `detect` does. Raises UserError if the texts are more tokens than the model reads."""
    import torch

    inputs = processor(images=image, text=caption(prompts), return_tensors="pt").to(model.device)
    owner = _owner_of_tokens(inputs["input_ids"][0], processor.tokenizer, prompts)
    longest = model.config.max_text_len
    if len(owner) > longest:
        raise UserError(
            f"prompts: found {len(prompts.texts)} texts of {len(owner)} tokens together, expected at most {longest} "
            "tokens; fewer negatives: Prompts.of(..., at_most=...)"
        )
    with torch.inference_mode():
        outputs = model(**inputs)
    probabilities = outputs.logits[0].sigmoid().float().cpu().numpy()
    by_text = np.stack(
        [probabilities[:, : len(owner)][:, owner == text].max(axis=1) for text in range(len(prompts.texts))]
    )
    classes, scores = by_text.argmax(axis=0), by_text.max(axis=0)
    centres, sides = np.split(outputs.pred_boxes[0].float().cpu().numpy(), 2, axis=1)
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1) * np.tile(image.size, 2)
    order = [row for row in np.argsort(-scores, kind="stable") if scores[row] > threshold]
    found = [
        {
            "score": float(scores[row]),
            "label": prompts.texts[classes[row]],
            "box": {side: int(value) for side, value in zip(CORNERS, corners[row], strict=True)},
        }
        for row in order
    ]
    return keep_queries(found, prompts, overlap)


def _owner_of_tokens(tokens: Any, tokenizer: Any, prompts: Prompts) -> Numbers:
    """The number of the text of each token of a caption; -1 for full stops and the tokenizer's own marks."""
    numbers = tokens.cpu().numpy()
    stop = tokenizer.convert_tokens_to_ids(".")
    owner = np.cumsum(numbers == stop)
    owner[np.isin(numbers, [stop, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id])] = -1
    for number in sorted({*range(len(prompts.texts))} - {*owner.tolist()})[:1]:
        raise UserError(f"caption: found no token of {prompts.texts[number]!r}, expected a word")
    return owner
