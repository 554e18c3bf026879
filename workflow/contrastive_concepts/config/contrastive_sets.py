"""Settings of contrastive sets: the contrastive concepts of each query (paper 3.2 - 3.6, 4.3)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.selection import AssociationSettings, Fraction, MaxConcepts

Step = Literal["stop_list", "visible", "similar"]


class SetSettings(Settings):
    """Keys of every contrastive set."""

    enabled: bool = Field(True, description="false: it is not run, nor a set that is like it.")
    background: bool = Field(True, description='Add "background" to the contrastive concepts.')
    original: bool = Field(
        False,
        description="Also use the segmenter's own background handling (the paper's asterisk). A segmenter without it "
        "is not run on this set.",
    )
    datasets: list[Slug] | None = Field(None, description="Use the set for these data sets only; null: for all.")
    synonyms: dict[str, str] = Field(
        {},
        description="For each data set by name, a class-name file, relative to data_dir. All names in a class's line "
        "count for the class, besides its own name; the background's line is not used. A set with synonyms is not in "
        "the paper's column.",
    )
    separator: Literal[", ", ",", "; "] = Field(
        ", ", description="What separates the names of a class in class-name files (`synonyms`, kind names)."
    )
    segmenters: list[Slug] | None = Field(None, description="Use the set with these segmenters only; null: with all.")
    column: str | None = Field(
        None,
        description="Column of the set in the tables; null: the paper's name. Of several sets in it the best is shown.",
    )

    @property
    def default_column(self) -> str | None:
        """The paper's name of this set; None if it has none."""
        return None


class NoneSet(SetSettings):
    """The query alone. Without own background handling every pixel belongs to the query."""

    kind: Literal["none"] = Field(description="No contrastive concept at all.")
    background: Literal[False] = Field(False, description='Always false. For "background" alone use kind background.')

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

    kind: Literal["dictionary"] = Field(description="Concepts of a dictionary, from this run or another one.")
    folder: str | None = Field(
        None, description="Folder of a dictionary, relative to data_dir, used unchanged; null: this run's dictionary."
    )
    filters: list[Step] = Field(
        ["stop_list", "visible", "similar"],
        description="Filter steps that are applied to this run's candidates; fewer for the ablation (paper, Table 2).",
    )
    gamma: Fraction | None = Field(
        None, description="Threshold instead of selection.gamma. The captions are not mined again."
    )
    delta: Fraction | None = Field(None, description="Threshold instead of selection.delta.")
    remove_parts: bool | None = Field(
        None, description="Whether parts are dropped (paper 6.4, Figure 6); null: the value of selection.remove_parts."
    )
    association: AssociationSettings | None = Field(None, description="Measure instead of selection.association.")
    redundancy: Fraction | None = Field(None, description="Threshold instead of selection.redundancy.")
    max_concepts: MaxConcepts | None = Field(None, description="Limit instead of selection.max_concepts.")

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
        """Whether the set is the published dictionary without changed filters or thresholds."""
        return (
            len(set(self.filters)) == 3
            and self.gamma is self.delta is self.remove_parts is None
            and not self.beyond_paper
        )

    @property
    def beyond_paper(self) -> bool:
        """Whether the set changes an option that the paper does not have."""
        return any(option is not None for option in (self.association, self.redundancy, self.max_concepts))


class CcTextSet(SetSettings):
    """CC^L, or any other list in the authors' text format (paper 3.5)."""

    kind: Literal["cc_text"] = Field(
        description="The authors' text files: one line for each class, names separated by commas."
    )
    files: dict[str, str] = Field(
        min_length=1,
        description="File for each data set by name, relative to data_dir. The set is not run on other data sets.",
    )

    @property
    def default_column(self) -> str:
        return "CC_L" if self.background else "CC_L only"


class NamesSet(SetSettings):
    """The names of a class-name file, as SCLIP, ClearCLIP and NACLIP use them.

    The names of a class count for it and stand in place of its own name. If the data set has a background class, the
    names in its line are the contrastive concepts. Nothing is added, dropped or filtered by beta."""

    kind: Literal["names"] = Field(description="A file of several names a class.")
    background: Literal[False] = Field(False, description="Always false. The file has the background's names.")
    synonyms: dict[str, str] = Field({}, max_length=0, description="Always empty. The file has all names.")
    files: dict[str, str] = Field(
        min_length=1,
        description="Class-name file for each data set by name, relative to data_dir. The set is not run on other "
        "data sets.",
    )

    @property
    def default_column(self) -> str | None:
        return "original" if self.original else None


