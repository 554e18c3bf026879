#!/usr/bin/env bash
# Measures on a GPU and writes the section "GPU" of a page: benchmarks/gpu.sh [PAGE] [OPTION ...]
# It needs no network and no weights. PYTHON names the Python to use.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD:$PWD/workflow${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
exec timeout 480 "${PYTHON:-python3}" -m benchmarks.gpu "${@:-docs/performance.md}"
