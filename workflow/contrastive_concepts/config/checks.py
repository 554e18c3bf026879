"""Settings of what a run must find: nothing found, or almost nothing, is not success."""

from pydantic import Field

from contrastive_concepts.config.base import Settings
from contrastive_concepts.config.selection import Fraction

ZERO = " 0: only none at all stops it."


class CheckSettings(Settings):
    """The least shares with which a run goes on; below them it stops with one line."""

    readable_shards: Fraction = Field(
        0.5, description="Share of the shards that are read, where captions.on_bad_shard skips the others." + ZERO
    )
    usable_captions: Fraction = Field(
        0.01, description="Share of a shard's captions that are text: not null, not empty, UTF-8, not gigantic." + ZERO
    )
    matched_captions: Fraction = Field(
        0.001, description="Share of the corpus's captions that mention any concept." + ZERO
    )
    parsed_verdicts: Fraction = Field(
        0.9, description="Share of the concepts for which the judge's answer is a yes or a no." + ZERO
    )
