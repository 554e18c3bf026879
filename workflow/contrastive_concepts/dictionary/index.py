"""The FAISS index of a dictionary: exact inner products, one row per concept, searched on a GPU if FAISS has one."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contrastive_concepts.encoders import Embeddings
from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    import faiss


def exact_index(embeddings: Embeddings, half: bool = False) -> "faiss.Index":
    """Index of unit vectors [n, d], in their order, as float32 or, with `half`, as float16."""
    build, width = _faiss(), embeddings.shape[1]
    index: faiss.Index = (
        build.IndexScalarQuantizer(width, build.ScalarQuantizer.QT_fp16, build.METRIC_INNER_PRODUCT)
        if half
        else build.IndexFlatIP(width)
    )
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
    """The module faiss. It is in two packages, for the CPU and for NVIDIA GPUs, which break each other."""
    try:
        import faiss
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"FAISS cannot be imported ({one_line(error)}): install faiss-cpu or faiss-gpu-cu12, not both; of two, "
            "remove both and install one again"
        ) from None
    return faiss
