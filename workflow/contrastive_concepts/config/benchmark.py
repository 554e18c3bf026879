"""Settings of `snakemake benchmark`: the cross product that is run, and which of its cells exist."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.contrastive_sets import (
    CcTextSet,
    ContrastiveSetSettings,
    DictionarySet,
    ImageOracleSet,
    OracleSet,
    RandomSet,
)
from contrastive_concepts.config.evaluation import (
    OWN_BACKGROUND,
    BackboneSettings,
    DatasetSettings,
    Protocol,
    SegmenterSettings,
    SweepSettings,
)


class Cell(NamedTuple):
    """One experiment: the names of its four parts."""

    segmenter: str
    backbone: str
    dataset: str
    set: str

    @property
    def folder(self) -> str:
        """Where its scores lie, below those of the benchmark."""
        return "/".join(("cells", *self))


class SweepPoint(NamedTuple):
    """A cell under one value of one threshold."""

    threshold: str
    value: float
    segmenter: str
    backbone: str
    dataset: str
    set: str

    @property
    def cell(self) -> Cell:
        return Cell(*self[2:])

    @property
    def metric(self) -> str:
        """beta only acts where there are several queries."""
        return "mIoU" if self.threshold == "beta" else "IoU-single"

    @property
    def folder(self) -> str:
        """As Snakemake's Paramspace writes it."""
        return "/".join(("sweeps", *(f"{name}~{value}" for name, value in self._asdict().items())))


class FigureSettings(Settings):
    """Pictures of single queries (Figures 3 and 4), for every segmenter, backbone and data set."""

    rows: int = Field(8, ge=1, description="Queries shown, the first that fit in the data set's order.")
    sets: list[Slug] = Field(
        [], description="Contrastive sets side by side, the last one with its full map; empty: none."
    )


class BenchmarkSettings(Settings):
    """Segmenter x backbone x data set x contrastive set; empty, nothing is benchmarked."""

    segmenters: dict[Slug, SegmenterSettings] = Field({}, description="The segmenters, by a name of your own.")
    backbones: dict[Slug, BackboneSettings] = Field({}, description="The CLIP models, by a name of your own.")
    datasets: dict[Slug, DatasetSettings] = Field({}, description="The data sets, by a name of your own.")
    sets: dict[Slug, ContrastiveSetSettings] = Field({}, description="The contrastive sets, by a name of your own.")
    protocol: Protocol = Field(Protocol(), description="How an image is resized and cut (paper 6.1).")
    device: str = Field("cpu", description="Where the segmenters run: cpu, cuda, cuda:1, ...")
    features: Literal["temporary", "kept"] = Field(
        "temporary", description="Encoded images on disk: removed after the last cell that needs them, or kept."
    )
    precision: Literal["float32", "float16"] = Field(
        "float32", description="Numbers of the encoded images on disk; float16 halves them and rounds."
    )
    draws: int = Field(1000, ge=1, description="Image bootstraps behind each 95 % interval.")
    differences: list[tuple[str, str]] = Field(
        [
            ("CC_D", "BG"),
            ("CC_D", "none"),
            ("CC_D", "random"),
            ("CC_D", "no filtering"),
            ("CC_D", "CC_L"),
            ("image oracle", "CC_D"),
        ],
        description="Pairs of table columns whose paired difference is reported with its interval.",
    )
    figures: FigureSettings = Field(FigureSettings(), description="Pictures of single queries.")
    sweeps: list[SweepSettings] = Field([], description="Studies of one threshold (paper 6.2.1).")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, segmenter in self.segmenters.items():
            _known(f"segmenters.{name}.backbones", segmenter.backbones, self.backbones)
        _known("figures.sets", self.figures.sets, self.sets)
        for name, chosen in self.sets.items():
            _known(f"sets.{name}.datasets", chosen.datasets or [], self.datasets)
            if isinstance(chosen, RandomSet):
                _known(f"sets.{name}.like", [chosen.like], self.sets)
                if isinstance(self.sets[chosen.like], RandomSet):
                    raise ValueError(f"benchmark.sets.{name}.like: found the random set {chosen.like!r}")
            if isinstance(chosen, DictionarySet) and chosen.folder is not None and not chosen.is_published:
                raise ValueError(f"benchmark.sets.{name}: found a selection beside folder, expected the folder alone")
            if isinstance(chosen, CcTextSet):
                _known(f"sets.{name}.files", list(chosen.files), self.datasets)
        for number, sweep in enumerate(self.sweeps):
            key = f"sweeps.{number}"
            _known(f"{key}.set", [sweep.set], self.sets)
            _known(f"{key}.dataset", [sweep.dataset], self.datasets)
            _known(f"{key}.segmenters", sweep.segmenters or [], self.segmenters)
            mined = self.sets[sweep.set]
            if sweep.threshold != "beta" and not (isinstance(mined, DictionarySet) and mined.folder is None):
                raise ValueError(
                    f"benchmark.{key}.set: found {sweep.set!r}, expected a set of this run's dictionary for a sweep "
                    f"over {sweep.threshold}"
                )
        return self

    def cells(self) -> Iterator[Cell]:
        """Every cell of the cross product that exists, those of data sets that serve sweeps alone left out."""
        for segmenter, settings in self.segmenters.items():
            for backbone in settings.backbones:
                for dataset, data in self.datasets.items():
                    for name in self.sets if data.tables else ():
                        if self.exists(segmenter, dataset, name):
                            yield Cell(segmenter, backbone, dataset, name)

    def exists(self, segmenter: str, dataset: str, name: str) -> bool:
        """A set may be meant for some data sets; own background handling needs a segmenter that has it."""
        chosen = self.sets[name]
        if dataset not in (self.datasets if chosen.datasets is None else chosen.datasets):
            return False
        if isinstance(chosen, CcTextSet) and dataset not in chosen.files:
            return False
        if isinstance(chosen, RandomSet) and not self.exists(segmenter, dataset, chosen.like):
            return False
        return not chosen.original or self.segmenters[segmenter].method in OWN_BACKGROUND

    def sweep_points(self) -> Iterator[SweepPoint]:
        for sweep in self.sweeps:
            for segmenter in sweep.segmenters or self.segmenters:
                if self.exists(segmenter, sweep.dataset, sweep.set):
                    for backbone in self.segmenters[segmenter].backbones:
                        for value in sweep.values:
                            yield SweepPoint(sweep.threshold, value, segmenter, backbone, sweep.dataset, sweep.set)

    def column(self, name: str) -> str:
        """The column of the tables that a set fills; its own name where the paper has none."""
        chosen = self.sets[name]
        return chosen.column or chosen.default_column or name

    def metrics(self, name: str) -> list[str]:
        """With all classes as queries an oracle adds nothing: it has no mIoU of its own."""
        single = isinstance(self.sets[name], OracleSet | ImageOracleSet)
        return ["IoU-single"] if single else ["IoU-single", "mIoU"]


def _known(key: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"benchmark.{key}: found {name!r}, expected one of {', '.join(known) or 'none defined'}")
