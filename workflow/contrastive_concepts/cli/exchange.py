"""`contrastive-concepts import`, `export`, `diff`, `explore`: import, export, compare and browse dictionaries."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from contrastive_concepts.errors import UserError

DETECTOR_LISTS = ("coco", "yolo")
CLASS_LISTS = ("names", *DETECTOR_LISTS)
"""Formats of one list for all classes; the others have the contrastive concepts of each."""


def import_(
    release: Annotated[Path, typer.Argument(help="The authors' pickle: laion400m_lemmatized.pkl.")],
    visibility: Annotated[Path, typer.Option(help="The authors' JSON of visible concepts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the dictionary.")],
    gamma: Annotated[
        float, typer.Option(min=0, max=1, help="Conditional frequency above which a concept is a candidate.")
    ] = 0.01,
    delta: Annotated[
        float, typer.Option(min=-1, max=1.01, help="Candidates with this cosine or more are dropped.")
    ] = 0.8,
    unparsed: Annotated[
        Literal["keep", "drop"],
        typer.Option(help="Concepts that are not in the JSON. drop: not visible; keep: visible."),
    ] = "drop",
) -> None:
    """Make a dictionary from the authors' release, with the authors' rule."""
    from contrastive_concepts.dictionary.official import import_release

    manifest = import_release(output, release, visibility, gamma, delta, unparsed)
    print("\n".join(f"{count:>10,} {name}" for name, count in manifest.counts.items()))
    if not manifest.counts["contrastive concepts"]:
        raise UserError(f"{output}: found no contrastive concept in {release}, expected at least one; see the counts")


def export(
    folder: Annotated[str, typer.Argument(help="Name, folder or address of a dictionary.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New file; for text, hf and standalone a new folder.")],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            help="text (the authors' files), names (the class-name files of SCLIP, ClearCLIP, NACLIP), coco, yolo "
            "(class lists of queries and negatives), json, csv, parquet, hf or standalone.",
        ),
    ] = "text",
    prompts: Annotated[
        Path | None, typer.Option(help="Your class names, one per line. By default all concepts of the dictionary.")
    ] = None,
    background: Annotated[
        bool | None,
        typer.Option(
            "--background/--no-background", help="Put 'background' first. The default, but for coco and yolo."
        ),
    ] = None,
    types: Annotated[
        bool,
        typer.Option(
            "--types",
            help="json, csv, parquet: also what was rejected, with its type (confusable, part, abstract, generic).",
        ),
    ] = False,
    separator: Annotated[
        str, typer.Option(help="names: what separates the names of a class, ', ', ',' or '; '.")
    ] = ", ",
    first: Annotated[
        str,
        typer.Option(
            help="names: what happens to the first line of the prompts. replace: it has the background's names, and "
            "the contrastive concepts take their place; extend: they are added to it; add: they get a new first line."
        ),
    ] = "replace",
    beta: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="names, coco, yolo: concepts with a higher cosine to any class are dropped. By default the "
            "dictionary's beta.",
        ),
    ] = None,
    at_most: Annotated[int | None, typer.Option(min=1, help="coco, yolo: number of negatives to keep.")] = None,
) -> None:
    """Write contrastive concepts for your own code."""
    from typing import get_args

    from contrastive_concepts.adapters import Prompts
    from contrastive_concepts.adapters.coco import write_categories
    from contrastive_concepts.adapters.yolo import write_names
    from contrastive_concepts.dictionary.class_names import Separator
    from contrastive_concepts.dictionary.contrastive import ContrastiveConcepts
    from contrastive_concepts.dictionary.export import FirstLine, Format, export_class_names
    from contrastive_concepts.dictionary.export import export as write
    from contrastive_concepts.visibility.cc_text import read_classes

    given = (("--format", form, (*get_args(Format), *CLASS_LISTS)), ("--first", first, get_args(FirstLine)))
    for option, found, known in (*given, ("--separator", separator, get_args(Separator))):
        if found not in known:
            raise UserError(f"{option}: found {found!r}, expected one of {', '.join(map(repr, known))}")
    background = form not in DETECTOR_LISTS if background is None else background
    dictionary = ContrastiveConcepts.load(folder, background=background)
    if at_most is not None and form not in DETECTOR_LISTS:
        raise UserError(f"--at-most: found the format {form!r}, expected one of {', '.join(DETECTOR_LISTS)}")
    if form in CLASS_LISTS:
        if types:
            raise UserError(f"--types: found the format {form!r}, expected json, csv or parquet")
        if prompts is None:
            raise UserError(f"--prompts: missing, expected your class-name file for --format {form}")
        if form == "names":
            beta = dictionary.manifest.thresholds["beta"] if beta is None else beta
            print(export_class_names(dictionary, prompts, output, separator, first, beta))  # type: ignore[arg-type]
            return
        write_list = write_categories if form == "coco" else write_names
        write_list(Prompts.of(dictionary, read_classes(prompts), at_most, beta, background), output)
        print(output)
        return
    texts = list(dictionary) if prompts is None else read_classes(prompts)
    name = "concepts" if prompts is None else prompts.stem
    for file in write(dictionary, texts, output, form, name, types):  # type: ignore[arg-type]
        print(file)


def diff(
    a: Annotated[str, typer.Argument(help="Name, folder or address of a dictionary.")],
    b: Annotated[str, typer.Argument(help="Name, folder or address of another dictionary.")],
    show: Annotated[int, typer.Option(min=0, help="Number of concepts to list, the least similar first.")] = 20,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Parquet file for all concepts.")] = None,
    page: Annotated[Path | None, typer.Option(help="HTML file to browse both dictionaries side by side.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Show what the second dictionary adds and drops."""
    from contrastive_concepts.dictionary.compare import compare
    from contrastive_concepts.dictionary.contrastive import dictionary_folder
    from contrastive_concepts.dictionary.explorer import write_explorer

    folders = dictionary_folder(a), dictionary_folder(b)
    found = compare(*folders)
    if output:
        found.concepts.write_parquet(output)
    if page:
        write_explorer(folders[0], page, folders[1])
    if as_json:
        print(json.dumps(found.summary))
        return
    print("\n".join(f"{value:>10} {name}" for name, value in found.summary.items()))
    for concept, _, added, dropped, jaccard in found.concepts.head(show).iter_rows():
        if jaccard < 1:
            changes = [f"+{name}" for name in added] + [f"-{name}" for name in dropped]
            print(f"{concept} ({jaccard:.2f})\n    {', '.join(changes)}")


def explore(
    folder: Annotated[
        str, typer.Argument(help="Name, folder or address of a dictionary. By default redcaps.")
    ] = "redcaps",
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("explorer.html"),
) -> None:
    """Write one HTML page to search a dictionary, which needs no server or network."""
    from contrastive_concepts.dictionary.contrastive import dictionary_folder
    from contrastive_concepts.dictionary.explorer import write_explorer

    write_explorer(dictionary_folder(folder), output)
    print(output)
