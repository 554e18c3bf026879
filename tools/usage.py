"""Compares the resource usage of a run's jobs, from Snakemake's `benchmark:` files, with the requests of their rules.

Memory is Snakemake's largest sample of a job's resident set (all its processes). It is sampled twice a second for 15
seconds and then every 30 seconds, so a short peak can be missed. The proposals therefore include head room.
"""

import ast
import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from contrastive_concepts.errors import UserError

HEADROOM = 1.5
# A job on a cluster includes a Snakemake process (183 MB measured), and a job of one second has few samples.
BASE_MB = 500
# Proposals are rounded up to this step, as smaller differences do not matter to a cluster's scheduler.
MEMORY_STEP_MB = 250
RUNTIME_STEP_MINUTES = 5
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Job:
    """One benchmark row. Memory in MB, None if the job ended before the first sample."""

    rule: str
    seconds: float
    memory_mb: float | None
    asked_mb: int | None
    asked_minutes: int | None


@dataclass(frozen=True)
class RuleUsage:
    """All jobs of a rule: the longest time, the largest memory, and the largest requests."""

    rule: str
    jobs: int
    seconds: float
    memory_mb: float | None
    asked_mb: int | None
    asked_minutes: int | None

    def proposed_mb(self, headroom: float = HEADROOM) -> int | None:
        """Memory with head room plus 500 MB, in steps of 250 MB; None if it was not measured."""
        return None if self.memory_mb is None else _step(self.memory_mb * headroom + BASE_MB, MEMORY_STEP_MB)

    def proposed_minutes(self, headroom: float = HEADROOM) -> int:
        """Time with head room, in steps of 5 minutes."""
        return _step(self.seconds * headroom / 60, RUNTIME_STEP_MINUTES)


def rule_usages(results: Path) -> list[RuleUsage]:
    """The resource use of each rule in a run's results, largest memory first. Raises UserError if there is none."""
    by_rule: dict[str, list[Job]] = {}
    for job in read_jobs(results):
        by_rule.setdefault(job.rule, []).append(job)
    if not by_rule:
        raise UserError(f"{results}: found no usage/*.tsv, expected the folder of a run's results")
    found = [
        RuleUsage(
            rule,
            len(jobs),
            max(job.seconds for job in jobs),
            _most(job.memory_mb for job in jobs),
            _most(job.asked_mb for job in jobs),
            _most(job.asked_minutes for job in jobs),
        )
        for rule, jobs in by_rule.items()
    ]
    return sorted(found, key=lambda usage: (-(usage.memory_mb or 0), usage.rule))


def profile(found: Iterable[RuleUsage], headroom: float = HEADROOM) -> str:
    """The proposal as the `set-resources` part of a Snakemake profile. Memory still doubles with each attempt."""
    lines = [
        f"# What a run took, times {headroom:g} (memory: and {BASE_MB} MB), by `contrastive-concepts resources`.",
        "set-resources:",
    ]
    for usage in sorted(found, key=lambda usage: usage.rule):
        lines.append(f"  {usage.rule}:")
        memory = usage.proposed_mb(headroom)
        if memory is not None:
            lines.append(f"    mem_mb: {memory} * 2 ** (attempt - 1)")
        lines.append(f"    runtime: {usage.proposed_minutes(headroom)}")
    return "\n".join(lines) + "\n"


def read_jobs(results: Path) -> Iterator[Job]:
    """The rows of all benchmark files below a run's folder. Raises UserError for a file of another format."""
    folder = results / "usage"
    for path in sorted(folder.rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            # Parameters are written as Python's repr, including quotes.
            for number, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
                try:
                    yield _job(row, path.relative_to(folder).parts[0].removesuffix(".tsv"))
                except (KeyError, TypeError, ValueError, SyntaxError):
                    raise UserError(f"{path}: line {number}: not a row of Snakemake's benchmarks") from None


def _job(row: dict[str, str], place: str) -> Job:
    """Convert a row. Without `benchmark-extended` it has no rule (then `place` is used) and no requests."""
    asked = ast.literal_eval(row["resources"]) if row.get("resources") else {}
    return Job(
        row.get("rule_name") or place,
        float(row["s"]),
        None if row["max_rss"] in {"NA", "-"} else float(row["max_rss"]),
        asked.get("mem_mb"),
        asked.get("runtime"),
    )


def _most(values: Iterable[Number | None]) -> Number | None:
    return max((value for value in values if value is not None), default=None)


def _step(value: float, step: int) -> int:
    return max(math.ceil(value / step), 1) * step
