"""Measures the segmenters and the text tower on a GPU, with random weights of the right shapes. `gpu.sh` runs it."""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import open_clip
import torch
import typer
import yaml

from benchmarks.page import machine, write_section
from benchmarks.segmentation import class_names, four_sets, generated, random_segmenter, random_vectors
from contrastive_concepts.config import methods
from contrastive_concepts.config.benchmark import BenchmarkSettings
from contrastive_concepts.config.evaluation import Protocol
from contrastive_concepts.encoders.text_tower import encode_tokens
from contrastive_concepts.evaluation.datasets import open_dataset
from contrastive_concepts.evaluation.features import CroppedSample, crop_sample, encode_cropped
from contrastive_concepts.evaluation.protocol import label_maps, similarities
from contrastive_concepts.evaluation.scoring import GPU_SCORES, Experiment, Scorer, experiment_texts
from contrastive_concepts.evaluation.single import labels_in, present_names, shown_classes, single_query
from contrastive_concepts.evaluation.streaming import score_images
from contrastive_concepts.evaluation.texts import embed_once
from contrastive_concepts.markup import markdown_table
from contrastive_concepts.segmenters.segmenter import Segmenter
from contrastive_concepts.similarity.ensemble import load_templates

METHODS = tuple(name for name, method in methods.METHODS.items() if not method.image_model)
PRECISIONS = ("float32", "bfloat16")
BATCH = 32
"""Windows in a batch of the encoder."""
READERS = 8
STUDY = "config/paper.yaml"
IMAGES_OF_KIND = {
    "voc21": 1449,
    "cityscapes": 500,
    "coco_stuff": 5000,
    "ade20k": 2000,
    "coco_object": 5000,
    "context60": 5104,
}
"""Images of each data set's validation part."""
WINDOWS_OF_KIND = {"cityscapes": 3}
"""Windows of an image, where they are not two."""


@dataclass(frozen=True)
class Speed:
    """Seconds an image to encode it, and to encode and score it. memory: peak of the GPU's memory in GB."""

    method: str
    model: str
    precision: str
    encode: float
    both: float
    memory: float

    @property
    def cells(self) -> tuple[str, ...]:
        rates = (f"{1 / self.encode:.0f}", f"{1 / self.both:.0f}", f"{self.encode / self.both:.0%}")
        return (self.method, self.model, self.precision, *rates, f"{self.memory:.1f}")


def measure(
    page: Annotated[Path, typer.Argument(help="Markdown page whose section `GPU` is replaced.")],
    device: Annotated[str, typer.Option(help="Device of torch.")] = "cuda",
    model: Annotated[str, typer.Option(help="open_clip's name of the architecture.")] = "ViT-B-16",
    large: Annotated[str, typer.Option(help="A larger one, for texts and MaskCLIP.")] = "ViT-L-14",
    images: Annotated[int, typer.Option(min=2, help="Images of a measurement, 512 x 683 pixels each.")] = 256,
) -> None:
    """Measure images per second of each segmenter, prompts per second, and how often the label maps equal the CPU's."""
    start = time.perf_counter()
    samples = [crop_sample(sample, Protocol()) for sample in generated(images)]
    speeds = []
    for name, method, precision in [
        *((model, method, precision) for method in METHODS for precision in PRECISIONS),
        *((large, "maskclip", precision) for precision in PRECISIONS),
    ]:
        speeds.append(segmenter_speed(method, name, precision, samples, device))
        print(*speeds[-1].cells, flush=True)
    head = ("method", "model", "precision", "encode, images/s", "encode + score, images/s", "encoder's share", "GB")
    text = f"{device_name(device)}, torch {torch.__version__}; {machine()}.\n\n"
    text += (
        f"{images} images of 512 x 683 pixels (two windows, {BATCH} windows in a batch) with eight classes each, under "
        "four contrastive sets, IoU-single and mIoU over ADE20K's 150 classes; weights and text vectors are random.\n\n"
    )
    text += markdown_table(head, [speed.cells for speed in speeds])
    rows = []
    for method in METHODS:
        agreements = agreement(method, model, samples[:3], device)
        rows.append((method, *(f"{share:.4%}" for share in agreements)))
        print(*rows[-1], flush=True)
    text += "\nPixels of three images, over all queries and sets, with the same label as on the CPU in float32:\n\n"
    text += markdown_table(("method", *PRECISIONS), rows)
    text += "\nThe whole pass over a folder of JPEG images, read by other processes:\n\n"
    whole = {precision: whole_pass(model, precision, images, device) for precision in PRECISIONS}
    text += markdown_table(("precision, MaskCLIP", "images/s"), [(key, f"{rate:.0f}") for key, rate in whole.items()])
    text += "\nText prompts, in batches of 256, tokens included:\n\n"
    prompts = [(name, f"{prompts_per_second(name, device):,.0f}") for name in (model, large)]
    text += markdown_table(("model", "prompts/s"), prompts)
    text += f"\n{study(speeds, model, whole)}\n\n{faiss_note()} {judge_note()}\n\n"
    text += f"Measured in {time.perf_counter() - start:.0f} s.\n"
    print(text)
    write_section(page, "GPU", text)


