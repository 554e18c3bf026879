import hashlib
import os
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.io import flag
from snakemake.path_modifier import PATH_MODIFIER_FLAG

from contrastive_concepts.captions.corpus import (
    check_inputs,
    corpus_shards,
    data_path,
    without_wildcard,
)
from contrastive_concepts.captions.files import is_url
from contrastive_concepts.captions.shards import unigram_shards
from contrastive_concepts.config.layers import without_other_variants
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.config.similarity import ENCODER_FILES, FURTHER
from contrastive_concepts.config.visibility import calibrations_of, gpus_of, judges_of
from contrastive_concepts.dictionary.manifest import DICTIONARY_FILES, file_sha256
from contrastive_concepts.errors import UserError
from contrastive_concepts.evaluation.inputs import check_benchmark, class_list
from contrastive_concepts.provenance import code_sha256, hand_on_to_jobs
from contrastive_concepts.resources import RESOURCES

hand_on_to_jobs(LIBRARY)

SCRIPTS = Path(LIBRARY) / "scripts"
# With a default storage provider the files of a run are in a bucket, not on this disk.
STORED = workflow.storage_settings.default_storage_provider is not None

# In `workflow.configfiles`, files from the command line come before those of the Snakefiles, which are merged first.
ASKED = list(workflow.overwrite_configfiles)
LAYERS = [
    *(load_configfile(path) for path in workflow.configfiles[len(ASKED) :]),
    *(load_configfile(path) for path in ASKED),
    workflow.config_settings.config or {},
]

try:
    SETTINGS = parse_config(without_other_variants(config, LAYERS))
    check_inputs(SETTINGS)
    check_benchmark(SETTINGS, RESOURCES / "classes")
    # Checked once, not in every job: each job parses the rules again.
    for judge in (*judges_of(SETTINGS.visibility), SETTINGS.writer):
        if workflow.is_main_process and judge.judge == "vllm":
            from contrastive_concepts.visibility.vllm_install import check_arguments

            check_arguments(judge)
    RESULTS = f"results/{SETTINGS.run}"
    SHARDS = {
        shard.shard: shard
        for shard in corpus_shards(SETTINGS, f"{RESULTS}/captions/toyworld")
    }
except UserError as error:
    raise WorkflowError(str(error)) from None

CORPUS = SETTINGS.captions
INDEXED = CORPUS.source in ("concept_index", "release")
READING = None if INDEXED else CORPUS.reading
INSPECTION = (
    None
    if INDEXED
    else {
        "layout": READING.format,
        "column": READING.column,
        "on_bad_shard": READING.on_bad_shard,
        "checksum": READING.checksum,
    }
)
# The numbers of captions by kind. A concept index or a release does not contain them.
STATISTICS = [] if INDEXED else f"{RESULTS}/cooccurrence/statistics.parquet"
VERDICTS = f"{RESULTS}/visibility/visibility.parquet"
VECTORS = f"{RESULTS}/similarity/embeddings.npy"
ENCODER = f"{RESULTS}/similarity/encoder.json"
CARRIED_ENCODER = ENCODER_FILES if SETTINGS.similarity.carries else ()
CARRIED = [
    *CARRIED_ENCODER,
    *([FURTHER] if SETTINGS.similarity.further_words else ()),
]
CARRIED_FILES = [f"{RESULTS}/similarity/{name}" for name in CARRIED]
FURTHER_WORDS = (
    f"{RESULTS}/vocabulary/further_words.parquet"
    if SETTINGS.similarity.further_words
    else []
)
MINED = SETTINGS.vocabulary.source == "mined"
# So small that a second core gains less than another job does with it.
TOY = CORPUS.source == "toyworld"
# spaCy uses one core of a process, so that each shard gets a job of its own.
WITH_SPACY = SETTINGS.matching.tagger == "spacy"
PER_JOB = 1 if WITH_SPACY else SETTINGS.matching.shards_per_job
BATCHES = {
    f"{number:04d}": list(SHARDS.values())[first : first + PER_JOB]
    for number, first in enumerate(range(0, len(SHARDS), PER_JOB))
}
RECORDS = expand(f"{RESULTS}/captions/batches/{{batch}}.json", batch=BATCHES)
# A mined vocabulary and the search for duplicates read all shards before they are counted.
INSPECTED_FIRST = MINED or (READING is not None and READING.deduplicate)
# Shards that a rule writes. With a storage provider their paths differ when they are read.
GENERATED = (
    [shard.path for shard in SHARDS.values()] if CORPUS.source == "toyworld" else []
)
BENCHMARK = SETTINGS.benchmark
CELLS = list(BENCHMARK.cells())
SWEEP = list(BENCHMARK.sweep_points())
ABSENT = BENCHMARK.asked_absent
SEEN_TOGETHER = (
    {"together": [f"{RESULTS}/benchmark/seen_together/{{dataset}}.parquet"]}
    if ABSENT and "seen_together" in ABSENT.kinds
    else {}
)
# `min_area` counts only in the results.
ASKED_ABSENT = (
    {"absent": ABSENT.model_dump(include={"kinds", "seed"})} if ABSENT else {}
)
BENCHMARK_TABLES = [f"{RESULTS}/benchmark/summary.md"] if CELLS or SWEEP else []


