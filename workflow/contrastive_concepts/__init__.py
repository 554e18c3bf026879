"""Test-time contrastive concepts for open-vocabulary segmentation, mined from captions (arXiv 2407.05061)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts, Match

__all__ = ["ContrastiveConcepts", "Match"]


def __getattr__(name: str) -> Any:
    # Imported on first use, because every cluster job imports this package just to read a configuration.
    if name in __all__:
        from contrastive_concepts.dictionary import contrastive

        return getattr(contrastive, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
