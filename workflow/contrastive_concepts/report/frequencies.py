"""Figure 2a: the number of captions that mention "background" and each class of a data set."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from contrastive_concepts.config.selection import BACKGROUND

Counts = Mapping[str, int]


def most_frequent(counts: Counts, names: Iterable[str], most: int = 40) -> list[tuple[str, int]]:
    """Numbers of captions for "background" and the most frequent names, in descending order, then by name.

    counts: concept -> number of captions that mention it. Names that are not concepts are left out, also "background".
    """
    known = [(name, counts[name]) for name in dict.fromkeys(names) if name in counts and name != BACKGROUND]
    frequent = sorted(known, key=lambda item: (-item[1], item[0]))[:most]
    background = [(BACKGROUND, counts[BACKGROUND])] if BACKGROUND in counts else []
    return sorted([*frequent, *background], key=lambda item: (-item[1], item[0]))


def draw_frequencies(counts: Counts, names: Iterable[str], path: Path) -> list[tuple[str, int]]:
    """Write a bar chart of `most_frequent`, with "background" in its own colour. Returns the plotted counts."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = most_frequent(counts, names)
    colours = ["crimson" if name == BACKGROUND else "0.6" for name, _ in shown]
    figure, axes = pyplot.subplots(figsize=(max(3.0, 0.28 * len(shown)), 3.2), layout="constrained")
    axes.bar(range(len(shown)), [count for _, count in shown], color=colours)
    axes.set_xticks(range(len(shown)))
    # A dollar sign in a name must not start a formula.
    axes.set_xticklabels([name for name, _ in shown], rotation=90, parse_math=False)
    axes.set_ylabel("captions")
    if not shown:
        axes.set_xlabel("no class is a concept of the vocabulary")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
    return shown
