"""`contrastive-concepts config`: check a configuration, update its comments, print schema and reference."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Configurations of the workflow.", no_args_is_help=True)
ConfigFile = Annotated[Path, typer.Argument(help="A configuration in YAML.")]


@app.command()
def check(
    file: ConfigFile,
    probe: Annotated[
        bool, typer.Option("--probe", help="Load judge and encoder, ask three words, and print time and memory.")
    ] = False,
) -> None:
    """Check a configuration. Each wrong key is reported in one line."""
    from contrastive_concepts.captions.corpus import check_inputs, corpus_shards, without_wildcard
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.visibility import VllmJudge
    from contrastive_concepts.evaluation.inputs import check_benchmark
    from contrastive_concepts.probe import probe as probe_of
    from contrastive_concepts.resources import resource
    from contrastive_concepts.visibility.verdicts import check_kept
    from contrastive_concepts.visibility.vllm_install import check_arguments

    settings = read_config(file)
    check_inputs(settings)
    check_benchmark(settings, resource("classes"))
    for judge in (settings.visibility, settings.audit.judge):
        if judge and judge.kept_verdicts is not None:
            without_wildcard(str(check_kept(judge.kept_verdicts, f"results/{settings.run}")))
    shards = corpus_shards(settings, f"results/{settings.run}/captions/toyworld")
    print(f"{file}: run {settings.run!r}, corpus {settings.captions.corpus!r}, {len(shards)} shards of captions")
    if isinstance(settings.visibility, VllmJudge):
        check_arguments(settings.visibility)
    if probe:
        for line in probe_of(settings):
            print(line, flush=True)


@app.command()
def render(
    file: ConfigFile,
    complete: Annotated[bool, typer.Option(help="Write every key, including those with default values.")] = True,
) -> None:
    """Print a configuration with the description of each key above it."""
    from contrastive_concepts.config.load import read_config
    from contrastive_concepts.config.render import leading_comment, render_config
    from contrastive_concepts.text_files import read_text

    print(
        render_config(read_config(file), leading_comment(read_text(file, "a configuration in YAML")), complete), end=""
    )


@app.command()
def schema() -> None:
    """Print the JSON schema of a configuration."""
    from contrastive_concepts.config.render import schema_json

    print(schema_json(), end="")


@app.command()
def reference() -> None:
    """Print the reference of all keys in Markdown."""
    from contrastive_concepts.config.reference import reference as page

    print(page(), end="")
