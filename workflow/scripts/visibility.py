from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.visibility import VisibilitySettings
    from contrastive_concepts.visibility.judging import build_judge, judge_concepts, require_verdicts

    settings = TypeAdapter(VisibilitySettings).validate_python(snakemake.params.judge)
    concepts = pl.read_parquet(snakemake.input[0])["concept"].to_list()
    answers = Path(snakemake.params.answers)
    answers.parent.mkdir(parents=True, exist_ok=True)
    judge = build_judge(settings, Path(snakemake.log[0]).with_name("vllm_server.log"))
    with progress_bar("judging", len(concepts)) as progress:
        verdicts = judge_concepts(concepts, judge, answers, settings.threshold, progress)
    print(
        f"{verdicts['visible'].sum()} of {verdicts.height} concepts are visible, "
        f"{(~verdicts['parsed']).sum()} answers unparsed"
    )
    require_verdicts(verdicts, snakemake.params.least)
    verdicts.write_parquet(snakemake.output[0])
