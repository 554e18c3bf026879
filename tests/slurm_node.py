"""A real SLURM of one node on this machine, started by hand as root, with a GPU that is only a name."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
FOLDERS = {
    "/run/munge": ("munge", 0o755),
    "/var/log/munge": ("munge", 0o700),
    "/var/lib/munge": ("munge", 0o700),
    "/var/spool/slurmd": ("root", 0o755),
    "/var/spool/slurmctld": ("root", 0o755),
    "/var/log/slurm": ("root", 0o755),
    "/run/slurm": ("root", 0o755),
}
CONFIGURATION = """\
ClusterName=ci
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
ReturnToService=2
MinJobAge=3600
GresTypes=gpu
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
OURS = CONFIGURATION.splitlines()[0]


class Unavailable(Exception):
    """SLURM cannot be run here; says why."""


@contextlib.contextmanager
def slurm_node() -> Iterator[None]:
    """Install where needed, start, wait until the node is idle; stop at the end. Raises Unavailable.

    Its configuration lies where every SLURM command looks, as the executor hands no SLURM_CONF on to its jobs, and is
    removed at the end: with it every Snakemake would ask the controller that has ended, for 10 s.
    """
    if os.geteuid() != 0:
        raise Unavailable("SLURM is started by hand, which takes root")
    _install()
    if subprocess.run(["scontrol", "ping"], capture_output=True, timeout=30).returncode == 0:
        raise Unavailable("a SLURM controller that is not ours runs here")
    slurm, gres = (Path("/etc/slurm") / name for name in ("slurm.conf", "gres.conf"))
    if slurm.exists() and not slurm.read_text().startswith(OURS):
        raise Unavailable(f"{slurm} is not ours")
    for folder, (owner, mode) in FOLDERS.items():
        Path(folder).mkdir(parents=True, exist_ok=True)
        shutil.chown(folder, owner, owner)
        Path(folder).chmod(mode)
    slurm.parent.mkdir(exist_ok=True)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 * 9 // 10
    host = socket.gethostname().split(".")[0]
    slurm.write_text(CONFIGURATION.format(host=host, cpus=os.cpu_count(), memory=memory))
    gres.write_text("AutoDetect=off\nName=gpu File=/dev/null\n")
    try:
        _start(["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged"])
        _start(["slurmctld", "-c"])
        _start(["slurmd"])
        _wait_until_idle()
        yield
    finally:
        subprocess.run(["scontrol", "shutdown"], capture_output=True, timeout=60)
        pid = Path("/run/munge/munged.pid")
        if pid.exists():
            subprocess.run(["kill", pid.read_text().strip()], capture_output=True)
        slurm.unlink(missing_ok=True)
        gres.unlink(missing_ok=True)


def _install() -> None:
    if shutil.which("slurmctld") and shutil.which("munged"):
        return
    if shutil.which("apt-get") is None:
        raise Unavailable("slurm-wlm is not installed, and there is no apt-get")
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
        if done.returncode:
            raise Unavailable(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")


def _start(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[-1]}: {error}") from None
    if done.returncode:
        raise Unavailable(f"{command[-1]} did not start: {done.stderr.strip()[-300:]}")


def _wait_until_idle(seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    state = ""
    while time.monotonic() < end:
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, timeout=30).stdout.strip()
        if state == "idle":
            return
        time.sleep(1)
    raise Unavailable(f"the node is {state or 'unknown'} after {seconds:.0f} s, expected idle")
