"""`contrastive-concepts bench`: what the costly stages cost on this machine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from contrastive_concepts.segmenters.segmenter import Segmenter

app = typer.Typer(help="Measure speed and memory on this machine.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure speed and memory on this machine."""


@app.command()
def segmentation(
    photos: Annotated[
        Path | None, typer.Option(help="ADEChallengeData2016's folder; without it images are generated.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Images that both ways segment.")] = 2,
    model: Annotated[
        str, typer.Option(help="open_clip's name of an architecture; its weights are random.")
    ] = "ViT-B-16",
    method: Annotated[str, typer.Option(help="A segmenter without trained heads: maskclip, gem.")] = "maskclip",
    memory: Annotated[
        str, typer.Option(help="Also the peak memory for so many generated images each, as 16,64,256.")
    ] = "",
    peak_of: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """IoU-single with every image encoded once, against one full forward for each image, class and set.

    Eight classes an image, four contrastive sets, the same images in one run; both ways must give the same numbers."""
    from contrastive_concepts.evaluation.speed import ade_photos, compare_ways, generated, peak_memory_mb

    if peak_of:
        print(json.dumps(round(peak_memory_mb(_segmenter(method, model), generated(peak_of)))))
        return
    samples = list(generated(images) if photos is None else ade_photos(photos, images))
    print(f"{method}, {model}, {'generated images' if photos is None else 'photos'}")
    print(compare_ways(_segmenter(method, model), samples), flush=True)
    for count in (int(part) for part in memory.split(",") if part):
        command = [sys.executable, "-m", "contrastive_concepts", "bench", "segmentation", "--peak-of", str(count)]
        done = subprocess.run(
            [*command, "--model", model, "--method", method], stdout=subprocess.PIPE, text=True, check=True
        )
        print(f"{count} images: peak {json.loads(done.stdout)} MB", flush=True)


def _segmenter(method: str, model: str) -> "Segmenter":
    import open_clip
    import torch

    from contrastive_concepts.errors import UserError
    from contrastive_concepts.segmenters import build

    if model not in open_clip.list_models():
        raise UserError(f"--model: found {model!r}, expected a model that open_clip lists")
    torch.manual_seed(0)
    return build(method, open_clip.create_model(model, pretrained=None).eval())