def is_mined_here(name):
    """Whether a contrastive set comes from this run's captions."""
    set_settings = BENCHMARK.sets[name]
    if set_settings.kind == "vocabulary":
        return True
    return set_settings.kind == "dictionary" and set_settings.folder is None


FIGURES = [
    *(f"{RESULTS}/figures/{'/'.join(picture)}.png" for picture in BENCHMARK.pictures()),
    *(f"{RESULTS}/benchmark/listings/{dataset}.md" for dataset in BENCHMARK.listings),
]
# Only with a set from this run's captions: otherwise the captions need not be counted.
COUNTED_NAMES = list(
    dict.fromkeys(cell.dataset for cell in CELLS if is_mined_here(cell.set))
)
SUMMARY = [
    f"{RESULTS}/figures/funnel.png",
    f"{RESULTS}/figures/thresholds.png",
    f"{RESULTS}/visibility/audit.html",
    *expand(f"{RESULTS}/figures/frequencies/{{dataset}}.png", dataset=COUNTED_NAMES),
]
WITH_SETS = [name for name in BENCHMARK.datasets if BENCHMARK.set_names(name)]
GPU = int(BENCHMARK.device.startswith("cuda"))
# An output that stays until its job replaces it. Not with a storage provider, which keeps no old copy on this disk.
KEPT = (lambda files: files) if STORED else update


wildcard_constraints:
    batch="[0-9]+",
    segmenter="[^/]+",
    backbone="[^/]+",
    dataset="[^/]+",
    figure="[^/]+",


def growing(megabytes):
    """Memory in MB that doubles with each attempt, so that a job that ran out of memory succeeds when it is retried."""
    return lambda wildcards, attempt: megabytes * 2 ** (attempt - 1)


def growing_with_threads(megabytes, of_thread):
    """As `growing`, with memory for each thread."""
    return lambda wildcards, threads, attempt: (
        megabytes + of_thread * threads
    ) * 2 ** (attempt - 1)


def gpus(number):
    """The resource `gpu`; empty for 0, because the Kubernetes executor reacts to the resource even if it is 0."""
    return {"gpu": number} if number else {}


def code_of(script):
    """Hash of a rule's script and of all modules that it imports. As a parameter, it reruns the rule after a change."""
    return lambda wildcards: code_sha256(SCRIPTS / f"{script}.py")


def settings_sha256(settings):
    """Hash of settings, to be part of a file's name."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]


def in_place(files):
    """Mark input as read from its own path: the default storage is not searched for it.

    Unlike local(), this does not force the job to run locally.
    """
    return flag(files, PATH_MODIFIER_FLAG)


def own_verdicts(judge):
    """The user's file of kept verdicts. A table of the project is part of the hash of the code."""
    name = judge.kept_verdicts
    of_the_project = {path.stem for path in (RESOURCES / "verdicts").iterdir()}
    if name is None or name in of_the_project:
        return []
    path = os.path.expanduser(name)
    # Checked once, not in every job.
    if workflow.is_main_process:
        from contrastive_concepts.visibility.verdicts import check_kept

        try:
            path = without_wildcard(str(check_kept(name, RESULTS)))
        except UserError as error:
            raise WorkflowError(str(error)) from None
    return [in_place(path)]


def data_file(path):
    """A file or folder of input data."""
    return in_place(data_path(SETTINGS, path))


def dictionary_files(folder, carried=()):
    """All files of a published dictionary, and those of the text encoder that it carries."""
    return [f"{folder}/{name}" for name in (*DICTIONARY_FILES, *carried)]


def shard_files(wildcards):
    """The local shards of a batch. A remote shard is no input: the job reads its URL."""
    local_shards = [shard for shard in BATCHES[wildcards.batch] if shard.is_local]
    return [shard.path if GENERATED else in_place(shard.path) for shard in local_shards]


def batch_shards(wildcards):
    """The shards of a batch, as plain data."""
    return [(shard.shard, shard.path) for shard in BATCHES[wildcards.batch]]


