from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from pydantic import TypeAdapter

    from contrastive_concepts.config.evaluation import DatasetSettings
    from contrastive_concepts.evaluation.datasets import describe, open_configured

    settings = TypeAdapter(DatasetSettings).validate_python(snakemake.params.settings)
    dataset = open_configured(settings, Path(snakemake.input.root), Path(snakemake.input.get("classes", "")))
    print(f"{settings.kind}: {len(dataset)} images, {len(dataset.classes)} classes")
    Path(snakemake.output[0]).write_text(describe(dataset).model_dump_json(indent=1) + "\n", encoding="utf-8")
