from snakemake.utils import min_version

min_version("9.27")


# A run names itself; without a config file on the command line the embedded default runs.
if "run" not in config:

    configfile: "config/config.yaml"


module contrastive_concepts:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from contrastive_concepts
