"""What the jobs of a run took, from Snakemake's `benchmark:` files, beside what their rules asked for.

Memory is Snakemake's largest sample of a job's resident set (all its processes), taken twice a second for 15 seconds
and every 30 seconds after, so a short peak can be missed: hence the head room.
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
# A cluster's job holds Snakemake beside the rule's process (183 MB measured), and a job of a second has few samples.
BASE_MB = 500
# What a cluster's scheduler hardly tells apart.
MEMORY_STEP_MB = 250
RUNTIME_STEP_MINUTES = 5
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Job:
    """One benchmark row. Memory in MB, None where the job was over before it was measured."""

    rule: str
    seconds: float
    memory_mb: float | None
    asked_mb: int | None
    asked_minutes: int | None


@dataclass(frozen=True)
class Demand:
    """A rule's jobs together: the longest, the largest, and the most that was asked."""

    rule: str
    jobs: int
    seconds: float
    memory_mb: float | None
    asked_mb: int | None
    asked_minutes: int | None

    def proposed_mb(self, headroom: float = HEADROOM) -> int | None:
        """Memory with head room and 500 MB, in steps of 250 MB; None where none was measured."""
        return None if self.memory_mb is None else _step(self.memory_mb * headroom + BASE_MB, MEMORY_STEP_MB)

    def proposed_minutes(self, headroom: float = HEADROOM) -> int:
        """Time with head room, in steps of 5 minutes."""
        return _step(self.seconds * headroom / 60, RUNTIME_STEP_MINUTES)


def demands(results: Path) -> list[Demand]:
    """Each rule of a run's results, the one with the largest jobs first. Raises UserError where there is none."""
    by_rule: dict[str, list[Job]] = {}
    for job in read_jobs(results):
        by_rule.setdefault(job.rule, []).append(job)
    if not by_rule:
        raise UserError(f"{results}: found no usage/*.tsv, expected the folder of a run's results")
    found = [
        Demand(
            rule,
            len(jobs),
            max(job.seconds for job in jobs),
            _most(job.memory_mb for job in jobs),
            _most(job.asked_mb for job in jobs),
            _most(job.asked_minutes for job in jobs),
        )
        for rule, jobs in by_rule.items()
    ]
    return sorted(found, key=lambda demand: (-(demand.memory_mb or 0), demand.rule))


def profile(found: Iterable[Demand], headroom: float = HEADROOM) -> str:
    """The proposal as the part of a Snakemake profile that sets resources; memory still doubles with each attempt."""
    lines = [
        f"# What a run took, times {headroom:g} (memory: and {BASE_MB} MB), by `contrastive-concepts resources`.",
        "set-resources:",
    ]
    for demand in sorted(found, key=lambda demand: demand.rule):
        lines.append(f"  {demand.rule}:")
        memory = demand.proposed_mb(headroom)
        if memory is not None:
            lines.append(f"    mem_mb: {memory} * 2 ** (attempt - 1)")
        lines.append(f"    runtime: {demand.proposed_minutes(headroom)}")
    return "\n".join(lines) + "\n"


def read_jobs(results: Path) -> Iterator[Job]:
    """The rows of all benchmark files below a run's folder. Raises UserError for a file that is none."""
    folder = results / "usage"
    for path in sorted(folder.rglob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as file:
            # Parameters are written as Python shows them, quotes and all.
            for number, row in enumerate(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), 2):
                try:
                    yield _job(row, path.relative_to(folder).parts[0].removesuffix(".tsv"))
                except (KeyError, TypeError, ValueError, SyntaxError):
                    raise UserError(f"{path}: line {number}: not a row of Snakemake's benchmarks") from None


def _job(row: dict[str, str], place: str) -> Job:
    """Without `benchmark-extended` a row names neither its rule (then the place of the file) nor what it asked."""
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
