from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl

    from contrastive_concepts.errors import UserError
    from contrastive_concepts.vocabulary.concepts import merge_names, read_names

    source, mined = snakemake.input, snakemake.params.mined
    if mined:
        from contrastive_concepts.captions.manifest import check_captions, read_records
        from contrastive_concepts.vocabulary.mining import mine_concepts, sample_captions

        records = read_records(source.records, source.shards)
        check_captions(records)
        captions = sample_captions(records, mined.pop("sample"))
        names = mine_concepts(captions, **mined, processes=snakemake.threads)["concept"].to_list()
    elif "index" in source.keys():  # noqa: SIM118
        names = pl.read_parquet(source.index)["concept"].to_list()
    else:
        names = read_names(source.names)
    if not names:
        raise UserError("vocabulary: found no concept, expected at least one")
    concepts, merged = merge_names(names, snakemake.params.mode)
    print(f"{concepts.height} concepts from {len(names)} names")
    for name, kept, reason in merged.iter_rows():
        print(f"merged: {name!r} -> {kept!r} ({reason})")
    concepts.write_parquet(snakemake.output.concepts)
    merged.write_parquet(snakemake.output.merged)
