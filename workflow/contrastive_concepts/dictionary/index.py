"""The FAISS index of a dictionary: exact inner products, a row a concept; asked on a GPU where FAISS has one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_concepts.errors import UserError, one_line
from contrastive_concepts.similarity.store import Embeddings

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
    """The index in the processor's memory."""
    index: faiss.Index = _faiss().read_index(str(path))
    return index


def on_gpu(index: "faiss.Index") -> "faiss.Index":
    """A copy on the first GPU, which answers alike within float error.

    Itself where this FAISS has no GPU, or where the GPU refuses it (no memory, another CUDA), which is said.
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
    """The module, which one of two packages brings: both together break it, and neither is asked for by itself."""
    try:
        import faiss
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"FAISS cannot be imported ({one_line(error)}): install contrastive-concepts[cpu], or, with an NVIDIA GPU, "
            "contrastive-concepts[gpu]; not both"
        ) from None
    return faiss
