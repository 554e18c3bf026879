"""Checks before any job runs that the files of a benchmark exist."""

from collections.abc import Iterator
from pathlib import Path

from contrastive_concepts.captions.corpus import data_path
from contrastive_concepts.config.contrastive_sets import BackgroundWordsSet, CcTextSet, DictionarySet, NamesSet
from contrastive_concepts.config.evaluation import FolderDataset
from contrastive_concepts.config.run import RunSettings
from contrastive_concepts.dictionary.class_names import Separator, read_class_names
from contrastive_concepts.errors import UserError
from contrastive_concepts.text_files import read_lines


def class_list(settings: RunSettings, dataset: FolderDataset, official: Path) -> str:
    """The file of class names. official: the folder of the lists that are included in the project."""
    return str(official / f"{dataset.kind}.txt") if dataset.classes is None else data_path(settings, dataset.classes)


def check_benchmark(settings: RunSettings, official: Path) -> None:
    """Raises UserError with one line for each key whose file or folder is missing."""
    missing = [
        f"config: benchmark.{key}: no {what} {path!r} (data_dir is {settings.data_dir!r})"
        for key, what, path in _wanted(settings, official)
        if not (Path(path).is_dir() if what == "folder" else Path(path).is_file())
    ]
    missing += [
        f"config: benchmark.segmenters.{name}.checkpoint: missing, expected the official file of trained heads"
        for name, segmenter in settings.benchmark.segmenters.items()
        if segmenter.enabled and segmenter.of_method.heads and segmenter.checkpoint is None
    ]
    if missing:
        raise UserError("\n".join(missing))
    for key, dataset, path, separator in _name_files(settings):
        data = settings.benchmark.datasets[dataset]
        if isinstance(data, FolderDataset):
            lines = read_class_names(path, separator)
            classes = read_lines(class_list(settings, data, official), "a list of classes, one a line")
            if len(lines) != len(classes):
                raise UserError(
                    f"config: benchmark.{key}: {path}: found {len(lines)} lines, expected {len(classes)}, one a class"
                )


def _name_files(settings: RunSettings) -> Iterator[tuple[str, str, str, Separator]]:
    """Key, data set, path and separator of each class-name file."""
    for name, each in settings.benchmark.sets.items():
        if not each.enabled:
            continue
        files = {"synonyms": each.synonyms, "files": each.files if isinstance(each, NamesSet) else {}}
        for key, of_key in files.items():
            for dataset, path in of_key.items():
                yield f"sets.{name}.{key}.{dataset}", dataset, data_path(settings, path), each.separator


def _wanted(settings: RunSettings, official: Path) -> Iterator[tuple[str, str, str]]:
    """Key, "file" or "folder", and path of each input."""
    benchmark = settings.benchmark
    for name, dataset in benchmark.datasets.items():
        if isinstance(dataset, FolderDataset):
            yield f"datasets.{name}.root", "folder", data_path(settings, dataset.root)
            yield f"datasets.{name}.classes", "file", class_list(settings, dataset, official)
    for name in benchmark.running():
        segmenter = benchmark.segmenters[name]
        if segmenter.checkpoint is not None:
            yield f"segmenters.{name}.checkpoint", "file", data_path(settings, segmenter.checkpoint)
        if segmenter.image_model is not None and isinstance(segmenter.image_model.pretrained, str):
            yield (
                f"segmenters.{name}.image_model.pretrained",
                "file",
                data_path(settings, segmenter.image_model.pretrained),
            )
    for name, backbone in benchmark.backbones.items():
        if backbone.model.startswith("local-dir:"):
            yield f"backbones.{name}.model", "folder", backbone.model.removeprefix("local-dir:")
        if backbone.pretrained is not None and ("/" in backbone.pretrained or Path(backbone.pretrained).suffix):
            yield f"backbones.{name}.pretrained", "file", backbone.pretrained
    for name, set_settings in benchmark.sets.items():
        if not set_settings.enabled:
            continue
        for dataset_name, path in set_settings.synonyms.items():
            yield f"sets.{name}.synonyms.{dataset_name}", "file", data_path(settings, path)
        if isinstance(set_settings, CcTextSet | NamesSet):
            for dataset_name, path in set_settings.files.items():
                yield f"sets.{name}.files.{dataset_name}", "file", data_path(settings, path)
        if isinstance(set_settings, BackgroundWordsSet) and set_settings.path is not None:
            yield f"sets.{name}.path", "file", data_path(settings, set_settings.path)
        if isinstance(set_settings, DictionarySet) and set_settings.folder is not None:
            yield f"sets.{name}.folder", "file", f"{data_path(settings, set_settings.folder)}/manifest.json"
