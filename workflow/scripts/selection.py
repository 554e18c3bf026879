from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.selection import SelectionSettings
    from contrastive_concepts.errors import UserError
    from contrastive_concepts.selection.select import Tables, Thresholds, select

    params = snakemake.params
    tables = Tables.read(snakemake.input)
    thresholds = Thresholds.of(SelectionSettings.model_validate(params.settings), params.corpus, params.unparsed)
    selection = select(tables, thresholds)
    counts = selection.counts
    if not counts["candidates"]:
        raise UserError(
            f"selection: found no candidate for {tables.concepts.height:,} concepts, expected pairs of concepts that "
            f"occur together in more than gamma = {thresholds.gamma} of the captions of one"
        )
    print(counts)
    selection.save(Path(snakemake.output[0]).parent)
