import sys
from pathlib import Path

# The library beside these rules is the one that runs, in every job and every environment.
LIBRARY = str(Path(str(workflow.current_basedir)).parent)
sys.path.insert(0, LIBRARY)

from snakemake.exceptions import WorkflowError

from contrastive_concepts.captions.corpus import check_inputs, corpus_shards, data_path
from contrastive_concepts.config.load import parse_config
from contrastive_concepts.config.visibility import gpus_of
from contrastive_concepts.errors import UserError
from contrastive_concepts.provenance import (
    code_sha256,
    content_sha256,
    hand_on_to_jobs,
)

hand_on_to_jobs(LIBRARY)

try:
    SETTINGS = parse_config(config)
    check_inputs(SETTINGS)
    RESULTS = f"results/{SETTINGS.run}"
    SHARDS = {
        shard.shard: shard
        for shard in corpus_shards(SETTINGS, f"{RESULTS}/captions/toyworld")
    }
except UserError as error:
    raise WorkflowError(str(error)) from None

CORPUS = SETTINGS.captions
INDEXED = CORPUS.source == "concept_index"
RESOURCES = Path(LIBRARY).parent / "resources"
MINED = SETTINGS.vocabulary.source == "mined"
RECORDS = expand(f"{RESULTS}/captions/shards/{{shard}}.json", shard=SHARDS)


wildcard_constraints:
    shard="[A-Za-z0-9][A-Za-z0-9-]*",


def shard_file(wildcards):
    """The shard itself where it is a local file; a remote one is read by its address."""
    shard = SHARDS[wildcards.shard]
    return [shard.path] if shard.is_local else []


def vocabulary_input(wildcards):
    """What the concept list is made from: a file, the captions, or the concept index."""
    source = SETTINGS.vocabulary.source
    if source == "given":
        return {"names": data_path(SETTINGS, SETTINGS.vocabulary.path)}
    if source == "mined":
        return {"records": RECORDS}
    return {"index": f"{RESULTS}/captions/index/concepts.parquet"}
