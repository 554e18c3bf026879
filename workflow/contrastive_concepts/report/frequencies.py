"""Figure 2a: how often captions name concepts, against the word "background"."""

from collections.abc import Mapping
from pathlib import Path

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.contrastive_sets import BACKGROUND


def draw_frequencies(counts: Mapping[str, int], path: Path, named: int = 12) -> int | None:
    """Write the curve of captions by rank, logarithmic, with "background" marked and some concepts named.

    counts: concept -> captions that name it. Returns the rank of "background" (1 is the most frequent), None where it
    is no concept. Raises UserError without concepts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if not counts:
        raise UserError("figure 2a: found 0 concepts, expected at least one")
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rank = [name for name, _ in order].index(BACKGROUND) + 1 if BACKGROUND in counts else None
    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(range(1, len(order) + 1), [count for _, count in order], color="0.4", linewidth=1)
    if rank:
        axes.scatter([rank], [counts[BACKGROUND]], color="crimson", zorder=3, label=f"{BACKGROUND} (rank {rank})")
        axes.legend(frameon=False)
    step = max(len(order) // named, 1)
    for index in range(0, len(order), step):
        name, count = order[index]
        if name != BACKGROUND:
            axes.annotate(name, (index + 1, count), fontsize=7, rotation=40, parse_math=False)
    axes.set(xlabel="concepts by frequency", ylabel="captions", yscale="log" if order[0][1] > 0 else "linear")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return rank
