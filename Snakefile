from snakemake.utils import min_version

min_version("9.27")


# Without a whole configuration on the command line, the embedded default runs with single keys overridden.
if not {"run", "captions"} <= set(config):

    configfile: f"{workflow.basedir}/config/config.yaml"


module contrastive_concepts:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from contrastive_concepts


# Snakemake uses onsuccess of the main file only, not of a module.
onsuccess:
    import sys
    from pathlib import Path
    from contrastive_concepts.report.outcome import describe_run

    for line in describe_run(Path("results", config["run"])):
        print(line, file=sys.stderr)
