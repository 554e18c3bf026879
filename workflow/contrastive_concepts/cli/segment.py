"""`contrastive-concepts segment`: segment photos by words."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter

Dictionary = Annotated[
    str | None,
    typer.Option(
        "--dictionary",
        "-d",
        help="Name, folder or address of a dictionary. By default redcaps, or toyworld for its CLIP.",
    ),
]
Method = Annotated[str, typer.Option("--segmenter", help="The method, such as maskclip or sclip.")]
Model = Annotated[
    str, typer.Option(help="CLIP: open_clip's name of the architecture, local-dir:FOLDER, hf-hub:OWNER/NAME.")
]
Pretrained = Annotated[str | None, typer.Option(help="open_clip's tag of the weights, or a local file.")]
Checkpoint = Annotated[Path | None, typer.Option(help="Trained heads, for tcl and clip_dinoiser.")]
ImageModel = Annotated[
    str | None, typer.Option(help="Second image model, for proxyclip: timm's name, such as vit_base_patch8_224.dino.")
]
ImageWeights = Annotated[Path | None, typer.Option(help="Local file with the weights of --image-model.")]
Options = Annotated[
    list[str] | None, typer.Option("--option", help="Option of the method, such as scale=40; can be repeated.")
]
Original = Annotated[bool, typer.Option("--original", help="Also use the method's own background handling.")]
Device = Annotated[str, typer.Option(help="auto (a GPU if there is one), cpu, cuda, cuda:1, ...")]


def segment(
    photos: Annotated[list[str], typer.Argument(help="Photos: files, folders, globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    query: Annotated[list[str] | None, typer.Option("--query", "-q", help="What to segment; can be repeated.")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --query: a file of classes, one a line, asked at once; writes label maps. "
            "A first line `background` is label 0."
        ),
    ] = None,
    dictionary: Dictionary = None,
    segmenter: Method = "maskclip",
    model: Model = "toyworld-clip",
    pretrained: Pretrained = None,
    checkpoint: Checkpoint = None,
    image_model: ImageModel = None,
    image_weights: ImageWeights = None,
    option: Options = None,
    negatives: Annotated[
        str, typer.Option(help="dictionary, background, none, or a file with one text a line.")
    ] = "dictionary",
    original: Original = False,
    device: Device = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Windows that a GPU encodes at once, of several photos.")] = 32,
    workers: Annotated[int, typer.Option(min=1, help="Threads that read photos, and as many that write results.")] = 4,
) -> None:
    """Segment photos by words, with their contrastive concepts as negatives."""
    if (classes is None) == (not query):
        raise UserError("--query: found both or neither of --query and --classes, expected one of them")
    with needing("segment", "segment"):
        import pycocotools  # noqa: F401  used when a mask is written

        from contrastive_concepts.dictionary.contrastive import fold
        from contrastive_concepts.logs import progress_bar
        from contrastive_concepts.segmentation.concept_segmenter import KINDS
        from contrastive_concepts.segmentation.folder import COCO, segment_photos
        from contrastive_concepts.segmentation.photos import find_photos

    if negatives not in KINDS and not Path(negatives).is_file():
        raise UserError(f"--negatives: found {negatives!r}, expected {', '.join(KINDS)} or a file of texts")
    queries = list(dict.fromkeys(each.strip() for each in query or ())) if classes is None else _classes(classes)
    found = find_photos(photos, output)
    asked = concept_segmenter(
        dictionary,
        segmenter,
        model,
        pretrained,
        second=(image_model, image_weights),
        options=option,
        checkpoint=checkpoint,
        negatives=negatives,
        original=original,
        device=device,
        batch=batch,
    )
    # The contrastive set is made before any photo is read, so that a wrong query is one line.
    matches = asked.check(queries, at_once=classes is not None)
    for match in matches.values():
        if fold(match.query) != fold(match.concept):
            print(
                f"note: {match.query!r} is not in the dictionary; its negatives are those of {match.concept!r} "
                f"({match.remark})",
                file=sys.stderr,
            )
    with progress_bar("segmenting", len(found)) as progress:
        failed = segment_photos(
            asked, found, queries, output, asked.described, classes is not None, workers, matches, progress
        )
    for line in failed:
        print(f"passed over: {one_line(line)}", file=sys.stderr)
    print(f"{len(found) - len(failed)} of {len(found)} photos in {output / COCO}")


def _classes(path: Path) -> list[str]:
    """The classes of a file. A first line "background" is label 0, as in VOC's list, and not asked for."""
    from contrastive_concepts.config.selection import BACKGROUND
    from contrastive_concepts.dictionary.contrastive import fold
    from contrastive_concepts.text_files import read_lines

    lines = [line.strip() for line in read_lines(path, "classes, one a line")]
    for number, line in enumerate(lines, start=1):
        if not line:
            raise UserError(f"{path}: line {number}: found an empty line, expected a class")
    lines = lines[1:] if lines and fold(lines[0]) == BACKGROUND else lines
    if not lines or len(lines) > 255:
        raise UserError(f"{path}: found {len(lines)} classes, expected 1 to 255 in a label map")
    return lines


@contextmanager
def needing(command: str, *extras: str) -> Iterator[None]:
    """Name the extras of a command if one of their packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == __package__.partition(".")[0]:
            raise
        wanted = ",".join(extras)
        raise UserError(
            f"{command}: found no package {package}, expected the extras {wanted}: "
            f"pip install 'contrastive-concepts[{wanted}]'"
        ) from None


def concept_segmenter(
    *arguments: Any, second: tuple[str | None, Path | None], options: list[str] | None, **named: Any
) -> "ConceptSegmenter":
    """The segmenter that the command's options describe. second: name and weights of the second image model."""
    from contrastive_concepts.config.evaluation import ImageModelSettings
    from contrastive_concepts.segmentation.concept_segmenter import ConceptSegmenter

    name, weights = second
    if name is None and weights is not None:
        raise UserError("--image-weights: found without --image-model, expected the name of its architecture")
    image_model = name and ImageModelSettings(model=name, pretrained=True if weights is None else str(weights))
    return ConceptSegmenter(*arguments, image_model=image_model, options=_options(options or []), **named)


def _options(given: list[str]) -> dict[str, Any]:
    import yaml

    parsed = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise UserError(f"--option: found {each!r}, expected NAME=VALUE")
        try:
            parsed[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed[name] = value
        if isinstance(parsed[name], list | dict):
            parsed[name] = value
    return parsed
