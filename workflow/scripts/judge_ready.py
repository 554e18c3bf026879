import json
from dataclasses import asdict
from pathlib import Path

from contrastive_concepts.logs import job_log

with job_log(snakemake.log[0]):
    from contrastive_concepts.config.visibility import VllmJudge
    from contrastive_concepts.visibility.vllm_install import check_machine

    settings = VllmJudge.model_validate(snakemake.params.judge)
    version, gpus = check_machine(settings)
    found = {"vllm": version, "weights": settings.weights, "gpus": [asdict(gpu) for gpu in gpus]}
    Path(snakemake.output[0]).write_text(json.dumps(found, indent=2) + "\n")
    print(found)
