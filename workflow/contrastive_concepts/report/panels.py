"""Draws Figures 3, 4 and 6: an image, its ground truth and its segmentations side by side, with legends below."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.metrics import IGNORED, Labels

if TYPE_CHECKING:
    from contrastive_concepts.segmenters.segmenter import Pixels

Colour = tuple[int, int, int]

QUERY: Colour = (220, 20, 60)
UNKNOWN: Colour = (0, 0, 0)
"""Colour of pixels with an ignored label."""
TITLE, GAP, ROW, SWATCH = 22, 6, 18, 12


@dataclass(frozen=True)
class Panel:
    """One picture in a row: its title, pixels uint8 RGB [H, W, 3], and the names of its colours."""

    title: str
    pixels: "Pixels"
    legend: tuple[tuple[str, Colour], ...] = ()


def image_panel(title: str, image: "Pixels") -> Panel:
    return Panel(title, image)


def query_panel(title: str, image: "Pixels", found: Labels, name: str = "") -> Panel:
    """The image in grey, with the pixels of the query (`found`, bool [H, W]) tinted."""
    _same_size(image, found)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    tinted = np.where(found[..., None], 0.4 * grey + 0.6 * np.array(QUERY), grey)
    return Panel(title, tinted.round().astype(np.uint8), ((name, QUERY),) if name else ())


def map_panel(title: str, image: "Pixels", labels: Labels, names: Sequence[str], most: int = 8) -> Panel:
    """The full map [H, W] of labels in flat colours, 255 in black. The legend lists the labels with most pixels.

    The first name is that of the query."""
    _same_size(image, labels)
    shown = np.full((*labels.shape, 3), UNKNOWN, np.uint8)
    counts = np.bincount(labels[labels != IGNORED].ravel(), minlength=len(names))
    if len(counts) > len(names):
        raise UserError(f"figure: found label {len(counts) - 1}, expected 0..{len(names) - 1} or 255")
    for label in np.flatnonzero(counts).tolist():
        shown[labels == label] = label_colour(label)
    largest = [label for label in np.argsort(-counts, kind="stable")[:most].tolist() if counts[label]]
    return Panel(title, shown, tuple((names[label], label_colour(label)) for label in largest))


def label_colour(label: int) -> Colour:
    """The query's colour for 0, else a colour from VOC's palette, in which consecutive labels differ strongly."""
    if label == 0:
        return QUERY
    colour = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            colour[channel] |= ((label >> (3 * bit + channel)) & 1) << (7 - bit)
    return colour[0], colour[1], colour[2]


def draw_rows(rows: Sequence[Sequence[Panel]], path: Path, height: int = 160) -> None:
    """Write a picture of rows of panels, titles above, legends below. The suffix of `path` selects the format.

    height: every panel is scaled to this number of pixels. Raises UserError if there are no panels."""
    drawn = [_draw_row(row, height) for row in rows if row]
    if not drawn:
        raise UserError("figure: found 0 panels, expected at least one")
    sheet = Image.new("RGB", (max(row.width for row in drawn), sum(row.height for row in drawn)), "white")
    top = 0
    for row in drawn:
        sheet.paste(row, (0, top))
        top += row.height
    sheet.save(path)


def _draw_row(row: Sequence[Panel], height: int) -> Image.Image:
    font = ImageFont.load_default(size=12)
    scaled = []
    for panel in row:
        tall, wide = panel.pixels.shape[:2]
        size = (max(round(wide * height / tall), 1), height)
        scaled.append(Image.fromarray(panel.pixels).resize(size, Image.Resampling.NEAREST))
    columns = [
        max(picture.width, *(_width(font, text) for text in (panel.title, *_names(panel))))
        for panel, picture in zip(row, scaled, strict=True)
    ]
    lines = max(len(panel.legend) for panel in row)
    total = (sum(columns) + GAP * (len(row) + 1), TITLE + height + ROW * lines + 2 * GAP)
    sheet = Image.new("RGB", total, "white")
    pen = ImageDraw.Draw(sheet)
    left = GAP
    for panel, picture, column in zip(row, scaled, columns, strict=True):
        pen.text((left, GAP // 2), panel.title, fill="black", font=font)
        sheet.paste(picture, (left, TITLE))
        for line, (name, colour) in enumerate(panel.legend):
            top = TITLE + height + GAP + line * ROW
            pen.rectangle((left, top, left + SWATCH, top + SWATCH), fill=colour)
            pen.text((left + SWATCH + GAP, top - 2), name, fill="black", font=font)
        left += column + GAP
    return sheet


def _names(panel: Panel) -> list[str]:
    return [f"{'x' * 3}{name}" for name, _ in panel.legend]


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(font.getlength(text)) + 1


def _same_size(image: "Pixels", labels: Labels) -> None:
    if image.shape[:2] != labels.shape:
        raise UserError(f"figure: found labels of {labels.shape}, expected the image's {image.shape[:2]}")
