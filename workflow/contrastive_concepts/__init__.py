"""Test-time contrastive concepts for open-vocabulary segmentation, mined from captions (arXiv 2407.05061)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts, Match
    from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter, Segmentation

__all__ = ["ConceptSegmenter", "ContrastiveConcepts", "Match", "Segmentation"]


def __getattr__(name: str) -> Any:
    # Imported on first use, because every cluster job imports this package just to read a configuration.
    if name in ("ContrastiveConcepts", "Match"):
        from contrastive_concepts.dictionary import contrastive

        return getattr(contrastive, name)
    if name in ("ConceptSegmenter", "Segmentation"):
        from contrastive_concepts.segmentation import concept_segmenter

        return getattr(concept_segmenter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
