"""`contrastive-concepts segment`: segment photos by words."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from contrastive_concepts.errors import UserError


def segment(
    photos: Annotated[list[str], typer.Argument(help="Photos: files, folders, globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the results.")],
    query: Annotated[list[str] | None, typer.Option("--query", "-q", help="What to segment; can be repeated.")] = None,
    classes: Annotated[
        Path | None,
        typer.Option(help="Instead of --query: a file of classes, one a line, asked at once; writes label maps."),
    ] = None,
    dictionary: Annotated[
        Path | None, typer.Option("--dictionary", "-d", help="Folder of a dictionary. By default the toy world's.")
    ] = None,
    segmenter: Annotated[str, typer.Option(help="The method, such as maskclip or sclip.")] = "maskclip",
    model: Annotated[
        str, typer.Option(help="CLIP: open_clip's name of the architecture, local-dir:FOLDER, hf-hub:OWNER/NAME.")
    ] = "toyworld-clip",
    pretrained: Annotated[str | None, typer.Option(help="open_clip's tag of the weights, or a local file.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Trained heads, for tcl and clip_dinoiser.")] = None,
    negatives: Annotated[
        str, typer.Option(help="dictionary, background, none, or a file with one text a line.")
    ] = "dictionary",
    original: Annotated[bool, typer.Option(help="Also use the method's own background handling.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
) -> None:
    """Segment photos by words, with their contrastive concepts as negatives."""
    if (classes is None) == (not query):
        raise UserError("--query: found both or neither of --query and --classes, expected one of them")
    from contrastive_concepts.logs import progress_bar
    from contrastive_concepts.segmentation.concept_segmenter import KINDS, ConceptSegmenter
    from contrastive_concepts.segmentation.folder import COCO, segment_photos
    from contrastive_concepts.segmentation.photos import find_photos
    from contrastive_concepts.text_files import read_lines

    if negatives not in KINDS and not Path(negatives).is_file():
        raise UserError(f"--negatives: found {negatives!r}, expected {', '.join(KINDS)} or a file of texts")
    queries = list(dict.fromkeys(query or ())) if classes is None else read_lines(classes, "classes, one a line")
    found = find_photos(photos, output)
    asked = ConceptSegmenter(
        dictionary,
        segmenter,
        model,
        pretrained,
        checkpoint=checkpoint,
        negatives=negatives,
        original=original,
        device=device,
    )
    # The contrastive set is made before any photo is read, so that a wrong query is one line.
    asked.check(queries, at_once=classes is not None)
    with progress_bar("segmenting", len(found)) as progress:
        failed = segment_photos(asked, found, queries, output, asked.described, classes is not None, progress=progress)
    for line in failed:
        print(f"passed over: {line}", file=sys.stderr)
    print(f"{len(found) - len(failed)} of {len(found)} photos in {output / COCO}")
