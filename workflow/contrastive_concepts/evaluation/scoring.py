"""Scores one encoded image under all experiments at once: IoU-single and classic mIoU (paper 3.6, 4.1)."""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.config.selection import BETA
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.absent import AbsentQueries
from contrastive_concepts.evaluation.classic import ClassicQuery, classic_query, classic_texts
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.datasets import Sample
from contrastive_concepts.evaluation.features import EncodedSample, encode_samples
from contrastive_concepts.evaluation.metrics import IGNORED, Counts
from contrastive_concepts.evaluation.presence import SHOWN
from contrastive_concepts.evaluation.protocol import best_margins, label_map, label_maps, similarities
from contrastive_concepts.evaluation.single import (
    SingleQuery,
    SingleScores,
    boosts_of,
    labels_in,
    present_names,
    shown_classes,
    single_query,
    single_texts,
)
from contrastive_concepts.evaluation.texts import Embed, TextRows, embed_once
from contrastive_concepts.segmenters.segmenter import Segmenter

GPU_SCORES = 1 << 28
"""Scores of pixels in a GPU's memory at once: 1 GB, and a few times as much on the way."""
GPU_AHEAD = 16
"""Images that a GPU is given before the numbers of the first are read: with fewer, it waits for the host."""


class _Map(NamedTuple):
    """A set of texts. classes: with the segmenter's own background handling, the class of each text; else None.

    boost: added to the cosine of "background"."""

    texts: tuple[str, ...]
    classes: tuple[int, ...] | None
    boost: float


@lru_cache(maxsize=4096)
def boosted(texts: tuple[str, ...], boost: float) -> tuple[tuple[str, float], ...]:
    """Each text with the number that is added to its cosine: "background" with a boost is a text of its own."""
    return tuple(zip(texts, boosts_of(texts, boost), strict=True))


