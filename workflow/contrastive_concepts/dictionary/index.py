"""The FAISS index of a dictionary: exact inner products, one row per concept, searched on a GPU if FAISS has one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    import faiss


def exact_index(embeddings: Embeddings) -> "faiss.Index":
    """Index of unit vectors [n, d], float32, in their order."""
    index: faiss.Index = _faiss().IndexFlatIP(embeddings.shape[1])
    index.add(embeddings)
    return index


def write_index(index: "faiss.Index", path: Path) -> None:
    _faiss().write_index(index, str(path))


def read_index(path: Path) -> "faiss.Index":
    """Read the index into CPU memory."""
    index: faiss.Index = _faiss().read_index(str(path))
    return index


def on_gpu(index: "faiss.Index") -> "faiss.Index":
    """A copy of the index on the first GPU. Results are equal up to float rounding.

    Returns `index` itself if FAISS has no GPU support, or, with a message, if the copy fails (memory, CUDA version).
    """
    build = _faiss()
    if not build.get_num_gpus():
        return index
    try:
        moved: faiss.Index = build.index_cpu_to_gpu(build.StandardGpuResources(), 0, index)
        return moved
    except RuntimeError as error:
        print(f"FAISS stays on the CPU: {one_line(error)}", file=sys.stderr)
        return index


def _faiss() -> Any:
    """The module faiss. It is in two packages, which break each other, so the project requires neither by default."""
    try:
        import faiss
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"FAISS cannot be imported ({one_line(error)}): install contrastive-concepts[cpu], or, with an NVIDIA GPU, "
            "contrastive-concepts[gpu]; not both"
        ) from None
    return faiss
