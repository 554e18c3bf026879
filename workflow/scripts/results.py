from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.benchmark import BenchmarkSettings
    from contrastive_concepts.evaluation.datasets import DatasetDescription
    from contrastive_concepts.evaluation.results import collect

    settings = BenchmarkSettings(**snakemake.params.settings)
    print(*settings.left_out(), sep="\n")
    files = snakemake.input
    described = {
        name: DatasetDescription.model_validate_json(Path(path).read_bytes())
        for name, path in zip(settings.datasets, files.datasets, strict=True)
    }
    bounds = dict(zip(settings.encodings(), map(Path, files.bounds), strict=True))
    results = collect(settings, [Path(path).parent for path in files.counts], described, bounds)
    for name in ("scores", "sweeps", "differences", "classes", "taken"):
        table = getattr(results, name)
        table.write_parquet(snakemake.output[name])
        print(name, table)