@dataclass(frozen=True)
class Experiment:
    """A contrastive set, the metrics to compute with it, and the threshold of the union (paper 3.6)."""

    name: str
    contrastive_set: ContrastiveSet
    metrics: tuple[str, ...] = ("IoU-single", "mIoU")
    beta: float = BETA

    @property
    def fingerprint(self) -> str:
        """Hash of all that decides its scores, beside the images, the segmenter and the embeddings of the texts."""
        content = json.dumps(asdict(self), ensure_ascii=True, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class Tally(NamedTuple):
    """One query of one image. pixels: int64 [T, 3], for each text the ignored pixels it took, those of other classes,
    and those of the queried class."""

    experiment: Experiment
    label: int
    query: str
    asked: SingleQuery
    pixels: Counts
    none: int
    """Pixels, without ignored ones, of the queried class that no text took."""


class Answer(NamedTuple):
    """One single query of an image, shown or absent, by the columns of `PRESENCE` after the image's name."""

    experiment: Experiment
    absent: str
    label: int
    claimed: int
    pixels: int
    margin: float


class ImageScores(NamedTuple):
    """One image: a tally for each experiment and query, and for each experiment with mIoU the pixels of each class,
    int64 [3, C]: in both, predicted, labelled. answers: of shown and absent queries, if a scorer asks absent ones."""

    tallies: list[Tally]
    confusions: list[tuple[Experiment, Counts]]
    answers: list[Answer]


Asked = tuple[Experiment, int, SingleQuery]
"""A single query: its experiment, its label and its texts."""


class Scorer:
    """Scores images under several experiments.

    All texts of an image are compared with it in one product, and queries with the same texts are segmented once. The
    maps stay on the segmenter's device: only numbers of pixels leave it, once an image."""

    def __init__(
        self,
        segmenter: Segmenter,
        classes: Sequence[str],
        queries: Sequence[int],
        experiments: Sequence[Experiment],
        texts: TextRows,
        device: str | torch.device = "cpu",
        absent: AbsentQueries | None = None,
    ) -> None:
        """absent: chooses queries for classes that an image does not show; None: they are not asked."""
        self._segmenter, self._classes, self._queries = segmenter, classes, queries
        self._absent = absent
        self._experiments, self._row = experiments, texts.row
        self._vectors = torch.from_numpy(texts.matrix).to(device)
        self._device = device
        self._scores_at_once, self._ahead = (0, 0) if torch.device(device).type == "cpu" else (GPU_SCORES, GPU_AHEAD)
        self._classic: list[tuple[Experiment, ClassicQuery, Tensor]] = []
        for each in experiments:
            if "mIoU" in each.metrics:
                query = classic_query(segmenter, classes, queries, each.contrastive_set, texts, each.beta)
                self._classic.append((each, query, torch.from_numpy(query.classes).to(device)))

    @property
    def asks_absent(self) -> bool:
        return self._absent is not None

    def score_all(self, samples: Iterable[EncodedSample]) -> Iterator[tuple[EncodedSample, ImageScores]]:
        """Score images in order. A GPU works at several images before the numbers of the first are read."""
        pending: deque[_Pending] = deque()
        for sample in samples:
            pending.append(self._start(sample))
            if len(pending) > self._ahead:
                yield self._finish(pending.popleft())
        while pending:
            yield self._finish(pending.popleft())

    @torch.inference_mode()
    def _start(self, sample: EncodedSample) -> "_Pending":
        found = labels_in(sample.labels)
        shown, present = shown_classes(found, self._queries), present_names(found, self._classes)
        absent = [] if self._absent is None else self._absent.choose(sample.name, shown)
        asked = self._asked(shown, present)
        asked_absent = self._asked(dict.fromkeys(label for _, label in absent), present)
        texts = _texts([*(_classic_map(query) for _, query, _ in self._classic), *_single_maps(asked)])
        if not texts:
            return _Pending(sample, asked, absent, asked_absent, {})
        columns = {text: column for column, text in enumerate(texts)}
        compared = self._compared(sample, texts)
        labels = torch.from_numpy(sample.labels)
        if compared.is_cuda:
            labels = labels.pin_memory().to(self._device, non_blocking=True)
        # Sets with the same texts share a map, but their texts can belong to different classes.
        classes: dict[_Map, dict[tuple[int, ...], Tensor]] = {}
        for _, query, class_of in self._classic:
            classes.setdefault(_classic_map(query), {})[query.of_text] = class_of
        counted = self._count(sample, labels, compared, columns, asked, classes)
        if self.asks_absent:
            # Apart from the metrics, whose last digits would change with the number of texts and maps computed at once.
            more = [text for text in _texts(_single_maps(asked_absent)) if text not in columns]
            if more:
                columns |= {text: len(columns) + number for number, text in enumerate(more)}
                compared = torch.cat([compared, self._compared(sample, more)], dim=1)
            counted |= self._count(sample, labels, compared, columns, asked_absent, {})
            counted |= self._margins(sample, compared, columns, [a for *_, a in (*asked, *asked_absent)])
        return _Pending(sample, asked, absent, asked_absent, counted)

    def _asked(self, labels: Iterable[int], present: Sequence[str]) -> list[Asked]:
        return [
            (each, label, single_query(self._segmenter, each.contrastive_set, self._classes[label], present))
            for each in self._experiments
            if "IoU-single" in each.metrics
            for label in labels
        ]

    def _compared(self, sample: EncodedSample, texts: Sequence[tuple[str, float]]) -> Tensor:
        rows = torch.tensor([self._row[text] for text, _ in texts]).to(self._device, non_blocking=True)
        return similarities(self._segmenter, sample.encoded, self._vectors[rows], [boost for _, boost in texts])

    def _count(
        self,
        sample: EncodedSample,
        labels: Tensor,
        compared: Tensor,
        columns: dict[tuple[str, float], int],
        asked: Sequence[Asked],
        classes: dict[_Map, dict[tuple[int, ...], Tensor]],
    ) -> dict[tuple[object, ...], Tensor]:
        """Numbers of pixels of single queries and of the classes of each classic map."""
        wanted: dict[_Map, list[int]] = {}
        for each, label, of_query in asked:
            of_map = wanted.setdefault(_single_map(each, of_query), [])
            if label not in of_map:
                of_map.append(label)
        counted: dict[tuple[object, ...], Tensor] = {}
        row_of = {label: row for row, label in enumerate({label: None for _, label, _ in asked})}
        kinds = _kinds(labels, list(row_of)) if row_of else labels
        for keys, maps in self._maps(sample, compared, columns, list(dict.fromkeys([*wanted, *classes]))):
            queries = [(row, label, key) for row, key in enumerate(keys) for label in wanted.get(key, ())]
            if queries:
                texts_of_each = len(keys[0].texts) + self._added(keys[0])
                rows_of = [row for row, *_ in queries]
                asked_maps = maps if rows_of == list(range(len(maps))) else maps[rows_of]
                pixels = _by_kind(asked_maps, kinds, [row_of[label] for _, label, _ in queries], texts_of_each)
                counted.update(((label, *key), row) for (_, label, key), row in zip(queries, pixels, strict=True))
            for row, key in enumerate(keys):
                for of_text, class_of in classes.get(key, {}).items():
                    counted[key, of_text] = _confusion(class_of[maps[row]], labels, len(self._classes))
        return counted

    def _margins(
        self,
        sample: EncodedSample,
        compared: Tensor,
        columns: dict[tuple[str, float], int],
        asked: Iterable[SingleQuery],
    ) -> dict[tuple[object, ...], Tensor]:
        """The best margin of each distinct query, as the integer of its bits: floats leave a GPU with the counts."""
        groups: dict[tuple[int, range], list[SingleQuery]] = {}
        for each in dict.fromkeys(asked):
            groups.setdefault((len(each.texts), each.own), []).append(each)
        margins: dict[tuple[object, ...], Tensor] = {}
        for (_, own), group in groups.items():
            rows = [[columns[text] for text in boosted(each.texts, each.boost)] for each in group]
            found = best_margins(self._segmenter, sample.encoded, compared, rows, own, self._scores_at_once)
            margins.update(zip(group, torch.split(found.view(torch.int32).long(), 1), strict=True))
        return margins

    def _finish(self, pending: "_Pending") -> tuple[EncodedSample, ImageScores]:
        numbers = pending.numbers()
        confusions = [(each, numbers.get((_classic_map(query), query.of_text))) for each, query, _ in self._classic]
        return pending.sample, ImageScores(
            [self._tally(each, label, of_query, numbers) for each, label, of_query in pending.asked],
            [(each, pixels.reshape(3, -1)) for each, pixels in confusions if pixels is not None],
            list(self._answers(pending, numbers)) if self.asks_absent else [],
        )

    def _answers(self, pending: "_Pending", numbers: dict[tuple[object, ...], Counts]) -> Iterator[Answer]:
        pixels = int((pending.sample.labels != IGNORED).sum())
        kinds: dict[int, list[str]] = {}
        for kind, label in pending.absent:
            kinds.setdefault(label, []).append(kind)
        for each, label, of_query in (*pending.asked, *pending.asked_absent):
            own = self._tally(each, label, of_query, numbers).pixels[of_query.own.start : of_query.own.stop]
            margin = float(numbers[of_query].astype(np.int32).view(np.float32)[0])
            for kind in kinds.get(label, [SHOWN]):
                yield Answer(each, kind, label, int(own[:, 1:].sum()), pixels, margin)

    def _maps(
        self, sample: EncodedSample, compared: Tensor, columns: dict[tuple[str, float], int], wanted: Sequence[_Map]
    ) -> Iterator[tuple[Sequence[_Map], Tensor]]:
        """Label maps [Q, H, W] of sets of texts, some at a time; those of one time have equally many texts."""
        groups: dict[int, list[_Map]] = {}
        for each in wanted:
            if each.classes is not None:
                rows = [columns[text] for text in boosted(each.texts, each.boost)]
                yield [each], label_map(self._segmenter, sample.encoded, compared, rows, True, each.classes)[None]
            else:
                groups.setdefault(len(each.texts), []).append(each)
        for group in groups.values():
            rows_of_each = [[columns[text] for text in boosted(each.texts, each.boost)] for each in group]
            found_maps = label_maps(self._segmenter, sample.encoded, compared, rows_of_each, self._scores_at_once)
            for part, maps in found_maps:
                yield group[part.start : part.stop], maps

    def _added(self, key: _Map) -> int:
        return int(key.classes is not None and self._segmenter.background_is == "channel")

    def _tally(
        self, experiment: Experiment, label: int, asked: SingleQuery, numbers: dict[tuple[object, ...], Counts]
    ) -> Tally:
        key = _single_map(experiment, asked)
        pixels, added = numbers[label, *key].reshape(-1, 3), self._added(key)
        return Tally(experiment, label, self._classes[label], asked, pixels[added:], int(pixels[:added, 2].sum()))


def _texts(maps: Iterable[_Map]) -> list[tuple[str, float]]:
    return list(dict.fromkeys(text for each in dict.fromkeys(maps) for text in boosted(each.texts, each.boost)))


def _single_maps(asked: Iterable[Asked]) -> Iterator[_Map]:
    return (_single_map(each, of_query) for each, _, of_query in asked)


def _single_map(experiment: Experiment, asked: SingleQuery) -> _Map:
    return _Map(asked.texts, asked.classes if experiment.contrastive_set.original else None, asked.boost)


def _classic_map(query: ClassicQuery) -> _Map:
    return _Map(query.texts, query.of_text if query.original else None, query.boost)


def evaluate_single(
    segmenter: Segmenter,
    samples: Iterable[Sample],
    classes: Sequence[str],
    queries: Sequence[int],
    sets: Sequence[ContrastiveSet],
    embed: Embed,
    protocol: Protocol,
) -> list[SingleScores]:
    """Scores of each contrastive set, in one pass over the images.

    Each image is encoded once, each text is embedded once, and all texts are compared with an image in one product.
    Only the sums grow with the data set. queries: labels of the queries. Raises UserError if there are no images."""
    texts = embed_once(single_texts(segmenter, classes, queries, sets), embed)
    experiments = [Experiment(str(number), each, ("IoU-single",)) for number, each in enumerate(sets)]
    scorer = Scorer(segmenter, classes, queries, experiments, texts, segmenter.tower.device)
    results = {each.name: SingleScores(each.contrastive_set.name, tuple(classes)) for each in experiments}
    for sample, scores in scorer.score_all(encode_samples(segmenter, samples, protocol)):
        for result in results.values():
            result.start(sample.name)
        for tally in scores.tallies:
            results[tally.experiment.name].add_tally(tally.label, tally.query, tally.asked, tally.pixels, tally.none)
    if not any(result.images for result in results.values()):
        raise UserError("IoU-single: found 0 images, expected at least one")
    return list(results.values())


def experiment_texts(
    segmenter: Segmenter, classes: Sequence[str], queries: Sequence[int], experiments: Sequence[Experiment]
) -> list[str]:
    """All distinct texts that experiments can need."""
    sets = [each.contrastive_set for each in experiments]
    classic: Iterator[str] = (text for each in sets for text in classic_texts(classes, queries, each))
    return list(dict.fromkeys([*single_texts(segmenter, classes, queries, sets), *classic]))


def _kinds(labels: Tensor, queries: Sequence[int]) -> Tensor:
    """The kind of each pixel for each query, int64 [Q, H, W]: 0 ignored, 1 of another class, 2 of the queried one."""
    asked = torch.tensor(queries).to(labels.device, non_blocking=True).view(-1, 1, 1)
    return (labels != IGNORED).long() + (labels == asked)


def _by_kind(found: Tensor, kinds: Tensor, rows: Sequence[int], texts: int) -> Tensor:
    """Pixels of each query by the text that took them and by kind.

    found: int64 [Q, H, W]. rows: of each query in the result of `_kinds`. Returns int64 [Q, 3 texts]."""
    if len(rows) == 1:
        return _bincount(found[0] * 3 + kinds[rows[0]], 3 * texts).view(1, -1)
    own = kinds.index_select(0, torch.tensor(rows).to(kinds.device, non_blocking=True))
    first = torch.arange(len(rows), device=kinds.device).view(-1, 1, 1) * (3 * texts)
    return _bincount(found * 3 + own + first, 3 * texts * len(rows)).view(-1, 3 * texts)


def _confusion(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """As `Confusion.add`: int64 [3 C], pixels of each class in both, predicted and labelled, without ignored ones."""
    kept, labels = labels != IGNORED, labels.long()
    predicted = torch.where(kept, predicted, IGNORED)
    parts = (torch.where(predicted == labels, labels, IGNORED), predicted, labels)
    return torch.cat([_bincount(part, IGNORED + 1)[:classes] for part in parts])


def _bincount(values: Tensor, bins: int) -> Tensor:
    # On a GPU `bincount` waits until all work is done, and on a CPU `histc` takes no integers.
    return torch.histc(values, bins, 0, bins) if values.is_cuda else torch.bincount(values.flatten(), minlength=bins)


class _Pending:
    """An image whose numbers of pixels are on their way from the GPU."""

    def __init__(
        self,
        sample: EncodedSample,
        asked: Sequence[Asked],
        absent: Sequence[tuple[str, int]],
        asked_absent: Sequence[Asked],
        counted: dict[tuple[object, ...], Tensor],
    ) -> None:
        self.sample, self.asked, self.absent, self.asked_absent = sample, asked, absent, asked_absent
        self._keys, self._ends = list(counted), np.cumsum([len(each) for each in counted.values()])
        together = torch.cat(list(counted.values())) if counted else torch.empty(0)
        self._copied = None
        if together.is_cuda:
            together = torch.empty_like(together, device="cpu", pin_memory=True).copy_(together, non_blocking=True)
            self._copied = torch.cuda.current_stream().record_event()
        self._together = together

    def numbers(self) -> dict[tuple[object, ...], Counts]:
        if self._copied is not None:
            self._copied.synchronize()
        return (
            dict(zip(self._keys, np.split(self._together.numpy(), self._ends[:-1]), strict=True)) if self._keys else {}
        )
