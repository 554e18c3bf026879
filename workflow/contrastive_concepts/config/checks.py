"""Settings of the checks that stop a run which found nothing or almost nothing."""

from pydantic import Field

from contrastive_concepts.config.base import Settings
from contrastive_concepts.config.selection import Fraction

ZERO = " 0: the run stops only if there are none."


class CheckSettings(Settings):
    """Minimum shares. If a share is below its minimum, the run stops with a one-line error."""

    readable_shards: Fraction = Field(
        0.5, description="Share of the shards that are readable, if captions.on_bad_shard is skip." + ZERO
    )
    usable_captions: Fraction = Field(
        0.01,
        description="Share of a shard's captions that are usable: not null, not empty, valid UTF-8, not gigantic."
        + ZERO,
    )
    matched_captions: Fraction = Field(
        0.001, description="Share of the captions in the corpus that mention a concept." + ZERO
    )
    parsed_verdicts: Fraction = Field(
        0.9, description="Share of the concepts whose answer from the judge is a yes or a no." + ZERO
    )
