"""Counts a corpus, from its files to X, in a separate process, so that only the count's own peak memory is measured.

python -m benchmarks.counting LEXICON.npz THREADS SHARD...
"""

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from contrastive_concepts.captions.formats import find_column, read_captions
from contrastive_concepts.captions.manifest import ShardRecord, inspect_shard
from contrastive_concepts.captions.shards import Shard
from contrastive_concepts.cooccurrence.matrix import merge
from contrastive_concepts.cooccurrence.shard import count_shard
from contrastive_concepts.matching.counting import CooccurrenceCounter
from contrastive_concepts.matching.lexicon import Lexicon
from contrastive_concepts.resources import PACKAGE

MAX_CAPTION_BYTES = 100_000


@dataclass(frozen=True)
class Run:
    """One count: wall-clock seconds, CPU seconds, peak resident memory, and the hash of X.

    decode_seconds: time for reading the same column without counting, with the same number of threads.
    """

    rows: int
    mentions: int
    seconds: float
    cpu_seconds: float
    decode_seconds: float
    peak_mb: float
    matrix: str

    @property
    def captions_per_second(self) -> float:
        return self.rows / self.seconds


def count_apart(shards: Sequence[Path], lexicon: Path, threads: int) -> Run:
    """Count in a new process. It compiles or loads the kernel before the measured time starts."""
    command = [sys.executable, "-m", __name__, str(lexicon), str(threads), *map(str, shards)]
    paths = [
        str(Path(__file__).resolve().parents[1]),
        str(PACKAGE.parent),
        *filter(None, [os.environ.get("PYTHONPATH")]),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return Run(**json.loads(done.stdout))


def best_of(times: int, shards: Sequence[Path], lexicon: Path, threads: int) -> Run:
    """The fastest of several runs, which on a shared machine is the least disturbed one."""
    return min((count_apart(shards, lexicon, threads) for _ in range(times)), key=lambda run: run.seconds)


def count(shards: Sequence[Path], lexicon: Lexicon, threads: int) -> Run:
    """Count as in the workflow: X of each shard, then their sum."""
    warm = CooccurrenceCounter(lexicon, MAX_CAPTION_BYTES)
    warm.add(pa.array(["warm up"]))
    warm.matrix()
    records = [inspect_shard(Shard(path.stem, str(path)), checksum="stat") for path in shards]

    def counted(record: ShardRecord) -> tuple[sparse.csr_array, int]:
        matrix, statistics = count_shard(record, lexicon, MAX_CAPTION_BYTES, np.empty(0, np.int64), "fail")
        return matrix, int(statistics["mentions"] or 0)

    total, mentions = merge([], len(lexicon.concepts)), 0
    with ThreadPoolExecutor(threads) as pool:
        start, cpu = time.perf_counter(), time.process_time()
        # One shard per thread at a time, so that few finished matrices are in memory before they are added.
        for first in range(0, len(records), threads):
            for matrix, found in pool.map(counted, records[first : first + threads]):
                total = merge([total, matrix], len(lexicon.concepts))
                mentions += found
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        list(pool.map(_decode, shards))
        decode_seconds = time.perf_counter() - start
    return Run(
        rows=sum(record.rows for record in records),
        mentions=mentions,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        decode_seconds=decode_seconds,
        peak_mb=peak_mb(),
        matrix=matrix_sha256(total),
    )


def matrix_sha256(matrix: sparse.csr_array) -> str:
    """Hash of X."""
    digest = hashlib.sha256()
    for part in (matrix.indptr, matrix.indices, matrix.data):
        digest.update(np.ascontiguousarray(part, np.int64).tobytes())
    return digest.hexdigest()[:16]


def peak_mb() -> float:
    """Peak resident memory of this process in MB: VmHWM if available, as ru_maxrss includes the parent's memory."""
    status = Path("/proc/self/status")
    if status.is_file() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _decode(path: Path) -> int:
    column = find_column(str(path), "parquet", None)
    return sum(len(batch) for batch in read_captions(str(path), "parquet", column))


def main(arguments: Sequence[str]) -> None:
    lexicon, threads, *shards = arguments
    print(json.dumps(asdict(count([Path(shard) for shard in shards], Lexicon.load(lexicon), int(threads)))))


if __name__ == "__main__":
    main(sys.argv[1:])