def segmenter_speed(method: str, model: str, precision: str, samples: Sequence[CroppedSample], device: str) -> Speed:
    segmenter = random_segmenter(method, model, precision, device)
    scorer = _scorer(segmenter, device)
    _reset_peak(device)
    _exhaust(scorer.score_all(encode_cropped(segmenter, samples[: BATCH // 2], BATCH)))
    encode = _seconds(device, lambda: _exhaust(encode_cropped(segmenter, samples, BATCH)))
    both = _seconds(device, lambda: _exhaust(scorer.score_all(encode_cropped(segmenter, samples, BATCH))))
    return Speed(method, model, precision, encode / len(samples), both / len(samples), _peak(device))


def agreement(method: str, model: str, samples: Sequence[CroppedSample], device: str) -> list[float]:
    """For each precision the share of pixels, over all queries and sets, with the same label as on the CPU."""
    expected = _all_maps(random_segmenter(method, model, "float32", "cpu"), samples, 0)
    shares = []
    for precision in PRECISIONS:
        found = _all_maps(random_segmenter(method, model, precision, device), samples, GPU_SCORES)
        shares.append(float(np.mean([(one == other).mean() for one, other in zip(expected, found, strict=True)])))
    return shares


def whole_pass(model: str, precision: str, images: int, device: str) -> float:
    """Images per second of MaskCLIP over a folder of JPEG images in ADE20K's layout, as the workflow's job runs it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("images", "annotations"):
            (folder / part / "validation").mkdir(parents=True)
        for number, sample in enumerate(generated(images)):
            stem = f"ADE_val_{number:08d}"
            # A photo is smoother than noise, and its JPEG smaller.
            smooth = cv2.GaussianBlur(sample.image, (0, 0), 4)
            cv2.imwrite(str(folder / "images" / "validation" / f"{stem}.jpg"), smooth)
            # ADE20K's files hold the class + 1.
            labels = np.where(sample.labels == 255, 0, sample.labels + 1).astype(np.uint8)
            cv2.imwrite(str(folder / "annotations" / "validation" / f"{stem}.png"), labels)
        segmenter = random_segmenter("maskclip", model, precision, device)
        scorer, dataset = _scorer(segmenter, device), open_dataset("ade20k", folder)
        protocol = Protocol(batch=BATCH)
        return images / _seconds(
            device,
            lambda: score_images(dataset, segmenter, scorer, protocol, folder / "pixels", "0", READERS, device=device),
        )


def prompts_per_second(model: str, device: str, concepts: int = 64) -> float:
    torch.manual_seed(0)
    tower, tokenizer = open_clip.create_model(model, pretrained=None).eval().to(device), open_clip.get_tokenizer(model)
    names = class_names()[:concepts]
    prompts = [template(name) for name in names for template in load_templates("imagenet")]

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> None:
        for first in range(0, len(texts), 256):
            encode_tokens(tower, tokenizer(list(texts[first : first + 256])).to(device)).cpu()

    encode(prompts[:256])
    return len(prompts) / _seconds(device, lambda: encode(prompts))


def study(speeds: Sequence[Speed], model: str, whole: dict[str, float]) -> str:
    """The time of the whole study's segmentation from the measured speeds, in words."""
    settings = BenchmarkSettings.model_validate(yaml.safe_load(Path(STUDY).read_text())["benchmark"])
    hours = {}
    for precision in PRECISIONS:
        seconds = 0.0
        of_method = {each.method: each for each in speeds if (each.model, each.precision) == (model, precision)}
        reading = max(1 / whole[precision] - of_method["maskclip"].both, 0.0)
        for segmenter, backbone, dataset in settings.encodings():
            speed = of_method[settings.segmenters[segmenter].method]
            kind, images = settings.datasets[dataset].kind, getattr(settings.datasets[dataset], "images", None)
            sets = len(settings.experiments(segmenter, backbone, dataset))
            windows = WINDOWS_OF_KIND.get(kind, 2)
            of_image = speed.encode * windows / 2 + (speed.both - speed.encode) * sets / 4 + reading
            seconds += of_image * (images or IMAGES_OF_KIND[kind])
        hours[precision] = seconds / 3600
    return (
        f"Extrapolated to `{STUDY}` ({len(settings.encodings())} passes): "
        + " and ".join(f"{value:.1f} h in {precision}" for precision, value in hours.items())
        + " for its segmentation, the sum over all passes of images x (w / 2 x e + S / 4 x s + r): e seconds to encode "
        "an image of two windows, s to score it under four sets, r what the whole pass takes beside both, w the "
        "windows of an image, S the pass's experiments. Only numbers of pixels stay on disk."
    )


def faiss_note() -> str:
    """FAISS on this GPU against the CPU, or why it was not measured."""
    try:
        import faiss
    except ImportError:
        return "FAISS is not installed here and was not measured."
    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return "FAISS is installed here without GPU support and was not measured on the GPU."
    generator = np.random.default_rng(0)
    vectors, asked = (generator.standard_normal((rows, 512), np.float32) for rows in (100_000, 10_000))
    index = faiss.IndexFlatIP(512)
    index.add(vectors)
    on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    on_gpu.search(asked[:8], 1)
    started = time.perf_counter()
    found = on_gpu.search(asked, 1)[1]
    middle = time.perf_counter()
    expected = index.search(asked, 1)[1]
    end = time.perf_counter()
    equal = (found == expected).mean()
    return (
        f"FAISS, nearest of 100,000 vectors for 10,000 queries: {middle - started:.3f} s on the GPU, "
        f"{end - middle:.3f} s on the CPU; {equal:.2%} of the neighbours are equal."
    )


def judge_note() -> str:
    if importlib.util.find_spec("vllm") is None:
        return "vLLM is not installed here: the judge behind its server was not measured."
    return "vLLM is installed here: `contrastive-concepts bench judge` measures the judge behind its server."


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"


def _scorer(segmenter: Segmenter, device: str) -> Scorer:
    names = class_names()
    experiments = [
        Experiment(each.name, each, ("IoU-single",) if number == 3 else ("IoU-single", "mIoU"))
        for number, each in enumerate(four_sets(names))
    ]
    texts = embed_once(experiment_texts(segmenter, names, range(len(names)), experiments), random_vectors(segmenter))
    return Scorer(segmenter, names, range(len(names)), experiments, texts, device)


@torch.inference_mode()
def _all_maps(segmenter: Segmenter, samples: Sequence[CroppedSample], scores_at_once: int) -> list[Any]:
    """The label maps of all queries of all images under four sets, uint8."""
    names, device = class_names(), segmenter.tower.device
    sets = four_sets(names)
    texts = embed_once(
        experiment_texts(segmenter, names, range(len(names)), [Experiment(s.name, s) for s in sets]),
        random_vectors(segmenter),
    )
    maps = []
    for sample in encode_cropped(segmenter, samples, BATCH):
        labels = labels_in(sample.labels)
        shown, present = shown_classes(labels, range(len(names))), present_names(labels, names)
        for each in sets:
            asked = [single_query(segmenter, each, names[label], present).texts for label in shown]
            used = list(dict.fromkeys(text for of_query in asked for text in of_query))
            compared = similarities(segmenter, sample.encoded, torch.from_numpy(texts.select(used)).to(device))
            columns = [[used.index(text) for text in of_query] for of_query in asked]
            for _, found in label_maps(segmenter, sample.encoded, compared, columns, scores_at_once):
                maps += list(found.to(torch.uint8).cpu().numpy())
    return maps


def _exhaust(steps: Iterable[object]) -> None:
    for _ in steps:
        pass


def _seconds(device: str, work: Callable[[], object]) -> float:
    _synchronize(device)
    start = time.perf_counter()
    work()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: str) -> float:
    return torch.cuda.max_memory_allocated() / 1e9 if device.startswith("cuda") else 0.0


if __name__ == "__main__":
    typer.run(measure)
