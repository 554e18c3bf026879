from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.benchmark import BenchmarkSettings
    from contrastive_concepts.evaluation.results import collect

    settings = BenchmarkSettings(**snakemake.params.settings)
    print(*settings.left_out(), sep="\n")
    folder = Path(snakemake.output.scores).parent
    results = collect(settings, folder)
    for name in ("scores", "sweeps", "differences", "classes", "taken"):
        table = getattr(results, name)
        table.write_parquet(snakemake.output[name])
        print(name, table)
