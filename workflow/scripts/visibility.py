from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.similarity import SimilaritySettings
    from contrastive_concepts.config.visibility import VisibilitySettings, judges_of
    from contrastive_concepts.visibility.judging import build_judge, give_verdicts, require_verdicts

    settings = TypeAdapter(VisibilitySettings).validate_python(snakemake.params.judge)
    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    answers = Path(snakemake.params.answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    judges = [build_judge(judge, Path(snakemake.log[0]).with_name("vllm_server.log")) for judge in judges_of(settings)]
    with progress_bar("judging", len(concepts)) as progress:
        verdicts = give_verdicts(concepts, judges, settings, answers, progress)
    print(
        f"{verdicts['visible'].sum()} of {verdicts.height} concepts are visible, "
        f"{(~verdicts['parsed']).sum()} answers unparsed"
    )
    require_verdicts(verdicts, snakemake.params.least)
    verdicts.write_parquet(snakemake.output[0])
    if snakemake.params.get("similarity"):
        from contrastive_concepts.similarity.ensemble import embed_concepts

        similarity = TypeAdapter(SimilaritySettings).validate_python(snakemake.params.similarity)
        with progress_bar("embedding", len(concepts)) as progress:
            further = snakemake.input.further
            embed_concepts(
                concepts,
                judges[0].encoder,
                similarity,
                snakemake.output[1],
                snakemake.output[2],
                progress,
                pl.read_parquet(further)["concept"].to_list() if further else (),
            )
