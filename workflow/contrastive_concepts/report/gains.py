"""The page about what contrastive concepts gain over "background", by class, and where they lose."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import polars as pl

from contrastive_concepts.evaluation.gains import CAUSES, PREDICTORS, explained_variance, losing, predictors
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.report.summary import ours

LISTED = 12
"""Classes at most in a list of losses."""
HEAD = """# Where contrastive concepts help, and where they hurt

IoU-single of the dictionary's contrastive concepts (CC_D) minus that of "background" (BG), by class, in percentage
points with the 95 % interval of an image bootstrap. CC_D has "background" too: a query gets fewer pixels. *Removed* are
pixels of others that it no longer gets, *lost* are its own, both net and as shares of the union against "background".
"""
CAUSES_HEAD = (
    "## Causes\n\nOf a class that loses, by the negative that took most of its own pixels; the first that fits:\n"
)


def gains_page(gains: pl.DataFrame) -> str:
    """The page in Markdown. gains: a table of `evaluation.results`."""
    places = gains.group_by("segmenter", "backbone", "dataset", maintain_order=True)
    parts = [HEAD, *(_section(", ".join(map(str, place)), table) for place, table in places)]
    parts += [CAUSES_HEAD, *(f"- *{cause}*: {meaning}" for cause, meaning in CAUSES.items()), ""]
    return "\n".join(parts)


def _section(place: str, gains: pl.DataFrame) -> str:
    lower = list(losing(gains))
    surely_higher, surely_lower = gains.filter(pl.col("low") > 0).height, gains.filter(pl.col("high") < 0).height
    mean = {name: float(np.nanmean(gains[name].to_numpy())) for name in ("gain", "removed", "lost", "lower_images")}
    counted = Counter(str(row["cause"]) for row in lower)
    lines = [
        f"## {place}\n",
        f"The mean gain of {gains.height} classes is {mean['gain']:+.1f} points. {surely_higher} gain and "
        f"{surely_lower} lose with an interval beside 0; {len(lower)} lose at all. Of the images that show a class, "
        f"{mean['lower_images']:.0f} % are lower. Removed are {mean['removed']:.1f} %, lost {mean['lost']:.1f} % "
        "(means of the classes).\n",
    ]
    if lower:
        lines.append(f"Causes: {', '.join(f'{cause} {count}' for cause, count in counted.most_common())}.\n")
        head = (
            "class",
            "images",
            "BG",
            "CC_D",
            "gain [95 %]",
            "removed",
            "lost",
            "took most of its own pixels",
            "cause",
        )
        rows = [
            (
                row["class"],
                str(row["images"]),
                f"{row['background']:.1f}",
                f"{row['contrastive']:.1f}",
                ours(f"{row['gain']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"),
                f"{row['removed']:.1f} %",
                f"{row['lost']:.1f} %",
                _taker(row),
                row["cause"] or "-",
            )
            for row in lower[:LISTED]
        ]
        lines.append(markdown_table([*map(ours, head)], rows))
        if len(lower) > LISTED:
            lines.append(f"(and {len(lower) - LISTED} more in `gains.parquet`)\n")
    told = predictors(gains)
    if told:
        known = ("known before any image is seen", "rank correlation with the gain", "p", "classes")
        rows_told = [(PREDICTORS[e.predictor], f"{e.correlation:+.2f}", f"{e.p:.3f}", str(e.classes)) for e in told]
        lines.append(markdown_table(known, rows_told))
        variance = explained_variance(gains)
        if variance is not None:
            lines.append(
                f"All together explain {100 * variance:.0f} % of the variance of the gains of classes left out.\n"
            )
    return "\n".join(lines)


def _taker(row: Mapping[str, object]) -> str:
    if row["taker"] is None:
        return "-"
    return f"{row['taker']} {row['taker_share']:.0f} % (cosine {row['taker_similarity']:.2f})"
