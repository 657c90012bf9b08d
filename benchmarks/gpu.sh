#!/usr/bin/env bash
# isthmus on a GPU: what it computes there against the CPU, its steps per second beside torch's eager and compiled loops,
# and five studies; or, with --photographs, the denoiser of photographs, trained and measured. benchmarks/gpu.py says more.
# Nothing is fetched or installed: any python3 with torch will do, and what it lacks is named first. Eight minutes at most.
#
#     ISTHMUS_DATA=... benchmarks/gpu.sh [--photographs] [--device cuda] [--minutes 8] [--json build/gpu.json]
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" benchmarks/gpu.py "$@"
