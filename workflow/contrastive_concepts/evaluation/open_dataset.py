"""A data set as the configuration names it."""

import random
from dataclasses import replace
from pathlib import Path

from contrastive_concepts.config.evaluation import DatasetSettings, ToyDataset
from contrastive_concepts.evaluation.datasets import CLASSES, Dataset
from contrastive_concepts.evaluation.description import DatasetDescription
from contrastive_concepts.text_files import read_lines


def describe(dataset: Dataset) -> DatasetDescription:
    return DatasetDescription(
        kind=dataset.kind, classes=list(dataset.classes), queries=dataset.queries, images=list(dataset.names)
    )


def open_configured(settings: DatasetSettings, root: Path, class_list: Path) -> Dataset:
    """The data set below `root`, its images drawn at random where the settings ask for some of them."""
    if isinstance(settings, ToyDataset):
        return Dataset("voc", root, read_lines(root / "classes.txt", CLASSES))
    dataset = Dataset(settings.kind, root, read_lines(class_list, CLASSES), settings.split)
    if settings.images is None or settings.images >= len(dataset):
        return dataset
    drawn = random.Random(settings.seed).sample(range(len(dataset)), settings.images)
    return replace(dataset, names=tuple(dataset.names[index] for index in sorted(drawn)))
