"""The whole configuration of a run, and the consistency checks between its sections."""

from typing import Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.config.captions import CaptionsSettings
from contrastive_concepts.config.checks import CheckSettings
from contrastive_concepts.config.contrastive_sets import DictionarySet
from contrastive_concepts.config.matching import MatchingSettings
from contrastive_concepts.config.selection import SelectionSettings
from contrastive_concepts.config.similarity import Carrying, SimilaritySettings
from contrastive_concepts.config.toyworld import ToyTraining
from contrastive_concepts.config.visibility import (
    AuditSettings,
    EmbeddingJudge,
    OneJudge,
    VisibilitySettings,
    WordNetJudge,
    judges_of,
    text_model_of,
)
from contrastive_concepts.config.vocabulary import VocabularySettings
from contrastive_concepts.config.writing import WritingSettings


class RunSettings(Settings):
    """One run: from one corpus to one dictionary of contrastive concepts, below `results/<run>/`."""

    run: Slug = Field(description="Name of the run. Its results are written to results/<run>/.")
    data_dir: str = Field(".", description="Folder to which relative paths of input data refer.")
    answers: str = Field(
        "results/answers.duckdb",
        description="Cache of the language model's answers. All runs share it, so that no question is asked twice.",
    )
    captions: CaptionsSettings = Field(description="The corpus.")
    vocabulary: VocabularySettings = Field(description="The concept list T.")
    matching: MatchingSettings = Field(MatchingSettings(), description="How concepts are found in captions.")
    selection: SelectionSettings = Field(
        SelectionSettings(), description="Which co-occurring concepts become contrastive concepts (paper 3.4)."
    )
    visibility: VisibilitySettings = Field(
        description="The judge that decides which concepts can be seen (paper 3.4, 6.3)."
    )
    audit: AuditSettings = Field(AuditSettings(), description="The report on the judge's verdicts (`snakemake audit`).")
    writing: WritingSettings = Field(
        WritingSettings(), description="Contrastive concepts CC^L and parts, written by a language model (paper 3.5)."
    )
    similarity: SimilaritySettings = Field(description="The text encoder that measures similarity (paper 3.4).")
    checks: CheckSettings = Field(
        CheckSettings(), description="Minimum shares: a stage that finds less stops with a one-line error."
    )
    benchmark: BenchmarkSettings = Field(
        BenchmarkSettings(), description="The benchmark that `snakemake benchmark` runs (paper 4); by default none."
    )
    toy_clip: ToyTraining = Field(ToyTraining(), description="How `snakemake train_toy_clip` trains the toy CLIP.")

    @property
    def writer(self) -> OneJudge:
        """The language model that writes CC^L and parts. May be a judge that cannot write, if nothing is written."""
        return self.writing.model or judges_of(self.visibility)[-1]

    @property
    def shares_encoder(self) -> bool:
        """Whether one text encoder judges and measures similarity, so that one job can load it for both."""
        return text_model_of(self.visibility) is not None and (
            self.similarity.model_dump(exclude={"templates", *Carrying.model_fields})
            == text_model_of(self.visibility).model_dump()  # type: ignore[union-attr]
        )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        gamma = self.selection.gamma
        if isinstance(gamma, dict) and self.captions.corpus not in gamma:
            raise ValueError(
                f"selection.gamma: found corpora {sorted(gamma)}, "
                f"expected one named {self.captions.corpus!r} (captions.corpus)"
            )
        if isinstance(self.writer, WordNetJudge | EmbeddingJudge) and (
            self.writing.class_lists
            or self.selection.remove_parts
            or any(isinstance(one, DictionarySet) and one.remove_parts for one in self.benchmark.sets.values())
        ):
            raise ValueError(
                f"writing.model: found null and the judge {self.writer.judge!r}, expected a language model: "
                "writing.class_lists and remove_parts need one"
            )
        indexed = self.captions.source in ("concept_index", "release")
        self._check_association(indexed)
        if self.vocabulary.source == "mined" and indexed:
            raise ValueError(
                "vocabulary.source: found 'mined', expected 'index' or 'given': a concept index has no captions"
            )
        if (
            self.captions.source == "concept_index"
            and self.captions.is_unigram_map
            and self.vocabulary.source != "given"
        ):
            raise ValueError(
                f"vocabulary.source: found {self.vocabulary.source!r}, expected 'given': unigram pickles hold words, "
                "not concepts"
            )
        if self.vocabulary.source == "index" and not indexed:
            raise ValueError(
                "vocabulary.source: found 'index', expected 'given' or 'mined': captions.source is neither "
                "'concept_index' nor 'release'"
            )
        return self

    def _check_association(self, indexed: bool) -> None:
        """Raises ValueError if N is unknown: every measure needs the number of captions, which an index lacks."""
        keys = {"selection": self.selection.association}
        for name, set_settings in self.benchmark.sets.items():
            if isinstance(set_settings, DictionarySet):
                keys[f"benchmark.sets.{name}"] = set_settings.association
        for key, association in keys.items():
            if indexed and association is not None and association.captions is None:
                raise ValueError(
                    f"{key}.association.captions: found null, expected the number of captions: a concept index does "
                    "not tell it"
                )
