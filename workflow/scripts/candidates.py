from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.selection import AssociationSettings
    from contrastive_concepts.cooccurrence.association import associate, count_captions
    from contrastive_concepts.cooccurrence.candidates import find_candidates
    from contrastive_concepts.cooccurrence.matrix import load_matrix
    from contrastive_concepts.errors import UserError

    concepts = pl.read_parquet(snakemake.input.concepts)["concept"].to_list()
    matrix = load_matrix(snakemake.input.matrix)
    params = snakemake.params
    candidates = find_candidates(matrix, concepts, params.gamma, params.stoplist, params.stoplist_by)
    if candidates.is_empty():
        raise UserError(
            f"candidates: found none for {len(concepts):,} concepts, expected pairs of concepts that occur together in "
            f"more than gamma = {params.gamma} of the captions of one"
        )
    print(f"{candidates.height} candidates of {len(concepts)} concepts")
    if params.association:
        association = TypeAdapter(AssociationSettings).validate_python(params.association)
        statistics = snakemake.input.statistics
        captions = count_captions(pl.read_parquet(statistics)) if statistics else None
        candidates = associate(candidates, matrix, captions, association)
        print(f"{candidates['associated'].sum()} are associated by {association.measure}")
    candidates.write_parquet(snakemake.output[0])
