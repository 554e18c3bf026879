from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.captions.concept_index import stream_index, write_index

    path = snakemake.params.index
    if snakemake.input.get("names"):
        from contrastive_concepts.cooccurrence.unigram_index import stream_unigrams
        from contrastive_concepts.vocabulary.concepts import read_names

        lists = stream_unigrams(path, list(dict.fromkeys(read_names(snakemake.input.names))))
    else:
        lists = stream_index(path)
    write_index(lists, path, Path(snakemake.output.concepts).parent)
