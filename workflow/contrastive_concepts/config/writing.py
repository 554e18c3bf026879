"""Settings of the texts that the judge's language model writes: CC^L and parts (paper 3.5, 6.4)."""

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.visibility import LanguageModel


class WritingSettings(Settings):
    """Lists of contrastive concepts for the classes of a benchmark."""

    class_lists: dict[Slug, str] = Field(
        {},
        description="Class lists for which `snakemake cc_l` writes CC^L: name -> text file with one class per line, "
        "relative to data_dir.",
    )
    model: LanguageModel | None = Field(
        None,
        description="The language model that writes, with the keys of a judge; null: that of `visibility`.",
    )
