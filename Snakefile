from snakemake.utils import min_version

min_version("9.27")


# Without a whole configuration on the command line the embedded default runs, single keys changed.
if not {"run", "captions"} <= set(config):

    configfile: f"{workflow.basedir}/config/config.yaml"


module contrastive_concepts:
    snakefile:
        "workflow/Snakefile"
    config:
        config


use rule * from contrastive_concepts