def index_inputs(wildcards):
    """Inputs of the concept index: its JSON unless at a URL; or the map, the unigram pickles and the concept list."""
    index = data_path(SETTINGS, CORPUS.index)
    if not CORPUS.is_unigram_map:
        return {} if is_url(index) else {"index": in_place(index)}
    names = data_file(SETTINGS.vocabulary.path)
    return {
        "index": in_place(index),
        "shards": in_place(unigram_shards(index)),
        "names": names,
    }


def vocabulary_input(wildcards):
    """Inputs of the concept list: a file, the captions, or the concept index."""
    source = SETTINGS.vocabulary.source
    if source == "given":
        return {"names": data_file(SETTINGS.vocabulary.path)}
    if source == "mined":
        return {"records": RECORDS, "shards": GENERATED}
    return {"index": f"{RESULTS}/captions/index/concepts.parquet"}


def dataset_files(wildcards):
    """Folder and class list of a data set. The toy world's folder contains its class list."""
    settings = BENCHMARK.datasets[wildcards.dataset]
    if settings.kind == "toyworld":
        return {"root": f"{RESULTS}/toyworld/images/{wildcards.dataset}"}
    return {
        "root": data_file(settings.root),
        "classes": in_place(class_list(SETTINGS, settings, RESOURCES / "classes")),
    }


def clip_files(backbone):
    """The local files of a CLIP model, which are given by their own paths; none for a tag."""
    settings = BENCHMARK.backbones[backbone]
    folder = settings.model.removeprefix("local-dir:")
    files = [] if folder == settings.model else Path(folder).iterdir()
    given = [settings.pretrained] if settings.pretrained else []
    return [
        in_place(str(file))
        for file in sorted([*files, *map(Path, given)])
        if file.is_file()
    ]


def weight_files(wildcards):
    """The files of a method: its CLIP, the official trained heads, the weights of a second image model."""
    own = BENCHMARK.segmenters[wildcards.segmenter].own_files
    return [*clip_files(wildcards.backbone), *map(data_file, own)]


def segmenting_threads(wildcards):
    """One for the segmenter; the others read images. Those of the toy world are read in no time."""
    toy = BENCHMARK.datasets[wildcards.dataset].kind == "toyworld"
    return 8 if GPU else 1 if toy else 2


def protocol_of(wildcards):
    """The protocol of a segmenter on a data set: the benchmark's, or that of the method's authors."""
    kind = BENCHMARK.datasets[wildcards.dataset].kind
    return BENCHMARK.segmenters[wildcards.segmenter].protocol_for(
        kind, BENCHMARK.protocol
    )


def segmenter_settings(wildcards):
    return BENCHMARK.segmenters[wildcards.segmenter].model_dump()


def backbone_settings(wildcards):
    return BENCHMARK.backbones[wildcards.backbone].model_dump()


def set_settings(dataset):
    """The settings of each contrastive set of a data set, with the value of each point of a sweep."""
    return {
        name: {**BENCHMARK.sets[name.rpartition("/")[2]].model_dump(), **changed}
        for name, changed in BENCHMARK.set_names(dataset).items()
    }


def set_inputs(wildcards):
    """Inputs of the contrastive sets of a data set."""
    sets = {
        name: BENCHMARK.sets[name.rpartition("/")[2]]
        for name in BENCHMARK.set_names(wildcards.dataset)
    }
    mined = [name for name in sets if is_mined_here(name.rpartition("/")[2])]
    selected = [
        name
        for name in mined
        if sets[name].kind == "vocabulary"
        or not sets[name].is_published
        or name.rpartition("/")[0]
    ]
    inputs = {
        "queries": (
            f"{RESULTS}/benchmark/queries/{wildcards.dataset}.parquet" if mined else []
        ),
        "further": [
            *map(in_place, set_texts(wildcards.dataset).values()),
            *map(data_file, set_synonyms(wildcards.dataset).values()),
            *(data_file(f"{each}/manifest.json") for each in set_folders(sets)),
            *set_words(wildcards.dataset).values(),
        ],
    }
    if selected:
        parts = any(
            (
                SETTINGS.selection.remove_parts
                if sets[name].remove_parts is None
                else sets[name].remove_parts
            )
            for name in selected
            if sets[name].kind == "dictionary"
        )
        inputs.update(stage_tables(parts))
    return inputs


def set_folders(sets):
    """Folders of the published dictionaries that contrastive sets use."""
    folders = (getattr(each, "folder", None) for each in sets.values())
    return list(dict.fromkeys(folder for folder in folders if folder))


