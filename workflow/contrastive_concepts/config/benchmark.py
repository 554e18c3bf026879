"""Settings of `snakemake benchmark`: the cross product of its parts, and which of its cells exist."""

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings, Slug
from contrastive_concepts.config.contrastive_sets import (
    BoostedBackgroundSet,
    CcTextSet,
    ContrastiveSetSettings,
    DictionarySet,
    ImageOracleSet,
    LikeSet,
    NamesSet,
    NoneSet,
    OracleSet,
    RandomSet,
    VocabularySet,
)
from contrastive_concepts.config.evaluation import (
    WITHOUT_BACKGROUND,
    AbsentSettings,
    BackboneSettings,
    DatasetSettings,
    Protocol,
    SegmenterSettings,
    SweepSettings,
)
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.errors import UserError


class Cell(NamedTuple):
    """One experiment: the names of its segmenter, backbone, data set and contrastive set."""

    segmenter: str
    backbone: str
    dataset: str
    set: str

    @property
    def experiment(self) -> str:
        """The name of the experiment on its data set: that of the contrastive set."""
        return self.set


class SweepPoint(NamedTuple):
    """A cell with one value of one threshold."""

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
        """The metric of this point: mIoU for beta, which acts only on several queries, else IoU-single."""
        return "mIoU" if self.threshold == "beta" else "IoU-single"

    @property
    def experiment(self) -> str:
        """The name of the experiment on its data set, such as `gamma~0.01/ccd`."""
        return f"{self.threshold}~{self.value}/{self.set}"

    @property
    def set_name(self) -> str:
        """The name of its contrastive set in the file of all sets of the data set."""
        return self.set if self.threshold == "beta" else self.experiment


class Picture(NamedTuple):
    """A figure of one segmenter with one backbone on one data set."""

    figure: str
    segmenter: str
    backbone: str
    dataset: str


class FigureSettings(Settings):
    """Single queries with several contrastive sets (Figures 3, 4, 6), by segmenter, backbone and data set."""

    sets: list[Slug] = Field(min_length=1, description="Contrastive sets to show next to each other.")
    maps: list[Slug] | None = Field(
        None,
        description="Sets for which the full map of all contrastive concepts is also shown; null: the last of `sets`.",
    )
    rows: int = Field(8, ge=1, description="Number of queries shown: the first suitable ones in the data set's order.")
    examples: list[tuple[str, str]] = Field(
        [], description="Pairs of an image's name and a class in this image, instead of `rows`."
    )
    segmenters: list[Slug] | None = Field(None, description="Only these segmenters; null: all.")
    datasets: list[Slug] | None = Field(None, description="Only these data sets; null: all that are in the tables.")


