from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.evaluation.contrastive_sets import load_sets
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.report.listing import latex, markdown

    description = DatasetDescription.model_validate_json(Path(snakemake.input.dataset).read_bytes())
    contrastive_set = load_sets(Path(snakemake.input.sets))[snakemake.params.set]
    concepts = {query: contrastive_set.negatives(query, description.query_names) for query in description.query_names}
    title = f"Contrastive concepts of {snakemake.wildcards.dataset}, {snakemake.params.set}"
    Path(snakemake.output.markdown).write_text(markdown(concepts, title), encoding="utf-8")
    Path(snakemake.output.latex).write_text(latex(concepts, title), encoding="utf-8")
    print(f"{len(concepts)} classes")