def set_texts(dataset):
    """The text file of each contrastive set that has one: the authors' format, class names, or words."""
    found = {}
    for name in BENCHMARK.set_names(dataset):
        set_settings = BENCHMARK.sets.get(name)
        if getattr(set_settings, "files", None):
            found[name] = data_path(SETTINGS, set_settings.files[dataset])
        elif getattr(set_settings, "kind", None) == "background_words":
            own = set_settings.path
            found[name] = (
                str(RESOURCES / "background_words.txt")
                if own is None
                else data_path(SETTINGS, own)
            )
    return found


def set_synonyms(dataset):
    """The class-name file of each contrastive set with further names of classes."""
    names = BENCHMARK.set_names(dataset)
    files = {name: BENCHMARK.sets[name.rpartition("/")[2]].synonyms for name in names}
    return {
        name: of_set[dataset] for name, of_set in files.items() if dataset in of_set
    }


def set_words(dataset):
    """The vocabulary of each random or pseudo set, with the numbers of captions if these are to be matched."""
    words = {}
    for name in BENCHMARK.set_names(dataset):
        set_settings = BENCHMARK.sets.get(name)
        like = BENCHMARK.sets.get(getattr(set_settings, "like", None))
        if like is not None:
            folder = getattr(like, "folder", None)
            counted = getattr(set_settings, "match", "number") == "frequency"
            stage = "cooccurrence" if counted else "vocabulary"
            words[name] = (
                data_file(f"{folder}/concepts.parquet")
                if folder
                else f"{RESULTS}/{stage}/concepts.parquet"
            )
    return words


def selection_of(wildcards):
    """The thresholds that contrastive sets depend on; None if none comes from this run's dictionary."""
    names = BENCHMARK.set_names(wildcards.dataset)
    if not any(is_mined_here(name.rpartition("/")[2]) for name in names):
        return None
    return {
        "settings": SETTINGS.selection.model_dump(),
        "corpus": CORPUS.corpus,
        "unparsed": SETTINGS.visibility.unparsed,
    }


def texts_file(segmenter, backbone):
    """The embedded texts of a segmenter. Methods with the same prompts and mean share them."""
    settings = BENCHMARK.segmenters[segmenter]
    return f"{RESULTS}/benchmark/texts/{backbone}/{settings.templates}-{settings.mean}.parquet"


def vocabulary_vectors(wildcards):
    """The embedded vocabulary, if it has the texts' model and prompts and its run's dictionary is benchmarked."""
    backbone, similarity = BENCHMARK.backbones[wildcards.backbone], SETTINGS.similarity
    same = (
        similarity.encoder == "open_clip"
        and (similarity.model, similarity.pretrained, similarity.templates)
        == (backbone.model, backbone.pretrained, wildcards.templates)
        and wildcards.mean == "unit"
        and any(is_mined_here(cell.set) for cell in CELLS)
    )
    if not same:
        return {"encoder": []}
    return {
        "concepts": f"{RESULTS}/vocabulary/concepts.parquet",
        "vectors": VECTORS,
        "encoder": ENCODER,
    }


def stage_tables(remove_parts):
    """Inputs of the selection of contrastive concepts. If `remove_parts` is None, selection.remove_parts decides."""
    if remove_parts is None:
        remove_parts = SETTINGS.selection.remove_parts
    return {
        "matrix": f"{RESULTS}/cooccurrence/cooccurrence.npz",
        "concepts": f"{RESULTS}/cooccurrence/concepts.parquet",
        "verdicts": VERDICTS,
        "vectors": VECTORS,
        "parts": PARTS if remove_parts else [],
        "statistics": STATISTICS,
    }


def picture_inputs(wildcards):
    """Inputs of a picture: images, contrastive sets and, if one of them is mined in this run, the nearest concepts."""
    shown = BENCHMARK.shown_sets(
        wildcards.figure, wildcards.segmenter, wildcards.dataset
    )
    mined = any(is_mined_here(name) for name in shown)
    queries = f"{RESULTS}/benchmark/queries/{wildcards.dataset}.parquet"
    return {
        **dataset_files(wildcards),
        "sets": f"{RESULTS}/benchmark/sets/{wildcards.dataset}.json",
        "texts": texts_file(wildcards.segmenter, wildcards.backbone),
        "queries": queries if mined else [],
    }


CLASS_LISTS = SETTINGS.writing.class_lists
CC_L = f"{RESULTS}/cc_l/{{classes}}"


def written_dictionaries(wildcards):
    """The dictionary files of each class list's CC^L. Raises WorkflowError if no class list is configured."""
    if not CLASS_LISTS:
        raise WorkflowError(
            "config: writing.class_lists: found none, expected the class lists to write CC^L for"
        )
    return expand(
        dictionary_files(f"{CC_L}/dictionary", CARRIED_ENCODER), classes=CLASS_LISTS
    )
