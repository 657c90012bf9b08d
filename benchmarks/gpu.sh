#!/usr/bin/env bash
# isthmus on a GPU: the tests that hold it against the CPU, and its steps per second beside torch's eager loop.
# Nothing is fetched or installed: any python3 with torch will do, and what it lacks is named first. Eight minutes at most.
#
#     ISTHMUS_DATA=... benchmarks/gpu.sh [--device cuda] [--minutes 8] [--json FILE]
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
