"""Search over an estimator's parameters on a cluster, through joblib: the same scores as on one core, to the bit.

`python examples/grid_search_on_a_cluster.py ray` or `dask`; an address after it names a cluster, else one is started
here. Where isthmus is installed on its nodes, nothing else is needed. All workers have one thread, as here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import joblib
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from isthmus import Autoencoder, Dense, GaussianNoise, denoising_scorer

GRID = {"network__bottleneck": [8, 16], "corruption__sigma": [0.2, 0.4]}


@contextlib.contextmanager
def on(kind: str, address: str | None) -> Iterator[None]:
    """Inside, joblib has a cluster of this kind do its work."""
    if kind == "ray":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from ray.util.joblib import register_ray

        register_ray()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **({} if address else {"num_cpus": 2}))
        try:
            with joblib.parallel_config("ray"):
                yield
        finally:
            ray.shutdown()
    else:
        from dask.distributed import Client, LocalCluster

        own = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
        here = contextlib.nullcontext(address) if address else LocalCluster(**own)
        with here as cluster, Client(cluster), joblib.parallel_config("dask"):
            yield


def search() -> GridSearchCV:
    """A denoiser's noise and the size of its code, chosen by the same noise for all."""
    model = Autoencoder(Dense((32,), 16), corruption=GaussianNoise(0.3), epochs=20, random_state=0)
    return GridSearchCV(model, GRID, scoring=denoising_scorer(GaussianNoise(0.3)), cv=2)


if __name__ == "__main__":  # Dask's workers read this file too
    torch.set_num_threads(1)
    X = (load_digits().data / 16).astype("float32")
    with on(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None):
        found = search().fit(X)
    here = search().fit(X)
    for params, score in zip(found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True):
        print(f"{-score:.6f}  {params}")
    print("best:", found.best_params_)
    print(
        "the same as on one core:", (found.cv_results_["mean_test_score"] == here.cv_results_["mean_test_score"]).all()
    )