class BenchmarkSettings(Settings):
    """Segmenter x backbone x data set x contrastive set. If these are empty, nothing is benchmarked."""

    segmenters: dict[Slug, SegmenterSettings] = Field(
        {}, description="The segmenters, each under a name of your choice."
    )
    backbones: dict[Slug, BackboneSettings] = Field(
        {}, description="The CLIP models, each under a name of your choice."
    )
    datasets: dict[Slug, DatasetSettings] = Field({}, description="The data sets, each under a name of your choice.")
    sets: dict[Slug, ContrastiveSetSettings] = Field(
        {}, description="The contrastive sets, each under a name of your choice."
    )
    protocol: Protocol = Field(Protocol(), description="How images are resized and cut into windows (paper 6.1).")
    device: str = Field("cpu", description="Device of the segmenters: cpu, cuda, cuda:1, ...")
    features: Literal["none", "kept"] = Field(
        "none",
        description="none: encoded images are scored and forgotten. kept: they stay on disk, so that a further set "
        "costs no encoding.",
    )
    precision: Literal["float32", "float16"] = Field(
        "float32", description="Number type of kept encoded images; float16 needs half the space and rounds."
    )
    draws: int = Field(1000, ge=1, description="Bootstrap resamples of the images for each 95 % interval.")
    differences: list[tuple[str, str]] = Field(
        [
            ("CC_D", "BG"),
            ("CC_D", "none"),
            ("CC_D", "random"),
            ("CC_D", "no filtering"),
            ("CC_D", "CC_L"),
            ("image oracle", "CC_D"),
        ],
        description="Pairs of table columns. Their paired difference is reported with its 95 % interval.",
    )
    figures: dict[Slug, FigureSettings] = Field(
        {}, description="Pictures of single queries, each under a name of your choice."
    )
    listings: dict[Slug, Slug] = Field(
        {}, description="Data set -> contrastive set. The set's concepts are listed for each class (Table 8)."
    )
    sweeps: list[SweepSettings] = Field([], description="Studies of one threshold (paper 6.2.1).")
    absent: AbsentSettings | None = Field(
        None, description="Queries for classes that an image does not show; null: they are not asked."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, segmenter in self.segmenters.items():
            _known(f"segmenters.{name}.backbones", segmenter.backbones, self.backbones)
            _fits(f"benchmark.segmenters.{name}", segmenter)
            if segmenter.enabled and segmenter.protocol == "original":
                for dataset, data in self.datasets.items():
                    if data.kind not in segmenter.of_method.own:
                        raise ValueError(
                            f"benchmark.segmenters.{name}.protocol: found 'original' with the data set {dataset} of "
                            f"kind {data.kind}, expected one of {', '.join(segmenter.of_method.own)}"
                        )
        for name, figure in self.figures.items():
            _known(f"figures.{name}.sets", figure.sets, self.sets)
            _known(f"figures.{name}.maps", figure.maps or [], figure.sets)
            _known(f"figures.{name}.segmenters", figure.segmenters or [], self.segmenters)
            _known(f"figures.{name}.datasets", figure.datasets or [], self.datasets)
        _known("listings", list(self.listings), self.datasets)
        for dataset, name in self.listings.items():
            _known(f"listings.{dataset}", [name], self.sets)
            if not self.sets[name].enabled:
                raise ValueError(f"benchmark.listings.{dataset}: found {name!r}, which is not enabled")
        for name, set_settings in self.sets.items():
            _known(f"sets.{name}.datasets", set_settings.datasets or [], self.datasets)
            _known(f"sets.{name}.segmenters", set_settings.segmenters or [], self.segmenters)
            if isinstance(set_settings, LikeSet):
                _known(f"sets.{name}.like", [set_settings.like], self.sets)
                like = self.sets[set_settings.like]
                if isinstance(like, LikeSet | NamesSet):
                    raise ValueError(f"benchmark.sets.{name}.like: found the {like.kind} set {set_settings.like!r}")
                by_frequency = isinstance(set_settings, RandomSet) and set_settings.match == "frequency"
                if by_frequency and not isinstance(like, DictionarySet):
                    raise ValueError(
                        f"benchmark.sets.{name}.like: found the {like.kind} set {set_settings.like!r}, expected a "
                        "dictionary for match: frequency"
                    )
            if isinstance(set_settings, BoostedBackgroundSet):
                for run in self.running(set_settings.segmenters):
                    if set_settings.enabled and self.segmenters[run].options.get("minmax"):
                        raise ValueError(
                            f"benchmark.sets.{name}.segmenters: found {run!r}, whose option minmax undoes a boost, "
                            "expected the others"
                        )
            if (
                isinstance(set_settings, DictionarySet)
                and set_settings.folder is not None
                and not set_settings.is_published
            ):
                raise ValueError(f"benchmark.sets.{name}: found a selection beside folder, expected the folder alone")
            _known(f"sets.{name}.synonyms", list(set_settings.synonyms), self.datasets)
            if isinstance(set_settings, CcTextSet | NamesSet):
                _known(f"sets.{name}.files", list(set_settings.files), self.datasets)
        for number, sweep in enumerate(self.sweeps):
            key = f"sweeps.{number}"
            _known(f"{key}.set", [sweep.set], self.sets)
            _known(f"{key}.dataset", [sweep.dataset], self.datasets)
            _known(f"{key}.segmenters", sweep.segmenters or [], self.segmenters)
            swept = self.sets[sweep.set]
            mined = isinstance(swept, DictionarySet) and swept.folder is None
            fits = {
                "gamma": ("a set of this run's dictionary", mined),
                "delta": ("a set of this run's dictionary or vocabulary", mined or isinstance(swept, VocabularySet)),
                "boost": ("a set of kind boosted_background", isinstance(swept, BoostedBackgroundSet)),
                "beta": ("any set", True),
            }
            expected, fitting = fits[sweep.threshold]
            if not fitting:
                raise ValueError(
                    f"benchmark.{key}.set: found {sweep.set!r}, expected {expected} for a sweep over {sweep.threshold}"
                )
            for value in sweep.values:
                if sweep.threshold != "boost" and not 0 <= value <= 1:
                    raise ValueError(
                        f"benchmark.{key}.values: found {value}, expected 0 to 1 for a sweep over {sweep.threshold}"
                    )
        return self

    @property
    def asked_absent(self) -> AbsentSettings | None:
        """The settings of the absent queries if they are asked."""
        return self.absent if self.absent is not None and self.absent.enabled else None

    def running(self, chosen: Sequence[str] | None = None) -> list[str]:
        """Names of the segmenters that are run, of those chosen or of all."""
        return [name for name in chosen or self.segmenters if self.segmenters[name].enabled]

    def cells(self) -> Iterator[Cell]:
        """Yield every existing cell of the cross product, without data sets that are used in sweeps only."""
        for segmenter in self.running():
            for backbone in self.segmenters[segmenter].backbones:
                for dataset, data in self.datasets.items():
                    for name in self.sets if data.tables else ():
                        if self.exists(segmenter, dataset, name):
                            yield Cell(segmenter, backbone, dataset, name)

    def encodings(self) -> list[tuple[str, str, str]]:
        """The distinct (segmenter, backbone, data set) for which images are encoded, for cells and sweeps."""
        parts = [*(cell[:3] for cell in self.cells()), *(point.cell[:3] for point in self.sweep_points())]
        return list(dict.fromkeys(parts))

    def set_names(self, dataset: str) -> dict[str, dict[str, float]]:
        """The contrastive sets that a data set needs: name -> (threshold -> value) that differs from the set's own.

        Those of a sweep come under the names of `SweepPoint.set_name`. The set that another one is like is among them.
        """
        names = {cell.set for cell in self.cells() if cell.dataset == dataset}
        names |= {self.listings[dataset]} if dataset in self.listings else set()
        points = [point for point in self.sweep_points() if point.dataset == dataset]
        names |= {point.set for point in points if point.threshold == "beta"}
        names |= {each.like for name in names if isinstance(each := self.sets[name], LikeSet)}
        swept = {point.set_name: {point.threshold: point.value} for point in points if point.threshold != "beta"}
        return {**{name: {} for name in self.sets if name in names}, **swept}

    def experiments(
        self, segmenter: str, backbone: str, dataset: str
    ) -> list[tuple[str, str, list[str], float | None]]:
        """All experiments of one encoding: name, contrastive set, metrics, beta (None: that of the selection)."""
        own = (segmenter, backbone, dataset)
        found: dict[str, tuple[str, str, list[str], float | None]] = {}
        for cell in self.cells():
            if cell[:3] == own:
                found[cell.set] = (cell.set, cell.set, self.metrics(cell.set, segmenter, dataset), None)
        for point in self.sweep_points():
            if point.cell[:3] == own:
                beta = point.value if point.threshold == "beta" else None
                found[point.experiment] = (point.experiment, point.set_name, [point.metric], beta)
        return list(found.values())

    def exists(self, segmenter: str, dataset: str, name: str) -> bool:
        """Whether a cell exists: a set can be switched off or limited to some data sets and segmenters."""
        set_settings = self.sets[name]
        if not set_settings.enabled:
            return False
        if segmenter not in (self.segmenters if set_settings.segmenters is None else set_settings.segmenters):
            return False
        if dataset not in (self.datasets if set_settings.datasets is None else set_settings.datasets):
            return False
        if isinstance(set_settings, CcTextSet | NamesSet) and dataset not in set_settings.files:
            return False
        if isinstance(set_settings, LikeSet) and not self.exists(segmenter, dataset, set_settings.like):
            return False
        return not set_settings.original or self.segmenters[segmenter].of_method.background is not None

    def sweep_points(self) -> Iterator[SweepPoint]:
        for sweep in self.sweeps:
            for segmenter in self.running(sweep.segmenters):
                if self.exists(segmenter, sweep.dataset, sweep.set):
                    for backbone in self.segmenters[segmenter].backbones:
                        for value in sweep.values:
                            yield SweepPoint(sweep.threshold, value, segmenter, backbone, sweep.dataset, sweep.set)

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture for which at least one of the figure's sets has a cell."""
        for name, figure in self.figures.items():
            for segmenter in self.running(figure.segmenters):
                for backbone in self.segmenters[segmenter].backbones:
                    for dataset in figure.datasets or [name for name, data in self.datasets.items() if data.tables]:
                        if self.shown_sets(name, segmenter, dataset):
                            yield Picture(name, segmenter, backbone, dataset)

    def shown_sets(self, figure: str, segmenter: str, dataset: str) -> list[str]:
        """The figure's sets that have a cell with IoU-single."""
        if not self.datasets[dataset].tables:
            return []
        shown = (name for name in self.figures[figure].sets if self.exists(segmenter, dataset, name))
        return [name for name in shown if "IoU-single" in self.metrics(name, segmenter, dataset)]

    def column(self, name: str) -> str:
        """The column of a set in the tables: as configured, or the paper's name, or the set's own name."""
        set_settings = self.sets[name]
        named = None if set_settings.synonyms else set_settings.default_column
        return set_settings.column or named or name

    def metrics(self, name: str, segmenter: str | None = None, dataset: str | None = None) -> list[str]:
        """The metrics of a set, for one segmenter and data set or for any.

        An oracle has no mIoU: with all classes as queries it adds no text. Some methods without contrastive concepts,
        but with their own background handling, have no IoU-single, as GEM in the paper (Table 7): their background is
        where every text is improbable, and a query alone has probability 1 everywhere. A file of names has no
        contrastive concept if the data set has no background class."""
        set_settings = self.sets[name]
        second = segmenter is not None and self.segmenters[segmenter].of_method.needs_second_text
        if second and isinstance(set_settings, NoneSet) and set_settings.original:
            return ["mIoU"]
        if isinstance(set_settings, NamesSet) and dataset and self.datasets[dataset].kind in WITHOUT_BACKGROUND:
            return ["mIoU"]
        single = isinstance(set_settings, OracleSet | ImageOracleSet)
        return ["IoU-single"] if single else ["IoU-single", "mIoU"]

    def left_out(self) -> list[str]:
        """One line for each configured segmenter and set that have no IoU-single."""
        pairs = dict.fromkeys((cell.segmenter, cell.set) for cell in self.cells())
        lines = [
            f"benchmark: {segmenter} with {name}: no IoU-single, its own background handling needs a second text"
            for segmenter, name in pairs
            if "IoU-single" not in self.metrics(name, segmenter)
        ]
        names = dict.fromkeys(
            (cell.set, cell.dataset) for cell in self.cells() if isinstance(self.sets[cell.set], NamesSet)
        )
        return lines + [
            f"benchmark: {name} on {dataset}: no IoU-single, the data set has no background class to name"
            for name, dataset in names
            if "IoU-single" not in self.metrics(name, dataset=dataset)
        ]


def _known(key: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"benchmark.{key}: found {name!r}, expected one of {', '.join(known) or 'none defined'}")


def _fits(key: str, segmenter: SegmenterSettings) -> None:
    """Raises ValueError if the settings do not fit the method."""
    method = segmenter.of_method
    try:
        method.checked(f"{key}.options", segmenter.options)
    except UserError as error:
        raise ValueError(str(error).replace("\n", "\nconfig: ")) from None
    if method.image_model != (segmenter.image_model is not None):
        found, expected = ("none", "a second image model") if method.image_model else ("one", "none")
        raise ValueError(f"{key}.image_model: found {found}, expected {expected} for {segmenter.method}")
    if segmenter.checkpoint is not None and not method.heads:
        raise ValueError(f"{key}.checkpoint: found {segmenter.checkpoint!r}, expected none for {segmenter.method}")
    if segmenter.protocol == "original" and not method.own:
        known = ", ".join(name for name, each in METHODS.items() if each.own)
        raise ValueError(
            f"{key}.protocol: found 'original' for {segmenter.method}, expected benchmark; the authors' is known for "
            f"{known}"
        )
