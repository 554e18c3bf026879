"""Snakemake, started from a process that has imported it: the tests start it a hundred times, and half of that are imports.

This module imports nothing of ours. A started process would have it before the Snakefile looks for its own library.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli"])


def snakemake(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ) -> tuple[int, str]:
    """What `python -m snakemake` does in a folder: exit status and all that was printed."""
    with NamedTemporaryFile("r") as printed:
        started = SERVER.Process(target=_snakemake, args=(arguments, folder, dict(environment), printed.name))
        started.start()
        started.join(1800)
        if started.exitcode is None:
            started.kill()
            started.join()
        assert started.exitcode is not None
        return started.exitcode, printed.read()


def imported_anew(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The same in a process that imports Snakemake itself: where imports read the environment."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
    return done.returncode, done.stdout + done.stderr


def _snakemake(arguments: Sequence[str], folder: Path, environment: dict[str, str], printed: str) -> None:
    from snakemake.cli import main

    with open(printed, "w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["snakemake", *arguments]
    main()
