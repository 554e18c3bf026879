"""The page on which pictures are segmented, `contrastive-concepts demo`: a Starlette application for one machine."""

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.datasets import decode_image
from contrastive_concepts.segmentation.concept_segmenter import KINDS, ConceptSegmenter, EncodedPhoto, Segmentation
from contrastive_concepts.segmentation.masks import annotations, coco_file, mask_picture
from contrastive_concepts.segmentation.photos import as_pixels, find_photos
from contrastive_concepts.segmenters.segmenter import Pixels

TEMPLATE = Path(__file__).with_name("page.html")
SHOWN = 1024
"""The longer side of a picture on the page at most, in pixels. Downloads have the size of the photo."""
KEPT = 8
"""Photos in memory: those that were opened last."""
UPLOAD, PIXELS = 64 << 20, 50 * 10**6
"""Bytes and pixels of a photo at most."""
TEXTS, LISTED, OFFERED = 1000, 2000, 48
"""Negatives of a question, concepts that the field for the query offers, and photos of a folder that are examples, each
at most."""
POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The browser itself keeps all requests on this machine."""


@dataclass(frozen=True)
class Example:
    """A picture that the page offers, and a query for it; an empty one if nothing is known of the picture."""

    name: str
    query: str
    pixels: Callable[[], Pixels]


def folder_examples(folder: Path) -> list[Example]:
    """The first photos of a folder. Raises UserError if there are none."""
    return [Example(path.name, "", partial(as_pixels, path)) for path in find_photos([str(folder)])[:OFFERED]]


@dataclass(frozen=True)
class _Photo:
    name: str
    whole: EncodedPhoto
    shown: EncodedPhoto


class _Page:
    """What the page's requests share: the segmenter, which answers one at a time, and the last photos."""

    def __init__(self, segmenter: ConceptSegmenter, examples: Sequence[Example]) -> None:
        self._segmenter, self._examples, self._lock = segmenter, examples, Lock()
        self._photos: dict[str, _Photo] = {}

    def home(self, request: Request) -> Response:
        template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
        html = template.render(
            described=self._segmenter.described,
            dictionary=self._segmenter.dictionary.manifest,
            concepts=sorted(list(self._segmenter.dictionary)[:LISTED]),
            examples=self._examples,
        )
        return HTMLResponse(html, headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})

    def example(self, request: Request) -> Response:
        picture = Image.fromarray(self._example(request).pixels())
        picture.thumbnail((160, 160))
        return _png(picture)

    async def add(self, request: Request) -> Response:
        """Encode an example, or the photo in the request's body."""
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise UserError("request: comes from another site, expected this page")
        if "number" in request.path_params:
            example = self._example(request)
            return await run_in_threadpool(self._added, example.name, example.pixels)
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > UPLOAD:
                raise UserError(f"photo: found more than {UPLOAD >> 20} MB, expected a smaller file")
        name = " ".join(request.query_params.get("name", "").split()) or "photo"
        return await run_in_threadpool(self._added, name, lambda: decode_image(bytes(content), name))

    def _added(self, name: str, pixels: Callable[[], Pixels]) -> Response:
        image = pixels()
        if image.shape[0] * image.shape[1] > PIXELS:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise UserError(f"{name}: found {size} pixels, expected at most {PIXELS // 10**6} million")
        with self._lock:
            whole = self._segmenter.encode(image)
            key = hashlib.sha256(name.encode() + whole.pixels.tobytes()).hexdigest()[:16]
            self._photos.pop(key, None)
            self._photos[key] = _Photo(name, whole, whole.at_most(SHOWN))
            for older in list(self._photos)[:-KEPT]:
                del self._photos[older]
        height, width = whole.pixels.shape[:2]
        return JSONResponse({"photo": key, "name": name, "height": height, "width": width})

    def picture(self, request: Request) -> Response:
        return _png(Image.fromarray(self._photo(request).shown.pixels))

    def answer(self, request: Request) -> Response:
        """Which text took each pixel, for one kind of negatives, or for a list of them."""
        found = self._asked(request, self._photo(request).shown)
        labels = (found.labels + 1).astype("<u2")
        match = next(iter(found.matches.values()), None)
        return JSONResponse(
            {
                "texts": found.texts,
                "of_query": [bool(each) for each in found.of_text],
                "share": float(found.mask.mean()),
                "shares": found.shares,
                "match": match and {"concept": match.concept, "similarity": match.similarity, "remark": match.remark},
                "height": labels.shape[0],
                "width": labels.shape[1],
                "labels": base64.b64encode(gzip.compress(labels.tobytes(), 1)).decode(),
            }
        )

    def mask(self, request: Request) -> Response:
        photo = self._photo(request)
        found = self._asked(request, photo.whole)
        return _png(mask_picture(found), f"{Path(photo.name).stem}.{found.queries[0]}.mask.png")

    def coco(self, request: Request) -> Response:
        photo = self._photo(request)
        found = self._asked(request, photo.whole)
        height, width = found.labels.shape
        shares = {found.queries[0]: found.shares}
        record = {"photo": photo.name, "files": [], "height": height, "width": width, "shares": shares}
        content = coco_file(found.queries, [{**record, "annotations": annotations(found)}], found.matches)
        return _download(
            json.dumps(content).encode(), "application/json", f"{Path(photo.name).stem}.{found.queries[0]}.json"
        )

    def _example(self, request: Request) -> Example:
        number: int = request.path_params["number"]
        if number >= len(self._examples):
            raise UserError(f"example: found {number}, expected a number below {len(self._examples)}")
        return self._examples[number]

    def _photo(self, request: Request) -> _Photo:
        key = request.path_params["photo"]
        photo = self._photos.get(key)
        if photo is None:
            raise UserError("photo: no longer in memory, expected it to be opened again")
        return photo

    def _asked(self, request: Request, photo: EncodedPhoto) -> Segmentation:
        query = request.query_params.get("query", "").strip()
        try:
            negatives = json.loads(request.query_params.get("negatives", '"dictionary"'))
        except (ValueError, RecursionError):
            negatives = None
        listed = isinstance(negatives, list) and all(_is_text(each) for each in negatives)
        if not listed and (not isinstance(negatives, str) or negatives not in KINDS):
            raise UserError(f"negatives: expected {', '.join(KINDS)} or a list of texts, none of them empty")
        if len(negatives) > TEXTS and listed:
            raise UserError(f"negatives: found {len(negatives)} texts, expected at most {TEXTS}")
        with self._lock:
            return self._segmenter(photo, query, negatives or "none")


