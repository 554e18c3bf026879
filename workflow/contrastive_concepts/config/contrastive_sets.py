"""Settings of contrastive sets: which texts a query is contrasted with (paper 3.2 - 3.6, 4.3)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.selection import AssociationSettings, Fraction, MaxConcepts

Step = Literal["stop_list", "visible", "similar"]


class SetSettings(Settings):
    """What every contrastive set has."""

    background: bool = Field(True, description='"background" is contrasted with as well.')
    original: bool = Field(
        False,
        description="The segmenter's own background handling is on as well (the paper's asterisk); "
        "a segmenter that has none leaves the set out.",
    )
    datasets: list[Slug] | None = Field(None, description="Only these data sets; null: all.")
    column: str | None = Field(
        None, description="Column of the tables that the set fills; null: the paper's name. The best of several wins."
    )

    @property
    def default_column(self) -> str | None:
        """The paper's name of what the set is; None where it has none."""
        return None


class NoneSet(SetSettings):
    """The query alone: without own background handling every pixel is the query."""

    kind: Literal["none"] = Field(description="No contrastive concept at all.")
    background: Literal[False] = Field(False, description="Never: see kind background.")

    @property
    def default_column(self) -> str:
        return "original" if self.original else "none"


class BackgroundSet(SetSettings):
    """CC^BG: the word "background" alone (paper 3.3)."""

    kind: Literal["background"] = Field(description='The word "background" alone.')

    @property
    def default_column(self) -> str:
        return "BG"


class DictionarySet(SetSettings):
    """CC^D: concepts mined from captions (paper 3.4)."""

    kind: Literal["dictionary"] = Field(description="Concepts of a dictionary, this run's or another.")
    folder: str | None = Field(
        None, description="Folder of a dictionary, relative to data_dir; null: this run's. Only as it stands."
    )
    filters: list[Step] = Field(
        ["stop_list", "visible", "similar"],
        description="Steps of the filter that act on this run's candidates; fewer for the ablation (paper, Table 2).",
    )
    gamma: Fraction | None = Field(None, description="Another threshold than selection.gamma; nothing is mined again.")
    delta: Fraction | None = Field(None, description="Another threshold than selection.delta.")
    remove_parts: bool | None = Field(
        None, description="Whether parts are dropped (paper 6.4, Figure 6); null: as selection.remove_parts says."
    )
    association: AssociationSettings | None = Field(None, description="Another measure than selection.association.")
    redundancy: Fraction | None = Field(None, description="Another threshold than selection.redundancy.")
    max_concepts: MaxConcepts | None = Field(None, description="Another cap than selection.max_concepts.")

    @property
    def default_column(self) -> str | None:
        if self.beyond_paper:
            return None
        if not self.background:
            return "CC_D only" if self.is_published else None
        steps = {"": "no filtering", "stop_list visible": "+ visible"}
        return "CC_D" if self.is_published else steps.get(" ".join(sorted(self.filters)))

    @property
    def is_published(self) -> bool:
        """The dictionary as it stands, no other selection."""
        return (
            len(set(self.filters)) == 3
            and self.gamma is self.delta is self.remove_parts is None
            and not self.beyond_paper
        )

    @property
    def beyond_paper(self) -> bool:
        """An option of its own that the paper does not have."""
        return any(option is not None for option in (self.association, self.redundancy, self.max_concepts))


class CcTextSet(SetSettings):
    """CC^L, or any other list in the authors' text format (paper 3.5)."""

    kind: Literal["cc_text"] = Field(description="The authors' text files: a line a class, names separated by commas.")
    files: dict[str, str] = Field(
        min_length=1, description="File for each data set by name, relative to data_dir; other data sets go without."
    )

    @property
    def default_column(self) -> str:
        return "CC_L" if self.background else "CC_L only"


class ListSet(SetSettings):
    """The same concepts for every query."""

    kind: Literal["list"] = Field(description="The same concepts for every query.")
    concepts: list[str] = Field(min_length=1, description="The concepts.")


class OracleSet(SetSettings):
    """All other classes of the data set (paper 4.3)."""

    kind: Literal["oracle"] = Field(description="All other classes of the data set.")
    background: bool = Field(False, description='"background" is contrasted with as well.')

    @property
    def default_column(self) -> str:
        return "oracle"


class ImageOracleSet(SetSettings):
    """The other classes that the image shows."""

    kind: Literal["image_oracle"] = Field(description="The other classes that the image itself shows.")
    background: bool = Field(False, description='"background" is contrasted with as well.')

    @property
    def default_column(self) -> str:
        return "image oracle"


class RandomSet(SetSettings):
    """The control: random concepts of the vocabulary, as many for each query as another set has."""

    kind: Literal["random"] = Field(description="Random concepts, the control.")
    like: Slug = Field(description="Name of the set whose numbers are matched.")
    seed: int = Field(0, ge=0, description="Seed of the draws.")

    @property
    def default_column(self) -> str:
        return "random"


ContrastiveSetSettings = Annotated[
    NoneSet | BackgroundSet | DictionarySet | CcTextSet | ListSet | OracleSet | ImageOracleSet | RandomSet,
    Field(discriminator="kind"),
]
