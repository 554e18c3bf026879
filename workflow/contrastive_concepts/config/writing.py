"""Settings of what the judge's language model writes: CC^L and parts (paper 3.5, 6.4)."""

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug


class WritingSettings(Settings):
    """Lists of contrastive concepts for the classes of a benchmark."""

    class_lists: dict[Slug, str] = Field(
        {},
        description="CC^L is written for these (`snakemake cc_l`): a name, and a text of classes, one a line, relative "
        "to data_dir. The author is the model of `visibility`.",
    )
