"""A cluster of one machine: each job has the memory that its rule asked for, and the kernel kills what takes more."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
    pass_envvar_declarations_to_cmd=False,
    pass_group_args=True,
)
GROUPS = Path(os.environ["CONFINED_GROUPS"])
"""A folder of a memory controller (cgroup v1 or v2) in which the jobs' groups are made."""


class Executor(RemoteExecutor):
    """Starts each job in a control group of its own."""

    def __post_init__(self) -> None:
        self.next_seconds_between_status_checks = 0.5

    def run_job(self, job: JobExecutorInterface) -> None:
        group = GROUPS / f"job-{job.jobid}-{job.attempt}"
        group.mkdir()
        limit = "memory.limit_in_bytes" if (group / "memory.limit_in_bytes").exists() else "memory.max"
        (group / limit).write_text(str(int(job.resources["mem_mb"]) * 10**6))
        command = f"echo $$ > {group}/cgroup.procs && exec {self.format_job_exec(job)}"
        process = subprocess.Popen(["bash", "-c", command])
        self.report_job_submission(SubmittedJobInfo(job, str(process.pid), {"process": process, "group": group}))

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncIterator[SubmittedJobInfo]:
        for submitted in active_jobs:
            code = submitted.aux["process"].poll()
            if code is None:
                yield submitted
            elif code == 0:
                self.report_job_success(submitted)
            else:
                self.report_job_error(submitted)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        for submitted in active_jobs:
            submitted.aux["process"].kill()
