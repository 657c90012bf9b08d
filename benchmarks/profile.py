"""Where a step's time goes: `python -m benchmarks.profile MODEL [--images 6400]`, by operation, largest first.

`benchmarks.step_parts` holds a dense network's against the same products alone, and against JAX's.
"""

from __future__ import annotations

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.recipes import NETWORKS, autoencoder, digits
from isthmus.machine import cores


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description="Where a step's time goes.")
    parser.add_argument("model", choices=NETWORKS)
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--threads", type=int, default=cores())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images = digits(options.images)
    autoencoder(options.model).fit(images)  # the first run warms caches and thread pools
    alone = autoencoder(options.model).fit(images).history_.seconds
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        autoencoder(options.model).fit(images)
    steps = options.images / 64
    operations = sorted(profiler.key_averages(), key=lambda one: -one.self_cpu_time_total)
    total = sum(one.self_cpu_time_total for one in operations)
    print(f"{options.model}: {1e6 * alone / steps:.0f} µs per step; with the profiler {total / steps:.0f} µs, of which")
    for one in operations[:20]:
        share = one.self_cpu_time_total / total
        print(f"  {share:6.1%}  {one.self_cpu_time_total / steps:8.1f} µs  {one.count / steps:5.1f} ×  {one.key}")


if __name__ == "__main__":
    main()
