from pathlib import Path

from contrastive_concepts.logs import job_log, progress_bar

with job_log(snakemake.log[0]):
    from pydantic import TypeAdapter

    from contrastive_concepts.config.selection import BACKGROUND
    from contrastive_concepts.config.visibility import VisibilitySettings
    from contrastive_concepts.visibility.cc_text import read_classes, write_cc_text
    from contrastive_concepts.visibility.generation import build_writer, lists_table, write_lists
    from contrastive_concepts.visibility.prompts import load_prompt

    settings = TypeAdapter(VisibilitySettings).validate_python(snakemake.params.judge)
    classes = read_classes(snakemake.input[0])
    queries = [name for name in dict.fromkeys(classes) if name != BACKGROUND]
    writer, prompt = build_writer(settings), load_prompt("prompts/contrastive.txt")
    with progress_bar("writing", len(queries)) as progress:
        lists = write_lists(queries, prompt, writer, Path(snakemake.params.answers), progress)
    print(f"{sum(not names for names in lists.values())} of {len(lists)} answers hold no list")
    lists_table(lists, prompt, writer).write_parquet(snakemake.output.lists)
    write_cc_text(snakemake.output.text, [[BACKGROUND, *lists.get(name, [])] for name in classes])