def _is_text(value: object) -> bool:
    """Whether it is a text that is not empty, without halves of characters."""
    return isinstance(value, str) and bool(value.strip()) and value == value.encode(errors="replace").decode()


def page(segmenter: ConceptSegmenter, examples: Sequence[Example], hosts: Sequence[str]) -> Starlette:
    """The application. hosts: names by which browsers may ask for it, or "*" for any. A site under another name cannot
    read anything of it, and photos are taken from its own page alone."""
    shared = _Page(segmenter, examples)
    return Starlette(
        routes=[
            Route("/", shared.home),
            Route("/examples/{number:int}", shared.example),
            Route("/examples/{number:int}", shared.add, methods=["POST"]),
            Route("/photos", shared.add, methods=["POST"]),
            Route("/photos/{photo}", shared.picture),
            Route("/photos/{photo}/answer", shared.answer),
            Route("/photos/{photo}/mask.png", shared.mask),
            Route("/photos/{photo}/masks.json", shared.coco),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={UserError: _wrong},
    )


def _wrong(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _png(picture: Image.Image, name: str = "") -> Response:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)
    return _download(content.getvalue(), "image/png", name)


def _download(content: bytes, kind: str, name: str) -> Response:
    headers: Mapping[str, str] = (
        {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"} if name else {}
    )
    return Response(content, media_type=kind, headers=headers)