class ListSet(SetSettings):
    """The same concepts for every query."""

    kind: Literal["list"] = Field(description="The same concepts for every query.")
    concepts: list[str] = Field(min_length=1, description="The concepts.")


class OracleSet(SetSettings):
    """All other classes of the data set (paper 4.3)."""

    kind: Literal["oracle"] = Field(description="All other classes of the data set.")
    background: bool = Field(False, description='Add "background" to the contrastive concepts.')

    @property
    def default_column(self) -> str:
        return "oracle"


class ImageOracleSet(SetSettings):
    """The other classes in the same image."""

    kind: Literal["image_oracle"] = Field(description="The other classes in the same image.")
    background: bool = Field(False, description='Add "background" to the contrastive concepts.')

    @property
    def default_column(self) -> str:
        return "image oracle"


class LikeSet(SetSettings):
    """Keys of the controls that have as many contrastive concepts for each query as another set."""

    like: Slug = Field(description="Name of the set whose number of concepts is used for each query.")
    seed: int = Field(0, ge=0, description="Seed of the random numbers.")


class RandomSet(LikeSet):
    """A control: for each query, as many random concepts of the vocabulary as another set has."""

    kind: Literal["random"] = Field(description="Random concepts, as a control.")
    match: Literal["number", "frequency"] = Field(
        "number",
        description="What is as in the other set. number: the number of concepts; frequency: also the number of "
        "captions of each concept, as nearly as the vocabulary allows. The other set must then be of kind dictionary.",
    )

    @property
    def default_column(self) -> str:
        return "random" if self.match == "number" else "random by frequency"


class PseudoSet(LikeSet):
    """A control: for each query, as many words without meaning as another set has concepts."""

    kind: Literal["pseudo"] = Field(description="Words that can be pronounced but mean nothing, as a control.")

    @property
    def default_column(self) -> str:
        return "pseudo-words"


class EmptySet(SetSettings):
    """A control: the empty text, that is, the prompts without a concept in them."""

    kind: Literal["empty"] = Field(description="The empty text alone, as a control.")
    background: bool = Field(False, description='Add "background" to the contrastive concepts.')

    @property
    def default_column(self) -> str:
        return "empty"


class BackgroundWordsSet(SetSettings):
    """A control: the same words for things behind objects for each query, as many methods use them."""

    kind: Literal["background_words"] = Field(description="The same words of a file for every query.")
    path: str | None = Field(
        None,
        description="File of the words, one per line, relative to data_dir; null: our own, names of stuff that class "
        "lists of data sets share.",
    )

    @property
    def default_column(self) -> str | None:
        return "BG words" if self.path is None else None


class BoostedBackgroundSet(SetSettings):
    """A control: "background" alone, made stronger or weaker by a number."""

    kind: Literal["boosted_background"] = Field(
        description='The word "background" alone, with a number added to its cosine.'
    )
    background: Literal[True] = Field(True, description='Always true. "background" is the only concept.')
    boost: float = Field(
        ge=-2,
        le=2,
        description='Number added to the cosine of "background" with every patch; 0 is kind background. Tune it on '
        "other images than those that are reported.",
    )

    @property
    def default_column(self) -> str:
        return "BG + boost"


class VocabularySet(SetSettings):
    """A control: the whole vocabulary, filtered as CC^D but not by co-occurrence."""

    kind: Literal["vocabulary"] = Field(
        description="All concepts of this run's vocabulary that are visible, not on the stop-list and not too similar."
    )
    delta: Fraction | None = Field(None, description="Threshold instead of selection.delta.")

    @property
    def default_column(self) -> str | None:
        return "vocabulary" if self.delta is None else None


ContrastiveSetSettings = Annotated[
    NoneSet
    | BackgroundSet
    | DictionarySet
    | CcTextSet
    | NamesSet
    | ListSet
    | OracleSet
    | ImageOracleSet
    | RandomSet
    | PseudoSet
    | EmptySet
    | BackgroundWordsSet
    | BoostedBackgroundSet
    | VocabularySet,
    Field(discriminator="kind"),
]
