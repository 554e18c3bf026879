"""Entry point: the commands. A UserError, or a missing package, is shown as one line without a traceback."""

import gc
import sys

import typer

from contrastive_concepts.cli import (
    audit,
    bench,
    calibrate,
    configuration,
    data,
    demo,
    exchange,
    judge,
    push,
    query,
    resources,
    segment,
    weights,
)
from contrastive_concepts.errors import UserError

app = typer.Typer(
    help="Contrastive concepts for open-vocabulary segmentation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes takes as long as all else
)
app.command("query")(query.query)
app.command("segment")(segment.segment)
app.command("demo")(demo.demo)
app.command("import")(exchange.import_)
app.command("export")(exchange.export)
app.command("diff")(exchange.diff)
app.command("explore")(exchange.explore)
app.command("push")(push.push)
app.command("audit")(audit.audit)
app.command("judge")(judge.judge)
app.command("calibrate")(calibrate.calibrate)
app.command("resources")(resources.resources)
app.command("weights")(weights.weights)
app.add_typer(configuration.app, name="config")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")


def main() -> None:
    gc.set_threshold(200_000)  # as in jobs: `logs.ALLOCATIONS`
    try:
        app()
    except UserError as error:
        sys.exit(f"Error: {error}")
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package == __package__.partition(".")[0]:
            raise
        sys.exit(
            f"Error: found no package {package}, expected the extra workflow, which has all that commands need: "
            "pip install 'contrastive-concepts[workflow]'"
        )
