"""What a training reads, resident or not: the same contract, and the same bits from the same samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from isthmus import Dense, GaussianNoise, Images
from isthmus.data.batches import Pixels, Samples, batches, epoch_order, evenly
from isthmus.fingerprints import table_fingerprint
from isthmus.networks import build
from isthmus.networks.standardization import standardization_of
from isthmus.objective import Objective
from isthmus.parts import MSE, Training
from isthmus.rng import generator
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import History
from isthmus.training.session import session
from isthmus.training.setup import Setup
from isthmus.training.start import fit_start, pca_start

CPU = torch.device("cpu")
X = np.random.default_rng(0).random((90, 12), np.float32)
TRAINING = Training(epochs=3, batch_size=16, patience=2)


class Shards:
    """Samples from outside the package: in several files, of which a batch maps those that it needs."""

    def __init__(self, x, folder, seed=0):
        self.seed, self.files = seed, []
        folder.mkdir()
        for i, part in enumerate(np.array_split(x.reshape(len(x), -1), 4)):
            np.save(folder / f"{i}.npy", part)
            self.files.append(folder / f"{i}.npy")
        self.ends = np.cumsum([len(np.load(file, mmap_mode="r")) for file in self.files])
        self.n_features, self.device = np.load(self.files[0], mmap_mode="r").shape[1], CPU
        self.read = set()

    def __len__(self):
        return int(self.ends[-1])

    @property
    def fingerprint(self):
        return table_fingerprint([file.read_bytes().hex() for file in self.files])

    def batch(self, which):
        wanted = np.arange(len(self))[which] if isinstance(which, slice) else which.numpy()
        shard = np.searchsorted(self.ends, wanted, side="right")
        x = np.empty((len(wanted), self.n_features), np.float32)
        for i in np.unique(shard):
            begin = self.ends[i - 1] if i else 0
            x[shard == i] = np.load(self.files[i], mmap_mode="r")[wanted[shard == i] - begin]
            self.read.add(int(i))
        return torch.from_numpy(x)

    def order(self, epoch):
        return epoch_order(len(self), True, self.seed, epoch, CPU)


KINDS = {
    "numbers": lambda x, _, seed: Pixels(x, CPU, shuffle=True, seed=seed),
    "images": lambda x, _, seed: Pixels(Images(x.reshape(-1, 1, 3, 4)), CPU, shuffle=True, seed=seed),
    "bytes": lambda x, _, seed: Pixels(
        Images((x * 255).astype(np.uint8).reshape(-1, 1, 3, 4)), CPU, shuffle=True, seed=seed
    ),
    "shards": Shards,
}


@pytest.fixture(params=KINDS)
def made(request, tmp_path):
    """Makes samples of one kind."""
    count = iter(range(100))
    return lambda x=X, seed=0: KINDS[request.param](x, tmp_path / str(next(count)), seed)


def test_batches_are_the_samples_and_new_tensors(made):
    samples: Samples = made()
    assert (len(samples), samples.n_features, samples.device) == (90, 12, CPU)
    for which in (slice(20, 50), torch.tensor([89, 3, 3, 40])):
        batch = samples.batch(which)
        assert (batch.dtype, batch.shape[1]) == (torch.float32, 12)
        before = batch.clone()
        np.testing.assert_allclose(before, X[which if isinstance(which, slice) else which.numpy()], atol=1 / 255)
        batch.zero_()
        torch.testing.assert_close(samples.batch(which), before, atol=0, rtol=0)
    assert torch.equal(evenly(samples, 3), samples.batch(torch.tensor([0, 30, 60])))
    assert torch.equal(evenly(samples, 1000), samples.batch(slice(90)))


def test_each_epoch_has_an_order_that_is_a_function_of_the_seed(made):
    orders = {(seed, epoch): made(seed=seed).order(epoch) for seed in (0, 1) for epoch in (1, 2)}
    assert len({tuple(order.tolist()) for order in orders.values()}) == 4
    for (seed, epoch), order in orders.items():
        assert sorted(order.tolist()) == list(range(90))
        assert torch.equal(order, made(seed=seed).order(epoch))


def test_the_fingerprint_is_that_of_all_numbers(made):
    other = X.copy()
    other[-1, -1] = 1 - other[-1, -1]
    assert made().fingerprint == made(seed=1).fingerprint != made(other).fingerprint
    assert made().fingerprint != made(X[:-1]).fingerprint


def trained(samples, held_out, start):
    """The weights of a denoiser after a whole session, standardized and from a start that is fitted to the samples."""
    part = Dense((16,), 4, code_activation="linear")
    network = build(part, 12, generator(0, "init"), None)
    standard = standardization_of(samples, 1, "linear")
    network.standardize(standard)
    setup = Setup(TRAINING, Objective(MSE(), unit=standard.unit), 0, GaussianNoise(0.1))
    start(network, samples, setup)
    history = History()
    for _ in session(network, samples, held_out, setup, Checkpoints(None), None, history):
        pass
    return network.state_dict(), [(row.step_losses, row.validation_loss) for row in history], standard


@pytest.mark.parametrize("start", [fit_start, pca_start])
def test_samples_that_are_not_resident_train_to_the_same_bits(start, tmp_path):
    resident = trained(Pixels(X[:70], CPU, shuffle=True), Pixels(X[70:], CPU), start)
    shards = Shards(X[:70], tmp_path / "train")
    mapped = trained(shards, Shards(X[70:], tmp_path / "held out"), start)
    assert shards.read == {0, 1, 2, 3}
    assert resident[1:] == mapped[1:]
    assert len(resident[1]) >= 1
    for name, weights in resident[0].items():
        assert torch.equal(weights, mapped[0][name]), name
    another = trained(Pixels(X[:70], CPU, shuffle=True, seed=1), Pixels(X[70:], CPU), start)
    assert another[1] != resident[1], "the order is the samples'"


def test_batches_of_an_epoch_are_all_samples_once(made):
    samples = made()
    seen = torch.cat(list(batches(samples, 16, samples.order(1))))
    assert torch.equal(seen, samples.batch(samples.order(1)))
