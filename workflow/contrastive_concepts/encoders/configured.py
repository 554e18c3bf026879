"""The text encoder that settings name. A light one is exported once for a user and then runs without torch.

To import torch and the library that loads an encoder takes ten seconds, more than to judge some hundred words. The
export gives the same vectors up to rounding, which is checked as it is made.
"""

from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from contrastive_concepts.config.similarity import Cleaning, OpenClipModel, SentenceModel
from contrastive_concepts.encoders import normalise
from contrastive_concepts.encoders.carried import SAME, CarriedText
from contrastive_concepts.encoders.clip import CARRIED
from contrastive_concepts.encoders.text import TextEncoder, encoder_name, load_encoder, model_folder
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import content_sha256
from contrastive_concepts.resources import made_whole, resource, user_cache
from contrastive_concepts.text_files import read_json_as

DESCRIPTION = "encoder.json"
COMPARED = (
    "boat",
    "a photo of a hot dog.",
    "You can touch a cafe\u0301",
    "12 oz. of freedom &amp; \u8239",
    "word " * 100,
)
"""Texts that an export is compared on."""
_GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of the drivers of NVIDIA and AMD, and of either below Windows."""


class _Exported(BaseModel):
    """What of an encoder is not in its two files."""

    weights_sha256: str
    cleaning: Cleaning


def build_encoder(settings: OpenClipModel | SentenceModel, key: str = "similarity") -> TextEncoder:
    """The encoder that the settings name. Raises UserError with the config's `key` if it or its library is missing.

    A light encoder that need not run on a GPU is exported to the user's cache, if that can be written, or taken from
    there. The folder's name is a hash of the model's files and of the code that exports them.
    """
    if not settings.is_light or not _runs_on_cpu(settings.device):
        return load_encoder(settings, key)
    is_clip = isinstance(settings, OpenClipModel)
    model = resource(CARRIED[settings.model]) if is_clip else Path(model_folder(settings.model, key))
    code = [Path(__file__).with_name(name) for name in ("carried.py", "carry.py", "text_tower.py")]
    files = [*sorted(path for path in model.rglob("*") if path.is_file()), *code]
    try:
        folder = user_cache("encoders") / content_sha256(files)
    except (OSError, RuntimeError):  # a file of the model cannot be read, or the user has no home
        return load_encoder(settings, key)
    try:
        return _read(folder, encoder_name(settings))
    except UserError:
        encoder = load_encoder(settings, key)
    # The cache may not be writable, the exporter not installed, the encoder beyond it, or another process quicker.
    with suppress(OSError, ImportError, UserError):
        _export(encoder, folder)
    try:
        return _read(folder, encoder_name(settings))
    except UserError:
        return encoder


def _read(folder: Path, name: str) -> CarriedText:
    exported = read_json_as(_Exported, folder / DESCRIPTION, "an exported text encoder")
    return CarriedText(folder, name, exported.weights_sha256, exported.cleaning)


def _export(encoder: TextEncoder, folder: Path) -> None:
    """Write the export as a whole. Raises UserError if its vectors differ."""
    from contrastive_concepts.encoders.carry import carry

    with made_whole(folder) as made:
        cleaning = carry(encoder, made)
        exported = _Exported(weights_sha256=encoder.weights_sha256, cleaning=cleaning)
        (made / DESCRIPTION).write_text(exported.model_dump_json())
        vectors = normalise(_read(made, encoder.name).encode(COMPARED))
        if (vectors * normalise(encoder.encode(COMPARED))).sum(axis=1).min() < SAME:
            raise UserError(f"{encoder.name}: the export gives other vectors")


def _runs_on_cpu(device: str) -> bool:
    return device == "cpu" or (device == "auto" and not any(Path(each).exists() for each in _GPUS))
