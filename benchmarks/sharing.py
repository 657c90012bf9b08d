"""Two trainings at once, and a grid search with two jobs, against their fair share of the machine.

    python -m benchmarks.sharing [--model dense-256] [--repeats 5]

Alone: one process with all cores. Two at once: two such processes, started together; a fair share is twice as long as
alone. Grid search: two candidates with n_jobs=2, against the same with n_jobs=1. Data is noise, made on the spot.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from benchmarks.recipes import NETWORKS

_FIT = """
import sys
import numpy as np
from benchmarks.recipes import autoencoder
X = np.random.default_rng(0).random((20_000, 784), np.float32)
autoencoder(sys.argv[1]).fit(X[:640])
print("ready", flush=True)
sys.stdin.readline()
print(autoencoder(sys.argv[1], epochs=2).fit(X).history_.seconds)
"""
_GRID = """
import sys, time
import numpy as np
from sklearn.model_selection import GridSearchCV
from benchmarks.recipes import autoencoder
X = np.random.default_rng(0).random((10_000, 784), np.float32)
search = GridSearchCV(autoencoder(sys.argv[1], epochs=2), {"learning_rate": [1e-3, 2e-3]}, cv=2, refit=False)
times = []
for n_jobs in (1, 2):
    search.set_params(n_jobs=n_jobs).fit(X[:640])  # starts the workers
    start = time.perf_counter()
    search.fit(X)
    times.append(time.perf_counter() - start)
print(times[1] / times[0])
"""


def fit(model: str, processes: int) -> list[float]:
    """Seconds of training in each of so many processes that begin to train at the same moment."""
    command = [sys.executable, "-c", _FIT, model]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for one in running:
        assert one.stdout is not None
        one.stdout.readline()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    return [float(one.communicate()[0]) for one in running]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sharing", description="Trainings side by side.")
    parser.add_argument("--model", choices=NETWORKS, default="dense-256")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    shares, grids = [], []
    for _ in range(options.repeats):
        (alone,) = fit(options.model, 1)
        shares.append(max(fit(options.model, 2)) / (2 * alone))
        output = subprocess.run(
            [sys.executable, "-c", _GRID, options.model], capture_output=True, text=True, check=True
        )
        grids.append(float(output.stdout))
    for what, values in (("two at once, over their fair share", shares), ("n_jobs=2 over n_jobs=1", grids)):
        print(f"{options.model}, {what}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
