"""Number of pairs that remain after each filter: candidates -> stop-list -> visible -> similar -> kept (paper 3.4)."""

from collections.abc import Mapping
from pathlib import Path

from contrastive_concepts.selection.select import REASONS

PAPER = 3
"""Number of filters that are the paper's. The others are shown only if they rejected any pairs."""


def funnel(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """(step, pairs left after it), from the manifest's `counts`. The last step gives the pairs in the dictionary."""
    left = counts["candidates"]
    steps = [("candidates over gamma", left)]
    for number, reason in enumerate(REASONS):
        taken = counts.get(f"rejected: {reason}", 0)
        left -= taken
        if number < PAPER or taken:
            steps.append((f"without: {reason}", left))
    return [*steps, ("contrastive concepts", counts["contrastive concepts"])]


def draw_funnel(steps: list[tuple[str, int]], path: Path) -> None:
    """Write a bar chart with one bar per step, labelled with its number and its share of the candidates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 0.4 * len(steps) + 0.8), layout="constrained")
    colours = ["0.6"] * (len(steps) - 1) + ["tab:green"]
    bars = axes.barh([step for step, _ in steps], [left for _, left in steps], color=colours)
    first = max(steps[0][1], 1)
    axes.bar_label(bars, [f" {left:,} ({100 * left / first:.0f} %)" for _, left in steps])
    axes.invert_yaxis()
    axes.margins(x=0.35)
    axes.set_xlabel("pairs of concepts")
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
