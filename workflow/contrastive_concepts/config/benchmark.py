"""Settings of `snakemake benchmark`: the cross product that is run, and which of its cells exist."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.contrastive_sets import (
    CcTextSet,
    ContrastiveSetSettings,
    DictionarySet,
    ImageOracleSet,
    NoneSet,
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


class Picture(NamedTuple):
    """A figure of one segmenter on one data set."""

    figure: str
    segmenter: str
    backbone: str
    dataset: str


class FigureSettings(Settings):
    """Single queries under some contrastive sets (Figures 3, 4 and 6): a picture a segmenter, backbone and data set."""

    sets: list[Slug] = Field(min_length=1, description="Contrastive sets side by side.")
    maps: list[Slug] | None = Field(
        None, description="Sets whose full map, with all contrastive concepts, is shown too; null: the last of `sets`."
    )
    rows: int = Field(8, ge=1, description="Queries shown, the first that fit in the data set's order.")
    examples: list[tuple[str, str]] = Field(
        [], description="Pairs of an image's name and a class that it shows, in place of `rows`."
    )
    segmenters: list[Slug] | None = Field(None, description="Only these segmenters; null: all.")
    datasets: list[Slug] | None = Field(None, description="Only these data sets; null: all that are in the tables.")


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
    figures: dict[Slug, FigureSettings] = Field({}, description="Pictures of single queries, by a name of your own.")
    listings: dict[Slug, Slug] = Field(
        {}, description="Data set -> contrastive set whose concepts are listed class by class (Table 8)."
    )
    sweeps: list[SweepSettings] = Field([], description="Studies of one threshold (paper 6.2.1).")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, segmenter in self.segmenters.items():
            _known(f"segmenters.{name}.backbones", segmenter.backbones, self.backbones)
        for name, figure in self.figures.items():
            _known(f"figures.{name}.sets", figure.sets, self.sets)
            _known(f"figures.{name}.maps", figure.maps or [], figure.sets)
            _known(f"figures.{name}.segmenters", figure.segmenters or [], self.segmenters)
            _known(f"figures.{name}.datasets", figure.datasets or [], self.datasets)
        _known("listings", list(self.listings), self.datasets)
        for dataset, name in self.listings.items():
            _known(f"listings.{dataset}", [name], self.sets)
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

    def encodings(self) -> list[tuple[str, str, str]]:
        """Segmenter, backbone and data set of everything that is encoded for the cells and the sweeps, each once."""
        parts = [*(cell[:3] for cell in self.cells()), *(point.cell[:3] for point in self.sweep_points())]
        return list(dict.fromkeys(parts))

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

    def pictures(self) -> Iterator[Picture]:
        """Every picture: a figure's sets must exist for the segmenter and the data set, others are left out of it."""
        for name, figure in self.figures.items():
            for segmenter in figure.segmenters or self.segmenters:
                for backbone in self.segmenters[segmenter].backbones:
                    for dataset in figure.datasets or [name for name, data in self.datasets.items() if data.tables]:
                        if self.shown_sets(name, segmenter, dataset):
                            yield Picture(name, segmenter, backbone, dataset)

    def shown_sets(self, figure: str, segmenter: str, dataset: str) -> list[str]:
        """The figure's sets that have a cell."""
        if not self.datasets[dataset].tables:
            return []
        shown = (name for name in self.figures[figure].sets if self.exists(segmenter, dataset, name))
        return [name for name in shown if "IoU-single" in self.metrics(name, segmenter)]

    def column(self, name: str) -> str:
        """The column of the tables that a set fills; its own name where the paper has none."""
        chosen = self.sets[name]
        return chosen.column or chosen.default_column or name

    def metrics(self, name: str, segmenter: str | None = None) -> list[str]:
        """What a set is scored by, for one segmenter or for any.

        With all classes as queries an oracle adds nothing: it has no mIoU of its own. GEM's own background is where no
        text is probable, and a query alone has probability 1 everywhere: no IoU-single, as in the paper (Table 7)."""
        chosen = self.sets[name]
        is_gem = segmenter is not None and self.segmenters[segmenter].method == "gem"
        if is_gem and isinstance(chosen, NoneSet) and chosen.original:
            return ["mIoU"]
        single = isinstance(chosen, OracleSet | ImageOracleSet)
        return ["IoU-single"] if single else ["IoU-single", "mIoU"]

    def left_out(self) -> list[str]:
        """A line for each segmenter and set that are asked for and have no IoU-single."""
        pairs = dict.fromkeys((cell.segmenter, cell.set) for cell in self.cells())
        return [
            f"benchmark: {segmenter} with {name}: no IoU-single, its own background handling needs a second text"
            for segmenter, name in pairs
            if "IoU-single" not in self.metrics(name, segmenter)
        ]


def _known(key: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"benchmark.{key}: found {name!r}, expected one of {', '.join(known) or 'none defined'}")
