"""Segments a photo by words: their contrastive concepts are the negatives, and the result tells what each took."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from contrastive_concepts.config.evaluation import BackboneSettings, ImageModelSettings, Protocol, SegmenterSettings
from contrastive_concepts.config.methods import METHODS
from contrastive_concepts.config.selection import BACKGROUND, BETA
from contrastive_concepts.dictionary.contrastive import PUBLISHED, ContrastiveConcepts, Match, dictionary_folder, fold
from contrastive_concepts.dictionary.manifest import file_sha256
from contrastive_concepts.encoders.clip import is_carried
from contrastive_concepts.encoders.text import OpenClipText
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.classic import classic_query, classic_texts
from contrastive_concepts.evaluation.contrastive_sets import ContrastiveSet
from contrastive_concepts.evaluation.protocol import (
    Crops,
    EncodedImage,
    crop,
    encode_all,
    label_map,
    pixel_scores,
    similarities,
)
from contrastive_concepts.evaluation.single import added_channels, single_query, single_texts
from contrastive_concepts.evaluation.texts import TextRows, embed_once
from contrastive_concepts.report.panels import QUERY, label_colour
from contrastive_concepts.segmentation.photos import as_pixels
from contrastive_concepts.segmenters.configured import configured_segmenter
from contrastive_concepts.segmenters.segmenter import Pixels
from contrastive_concepts.segmenters.texts import Prompts, text_embeddings
from contrastive_concepts.text_files import read_lines

Mask = np.ndarray[Any, np.dtype[np.bool_]]
LabelMap = np.ndarray[Any, np.dtype[np.int32]]
Negatives = str | Path | Sequence[str]
KINDS = ("dictionary", "background", "none")
"""Words for kinds of negatives, see `ConceptSegmenter.__call__`."""
TOY_MODEL = "toyworld-clip"
TOY_DICTIONARY = "toyworld"
TOY_PROTOCOL = Protocol(short_side=64, long_side=64, window=64, stride=64)


@dataclass(frozen=True)
class CroppedPhoto:
    """A photo, uint8 RGB [H, W, 3], and the windows that will be encoded."""

    pixels: Pixels
    crops: Crops


@dataclass(frozen=True)
class EncodedPhoto:
    """A photo and its features, which answer any number of questions. pixels: uint8 RGB [H, W, 3]."""

    pixels: Pixels
    encoded: EncodedImage

    def at_most(self, side: int) -> "EncodedPhoto":
        """The same features, answered at a smaller size if the longer side is above `side` pixels."""
        height, width = self.pixels.shape[:2]
        if max(height, width) <= side:
            return self
        scale = side / max(height, width)
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        pixels = np.asarray(cv2.resize(self.pixels, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        return EncodedPhoto(pixels, replace(self.encoded, original=size))


@dataclass(frozen=True)
class Segmentation:
    """What was found on a photo.

    queries: what was asked. texts: all texts that competed for the pixels. of_text: for each text the number of its
    query from 1, or 0 for a negative. labels: int32 [H, W], for each pixel the text that took it; -1 where the
    segmenter's own background handling did. matches: query -> the concept of the dictionary that it was mapped to."""

    pixels: Pixels
    queries: tuple[str, ...]
    texts: tuple[str, ...]
    of_text: tuple[int, ...]
    labels: LabelMap
    matches: Mapping[str, Match]
    make_scores: Callable[[], Tensor] = field(repr=False)

    @property
    def mask(self) -> Mask:
        """The pixels of the query, bool [H, W]; of any of them if there are several."""
        return np.asarray(self.query_map > 0)

    def mask_of(self, query: str) -> Mask:
        """The pixels of one query, bool [H, W]. Raises UserError for a query that was not asked."""
        if query not in self.queries:
            raise UserError(f"mask: found {query!r}, expected one of {', '.join(map(repr, self.queries))}")
        return np.asarray(self.query_map == self.queries.index(query) + 1)

    @cached_property
    def query_map(self) -> LabelMap:
        """The number of the query that took each pixel, from 1; 0 for negatives. int32 [H, W]."""
        # The last entry is what -1 reads.
        return np.array([*self.of_text, 0], np.int32)[self.labels]

    @cached_property
    def shares(self) -> dict[str, float]:
        """Share of all pixels that each negative took, the largest first; those that took none are left out."""
        counts = np.bincount(self.labels[self.labels >= 0].ravel(), minlength=len(self.texts))
        taken = {
            text: int(count)
            for text, count, query in zip(self.texts, counts, self.of_text, strict=True)
            if not query and count
        }
        return {text: taken[text] / self.labels.size for text in sorted(taken, key=lambda text: -taken[text])}

    def overlay(self, strength: float = 0.6) -> Pixels:
        """The photo in grey, with the pixels of each query tinted: uint8 RGB [H, W, 3]."""
        grey = self.pixels.mean(axis=2)
        shown = np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=2)
        for number in range(len(self.queries)):
            taken = self.query_map == number + 1
            colour = np.array(QUERY if number == 0 else label_colour(number))
            shown[taken] = ((1 - strength) * grey[taken][:, None] + strength * colour).round()
        return shown

    @property
    def scores(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The scores of all texts at the photo's size, float32 [T, H, W]: large for many texts, made when asked for."""
        return self.make_scores().cpu().numpy()


class ConceptSegmenter:
    """Segments photos by words.

        segmenter = ConceptSegmenter()  # the toy CLIP and its dictionary
        found = segmenter("harbour.png", "boat")
        found.mask, found.shares

    The photo is encoded, cut into windows and scored by the benchmark's code, so results are what it scores."""

    def __init__(
        self,
        dictionary: ContrastiveConcepts | str | Path | None = None,
        segmenter: str = "maskclip",
        model: str = TOY_MODEL,
        pretrained: str | None = None,
        *,
        checkpoint: str | Path | None = None,
        image_model: str | ImageModelSettings | None = None,
        options: Mapping[str, Any] | None = None,
        prompts: Prompts = "paper",
        protocol: Protocol | None = None,
        negatives: Negatives = "dictionary",
        original: bool = False,
        device: str = "auto",
        batch: int | None = None,
        beta: float = BETA,
    ) -> None:
        """dictionary: its name, folder or address; None: redcaps, or toyworld for its CLIP. segmenter: a name in
        `config.methods.METHODS`. model, pretrained: a CLIP as in a configuration. checkpoint: trained heads.
        image_model: the second model that proxyclip needs, timm's name of it or settings with a file of weights.
        options: those of the method. protocol: how photos are resized and cut into windows; None: the paper's, or the
        toy world's for its CLIP. negatives: what queries are contrasted with, see `__call__`. original: also use the
        method's own background handling. device: "auto" is a GPU if there is one. batch: windows that a GPU encodes at
        once; None: the protocol's. beta: of several queries, negatives with a higher cosine to any query are dropped
        (paper 3.6).

        Raises UserError for an unknown method, option or model, or weights that cannot be had."""
        if segmenter not in METHODS:
            raise UserError(f"segmenter: found {segmenter!r}, expected one of {', '.join(METHODS)}")
        settings = SegmenterSettings(
            method=segmenter,
            backbones=["clip"],
            checkpoint=None if checkpoint is None else str(checkpoint),
            image_model=ImageModelSettings(model=image_model) if isinstance(image_model, str) else image_model,
            options=dict(options or {}),
        )
        if original and settings.of_method.background is None:
            raise UserError(f"original: found true, but {segmenter} has no background handling of its own")
        placed = _usable(device)
        backbone = BackboneSettings(model=model, pretrained=pretrained, training_data="")
        self._segmenter, clip_model, tokenizer = configured_segmenter(settings, backbone, ".", str(placed))
        self._encoder = OpenClipText.of_model(clip_model, tokenizer, f"open_clip:{model}", str(placed))
        if not isinstance(dictionary, ContrastiveConcepts):
            published = TOY_DICTIONARY if is_carried(model, pretrained) else PUBLISHED
            dictionary = self._loaded(dictionary_folder(published if dictionary is None else dictionary))
        self.dictionary = dictionary
        protocol = protocol or (TOY_PROTOCOL if is_carried(model, pretrained) else Protocol())
        self._protocol = protocol if batch is None else protocol.model_copy(update={"batch": batch})
        self._method, self._prompts, self._negatives = segmenter, prompts, negatives
        self._original, self._beta, self.device = original, beta, placed
        self._rows: TextRows | None = None
        self.described: dict[str, Any] = {
            "segmenter": settings.model_dump(),
            "clip": self._encoder.weights_sha256,
            "files": [file_sha256(Path(path)) for path in settings.own_files],
            "protocol": self._protocol.model_dump(exclude={"batch"}),
            "negatives": dictionary.manifest.files if negatives == "dictionary" else _listed(negatives),
            "original": original,
            "prompts": prompts,
            "beta": beta,
        }
        """All that a result depends on beside the photo and the queries, as plain data."""

    def _loaded(self, folder: Path) -> ContrastiveConcepts:
        dictionary = ContrastiveConcepts.load(folder, background=False)
        if dictionary.manifest.encoder.weights_sha256 == self._encoder.weights_sha256:
            return ContrastiveConcepts.load(folder, background=False, encoder=self._encoder, verify=False)
        print(
            f"{folder}: note: made with the encoder {dictionary.manifest.encoder.name}, not with the CLIP that "
            "segments; words that it does not have are looked up with its own encoder",
            file=sys.stderr,
        )
        return dictionary

    def encode(self, image: Any) -> EncodedPhoto:
        """Encode a photo once, for any number of questions. image: see `photos.as_pixels`."""
        [encoded] = self.encode_all([self.cropped(image)])
        return encoded

    def cropped(self, image: Any) -> CroppedPhoto:
        """Read a photo and cut it into windows; can be done in another thread. image: see `photos.as_pixels`."""
        pixels = as_pixels(image)
        return CroppedPhoto(pixels, crop(pixels, self._protocol))

    def encode_all(self, photos: Iterable[CroppedPhoto]) -> Iterator[EncodedPhoto]:
        """Encode photos in order. On a GPU a batch of `protocol.batch` windows holds windows of several photos.

        On a CPU that saves nothing, and a photo alone gives the same result in any company."""
        waiting: deque[Pixels] = deque()

        def crops(given: Iterable[CroppedPhoto]) -> Iterator[Crops]:
            for photo in given:
                waiting.append(photo.pixels)
                yield photo.crops

        for group in ([photo] for photo in photos) if self.device.type == "cpu" else [photos]:
            for encoded in encode_all(self._segmenter, crops(group), self._protocol.batch):
                yield EncodedPhoto(waiting.popleft(), encoded)

    def __call__(self, image: Any, queries: str | Sequence[str], negatives: Negatives | None = None) -> Segmentation:
        """Segment a photo, or one that was encoded.

        queries: one text, or several that are asked at once (paper 3.6). negatives: "dictionary" (contrastive concepts
        of the dictionary and "background"), "background" alone, "none", a list of texts, or a file with a text a line.
        Raises UserError for an empty query, one that is among the negatives, or a photo that cannot be read."""
        asked = tuple(queries) if isinstance(queries, Sequence) and not isinstance(queries, str) else (queries,)
        photo = image if isinstance(image, EncodedPhoto) else None
        contrastive_set, matches = self._set_of(asked, self._negatives if negatives is None else negatives)
        texts, of_text = self._texts(asked, contrastive_set)
        photo = self.encode(image) if photo is None else photo
        compared = similarities(self._segmenter, photo.encoded, self._vectors(texts))
        rows = range(len(texts))
        found = label_map(self._segmenter, photo.encoded, compared, rows, self._original, of_text)
        labels = found.to(torch.int32).cpu().numpy() - np.int32(added_channels(self._segmenter, contrastive_set))
        return Segmentation(
            photo.pixels,
            asked,
            texts,
            of_text,
            labels,
            matches,
            lambda: pixel_scores(self._segmenter, photo.encoded, compared, rows),
        )

    def each(
        self, images: Iterable[Any], queries: str | Sequence[str], negatives: Negatives | None = None
    ) -> Iterator[Segmentation]:
        """Segment photos in order, encoded in batches on a GPU. The arguments and errors: see `__call__`."""
        for photo in self.encode_all(map(self.cropped, images)):
            yield self(photo, queries, negatives)

    def check(self, queries: Sequence[str], at_once: bool) -> dict[str, Match]:
        """The concepts of queries that are asked one by one or at once. Raises the UserError that any photo would."""
        found: dict[str, Match] = {}
        for asked in [tuple(queries)] if at_once else [(query,) for query in queries]:
            found |= self._set_of(asked, self._negatives)[1]
        return found

    def _set_of(self, queries: Sequence[str], negatives: Negatives) -> tuple[ContrastiveSet, dict[str, Match]]:
        """The contrastive set of the queries, and the concepts that they were mapped to."""
        if not queries or any(not isinstance(query, str) or not query.strip() for query in queries):
            raise UserError("query: found an empty text, expected what to segment")
        folded = [fold(query) for query in queries]
        for query, name in zip(queries, folded, strict=True):
            if folded.count(name) > 1:
                raise UserError(f"query: found {query!r} more than once, expected distinct texts")
        matches: dict[str, Match] = {}
        if negatives in ("background", "none"):
            concepts: dict[str, tuple[str, ...]] = dict.fromkeys(queries, ())
        elif negatives == "dictionary":
            matches = {match.query: match for match in self.dictionary.lookup(queries)}
            concepts = {query: tuple(match.contrastive_concepts) for query, match in matches.items()}
        else:
            listed = _listed(negatives)
            for text in listed:
                if not isinstance(text, str) or not text.strip():
                    raise UserError("negatives: found an empty text, expected texts")
                if fold(text) in folded:
                    raise UserError(f"negatives: found the query {text!r}, expected texts that are no query")
            concepts = dict.fromkeys(queries, tuple(listed))
        background = negatives in ("background", "dictionary") and BACKGROUND not in queries
        return ContrastiveSet("asked", concepts, background, original=self._original), matches

    def _texts(self, queries: Sequence[str], chosen: ContrastiveSet) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """All texts that compete, and the number of the query of each from 1; 0 for negatives."""
        if len(queries) == 1:
            self._embed(single_texts(self._segmenter, queries, [0], [chosen]))
            single = single_query(self._segmenter, chosen, queries[0], queries)
            return single.texts, single.classes
        classes, labels = [BACKGROUND, *queries], list(range(1, len(queries) + 1))
        self._embed(classic_texts(classes, labels, chosen))
        assert self._rows is not None
        several = classic_query(self._segmenter, classes, labels, chosen, self._rows, self._beta)
        return several.texts, several.of_text

    def _embed(self, texts: Iterable[str]) -> None:
        """Embed the texts that were not embedded before."""
        new = embed_once(
            texts, lambda missing: text_embeddings(missing, self._encoder, self._method, self._prompts), self._rows
        )
        self._rows = new if self._rows is None else self._rows.with_rows(new)

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        assert self._rows is not None
        return torch.from_numpy(self._rows.select(texts)).to(self.device)


def _usable(device: str) -> torch.device:
    """The device of that name. Raises UserError if it is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError):
        raise UserError(
            f"device: found {device!r}, expected auto, cpu, or a GPU of this machine such as cuda"
        ) from None


def _listed(negatives: Negatives) -> list[str]:
    """Negatives as a list: the texts, or the lines of a file that are not empty; or the word that names a kind."""
    if isinstance(negatives, str) and negatives in KINDS:
        return [negatives]
    if isinstance(negatives, str | Path):
        return [line for line in read_lines(negatives, "negatives, one a line") if line.strip()]
    return list(negatives)
