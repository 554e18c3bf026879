"""`contrastive-concepts demo`: the page on which pictures are segmented."""

import itertools
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contrastive_concepts.cli.segment import (
    Checkpoint,
    Device,
    Dictionary,
    ImageModel,
    ImageWeights,
    Method,
    Model,
    Options,
    Original,
    Pretrained,
    concept_segmenter,
    needing,
)
from contrastive_concepts.errors import UserError, one_line

if TYPE_CHECKING:
    from contrastive_concepts.segmentation.page import Example

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
"""Names of this machine, and that of its last address as browsers write it."""


def demo(
    examples: Annotated[
        Path | None, typer.Option(help="Folder of photos to offer. By default pictures of the toy world.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: for all who reach this machine.")
    ] = LOOPBACK[0],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 7860,
    dictionary: Dictionary = None,
    segmenter: Method = "maskclip",
    model: Model = "toyworld-clip",
    pretrained: Pretrained = None,
    checkpoint: Checkpoint = None,
    image_model: ImageModel = None,
    image_weights: ImageWeights = None,
    option: Options = None,
    original: Original = False,
    device: Device = "auto",
) -> None:
    """Segment pictures in the browser: the mask without negatives, with "background", the dictionary's and your own.

    The page asks no other machine for anything."""
    with needing("demo", "demo"):
        import pycocotools  # noqa: F401  used when a mask is downloaded
        import uvicorn

        from contrastive_concepts.segmentation.page import folder_examples, page
    if not host:
        raise UserError("--host: found an empty text, expected an address such as 127.0.0.1")
    offered = toy_examples() if examples is None else folder_examples(examples)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"{host}:{port}: cannot be listened on ({one_line(error)}), see --host and --port") from None
    asked = concept_segmenter(
        dictionary,
        segmenter,
        model,
        pretrained,
        second=(image_model, image_weights),
        options=option,
        checkpoint=checkpoint,
        original=original,
        device=device,
    )
    # The name that a browser asked for: pages of other sites cannot reach this one under a name of their own.
    hosts = LOOPBACK if host in LOOPBACK else ("*",)
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
    # A list of negatives is part of the address.
    config = uvicorn.Config(page(asked, offered, hosts), log_level="warning", h11_max_incomplete_event_size=1 << 20)
    uvicorn.Server(config).run(sockets=[listening])


def toy_examples(count: int = 6) -> "list[Example]":
    """The first held-out pictures of the toy world whose largest things differ and cover at least a tenth."""
    import numpy as np

    from contrastive_concepts.segmentation.page import Example
    from contrastive_concepts.toyworld.corpus import HELD_OUT
    from contrastive_concepts.toyworld.grammar import CLASSES, THINGS
    from contrastive_concepts.toyworld.render import draw_image

    found: dict[str, Example] = {}
    for image in itertools.count(HELD_OUT):
        pixels, labels = draw_image(0, image)
        counts = np.bincount(labels.ravel(), minlength=len(CLASSES) + 1)[1 : len(THINGS) + 1]
        thing = CLASSES[int(counts.argmax())]
        if counts.max() >= labels.size / 10 and thing not in found:
            found[thing] = Example(f"toy_{image - HELD_OUT:06d}", thing, partial(np.copy, pixels))
        if len(found) == count:
            break
    return list(found.values())
