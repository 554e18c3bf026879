from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    import polars as pl
    from pydantic import TypeAdapter

    from contrastive_concepts.config.visibility import VisibilitySettings
    from contrastive_concepts.visibility.generation import build_writer, write_lists
    from contrastive_concepts.visibility.prompts import load_prompt

    settings = TypeAdapter(VisibilitySettings).validate_python(snakemake.params.judge)
    concepts = pl.read_parquet(snakemake.input[0]).filter("visible")["concept"].to_list()
    prompt = load_prompt("prompts/parts.txt")
    with progress_bar("listing parts", len(concepts)) as progress:
        lists = write_lists(concepts, prompt, build_writer(settings), Path(snakemake.params.answers), progress)
    rows = [(concept, part) for concept, parts in lists.items() for part in parts]
    pl.DataFrame(rows, schema={"concept": pl.String, "part": pl.String}, orient="row").write_parquet(
        snakemake.output[0]
    )
