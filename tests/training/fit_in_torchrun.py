"""What test_shards.py lets torchrun start: some fits in each process, and what came of them in a file for each rank.

python -m torch.distributed.run --standalone --nproc-per-node 2 fit_in_torchrun.py TASK FOLDER
"""

import atexit
import hashlib
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from isthmus import (
    BCE,
    KL,
    L1,
    MSE,
    Affine,
    Autoencoder,
    Conv,
    Denoiser,
    Dense,
    Dictionary,
    Gaussian,
    GaussianNoise,
    Module,
    Residual,
)
from isthmus.errors import IsthmusError
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.sharding.shared_memory import Link, SharedVector

SHARDS, EPOCHS = 4, 4


def dropping(shape):
    """A network whose encoder draws from torch's own generator in each step."""
    down = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 6), torch.nn.Dropout(0.3))
    return down, torch.nn.Linear(6, 36)


MODELS = {
    "pca start, early stopping": {
        "network": Dense(hidden=(12,), bottleneck=4, code_activation="linear"),
        "start": "pca",
        "standardize": True,
        "patience": 2,
        "validation_fraction": 0.2,
        "corruption": GaussianNoise(0.1),
    },
    "convolutions, augmented": {"network": Conv(channels=(4, 2)), "augmentation": Affine(share=0.5)},
    "gaussian": {"network": Dense(bottleneck=3), "code": Gaussian(), "loss": MSE(5)},
    "learned noise": {"network": Dense(bottleneck=3), "code": Gaussian(noise="learned"), "recipe": "fast"},
    "kl": {"network": Dense(bottleneck=4, code_activation="sigmoid"), "penalty": KL(0.1)},
    "dictionary": {"network": Dictionary(n_atoms=8), "penalty": L1(1e-3, warmup=2), "schedule": "one-cycle"},
    "dropout": {"network": Module(dropping)},
    "sigmoid": {"network": Dense(bottleneck=5, output="sigmoid"), "loss": BCE()},
}


def images(seed=0):
    """An odd number of them, so that shards differ in size, and the last batch has fewer than there are shards."""
    return np.random.default_rng(seed).random((83, 1, 6, 6)).astype("float32")


def model_of(name, shards=SHARDS, **changes):
    return Autoencoder(**MODELS[name], epochs=EPOCHS, batch_size=16, random_state=0, shards=shards, **changes)


def outcome(model):
    """A hash of all weights, the losses of the epochs, and the terms."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.network_.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    rows = [[row.loss, row.validation_loss, row.terms, row.step_losses] for row in model.history_]
    return json.loads(json.dumps([digest.hexdigest(), rows]))


def denoiser():
    return Denoiser(Residual(width=4, depth=4), crop=16, crops_per_epoch=24, epochs=2, shards=SHARDS, random_state=0)


def photographs():
    return [np.random.default_rng(i).random((1, 30 + i, 40)).astype("float32") for i in range(3)]


def refused(model, X):
    try:
        model.fit(X)
    except IsthmusError as error:
        return str(error)
    return None


def through_sockets(rank):
    """A fit whose first process can map no other's gradients, and how often each adds up in memory all the same."""
    opened, add_up = SharedVector._opened, mock.Mock(side_effect=Link.add_up)
    opening = mock.Mock(side_effect=opened if rank else lambda *_: None)
    with (
        mock.patch.object(SharedVector, "_opened", lambda *args: opening(*args)),
        mock.patch.object(Link, "add_up", lambda link: add_up(link)),
    ):
        without = outcome(model_of("dictionary").fit(images()))
        times = add_up.call_count
        opening.side_effect = opened
        model_of("dictionary").fit(images())
    return {"without": without, "times": [times, add_up.call_count - times]}


def all_of_them(folder, rank):
    outcomes = {name: outcome(model_of(name).fit(images())) for name in MODELS}
    outcomes.update(through_sockets(rank))
    outcomes["denoiser"] = outcome(denoiser().fit(photographs()))
    outcomes["resumed"] = outcome(model_of("gaussian").fit(images(), checkpoint=folder / "checkpoint"))
    # only the first process has a callback
    watched = model_of("gaussian").set_callbacks(*[lambda row, _: row.epoch == 2] * (rank == 0)).fit(images())
    outcomes["stopped"] = outcome(watched)
    unseeded = model_of("sigmoid").set_params(random_state=None).fit(images())
    outcomes["unseeded"] = outcome(unseeded)
    outcomes["other data"] = refused(model_of("sigmoid"), images(seed=rank))
    outcomes["other parameters"] = refused(model_of("sigmoid").set_params(learning_rate=(rank + 1) / 1000), images())
    outcomes["too few shards"] = refused(model_of("sigmoid", shards=1), images())
    return outcomes


def killed(folder, rank):
    """A process is killed in its third epoch, once; there is a checkpoint of the second, or of none."""
    model, restarts = model_of("gaussian"), os.environ["TORCHELASTIC_RESTART_COUNT"]
    checkpoints = Checkpoints(folder / "checkpoint", every=float(os.environ["EVERY"]))
    first = None
    for row in model.fit_epochs(images(), checkpoint=checkpoints):
        first = first or row.epoch
        if rank == int(os.environ["KILLED"]) and row.epoch == 3 and restarts == "0":
            os.kill(os.getpid(), signal.SIGKILL)
    return {"outcome": outcome(model), "restarts": restarts, "first epoch": first}


def endless(folder, rank):
    """A fit that is stopped from outside."""
    checkpoints = Checkpoints(folder / "checkpoint")
    for _ in model_of("gaussian").set_params(epochs=10**6).fit_epochs(images(), checkpoint=checkpoints):
        (folder / f"{rank}.started").touch()


def write_threads(path):
    """The names of this process's threads; Python calls it after what a fit has registered."""
    path.write_text(json.dumps([name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as the command does: what is unwritten is written then
    warnings.simplefilter("ignore")
    task, folder = {"all": all_of_them, "killed": killed, "endless": endless}[sys.argv[1]], Path(sys.argv[2])
    rank = int(os.environ["RANK"])
    atexit.register(write_threads, folder / f"{rank}.threads.json")
    (folder / f"{rank}.json").write_text(json.dumps(task(folder, rank)))
