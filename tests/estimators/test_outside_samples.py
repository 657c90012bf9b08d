"""Samples of a class from outside the package, by `Autoencoder`'s public methods: a memory map, and generated ones."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, GaussianNoise, Images, load
from isthmus.errors import DoubtWarning, RequestError
from isthmus.training.checkpoint import Checkpoints


class Waves:
    """Sines of any number: each is a function of its position, and nothing is kept."""

    device, n_features, fingerprint = torch.device("cpu"), 16, "waves"

    def __len__(self):
        return 300

    def batch(self, which):
        i = torch.arange(300)[which].to(torch.float32)[:, None]
        return 0.5 + 0.4 * torch.sin(0.7 * i + torch.arange(16) * (1 + i % 5) / 5)

    def order(self, epoch):
        return None


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return (rng.random((200, 3)) @ rng.random((3, 16)) / 3).astype(np.float32)


@pytest.fixture
def memory_map(extension):
    """The class of the example, which also notes how many samples a batch had at most."""

    class Noting(extension("samples_memory_map").MemoryMap):
        most = 0

        def batch(self, which):
            samples = super().batch(which)
            self.most = max(self.most, len(samples))
            return samples

    return Noting


@pytest.fixture
def mapped(memory_map, rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    return memory_map(tmp_path / "rows.npy")


def model(**changes):
    given = {"epochs": 4, "batch_size": 32, "learning_rate": 0.01, "random_state": 0, **changes}
    return Autoencoder(Dense((8,), 3, code_activation="linear"), **given)


def state(fitted):
    return fitted.network_.state_dict()


def same(one, other):
    return all(torch.equal(state(one)[name], state(other)[name]) for name in state(one))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"corruption": GaussianNoise(0.1, clip=True), "standardize": True, "start": "data"},
        {"validation_fraction": 0.2, "patience": 2},
        {"recipe": "fast", "learning_rate": None, "batch_size": None},
        {"start": "pca"},
    ],
    ids=str,
)
def test_a_memory_map_trains_to_the_bits_of_its_array(given, mapped, rows):
    taken, fitted = (model(**given).fit(samples) for samples in (mapped, rows))
    if "validation_fraction" not in given and "recipe" not in given:
        assert same(taken, fitted)
        assert taken.history_.losses.tolist() == fitted.history_.losses.tolist()
    else:  # the order of a share is that of the whole, not one of its own
        np.testing.assert_allclose(taken.score(rows), fitted.score(rows), rtol=0.5)
    assert same(taken, model(**given).fit(mapped))
    assert not same(taken, model(**given).set_params(random_state=1).fit(mapped))
    assert {**taken.input_, "sha256": 0} == {**fitted.input_, "sha256": 0}
    assert taken.input_["sha256"] == mapped.fingerprint


def test_what_is_used_takes_them_too(mapped, rows):
    fitted = model().fit(rows)
    for use in (fitted.transform, fitted.reconstruct, fitted.score_samples, DecoderPrior().of(fitted).denoise):
        np.testing.assert_array_equal(use(mapped), use(rows))
    pictured = model().fit(Images(rows.reshape(-1, 1, 4, 4)))
    assert pictured.reconstruct(mapped).shape == (200, 1, 4, 4)


def test_generated_samples_are_learned_validated_and_saved(tmp_path):
    waves = Waves()
    fitted = model(epochs=30).fit(waves, validation=waves)
    losses = fitted.history_.validation_losses
    assert losses[-1] < 0.5 * losses[0]
    fitted.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").transform(waves), fitted.transform(waves))
    held = model(epochs=3, validation_fraction=0.2).fit(waves)
    assert held.history_.validation_losses.shape == (3,)


def test_a_training_is_resumed_and_goes_on_with_them(mapped, tmp_path, capsys):
    whole = model().fit(mapped)
    with contextlib.closing(model().fit_epochs(mapped, checkpoint=Checkpoints(tmp_path / "c", every=0))) as epochs:
        next(epochs)
        next(epochs)
    assert same(model(verbose=1).fit(mapped, checkpoint=tmp_path / "c"), whole)
    assert capsys.readouterr().out.startswith("continues after epoch")
    before = {name: tensor.clone() for name, tensor in state(whole).items()}
    whole.set_params(warm_start=True).fit(mapped)
    assert whole.history_.losses[0] < model().fit(mapped).history_.losses[0]
    assert any(not torch.equal(before[name], tensor) for name, tensor in state(whole).items())
    one, again = (model(learning_rate=1e-3).partial_fit(mapped).partial_fit(mapped) for _ in range(2))
    assert same(one, again)


def test_no_more_than_some_thousand_are_asked_for_at_a_time(memory_map, tmp_path):
    np.save(tmp_path / "many.npy", np.random.default_rng(0).random((9000, 4), np.float32))
    many = memory_map(tmp_path / "many.npy")
    Autoencoder(Dense(bottleneck=2), epochs=1, start="data", random_state=0).fit(many, validation=many)
    assert 0 < many.most < 5000


def test_what_cannot_be_is_refused(mapped, rows):
    fitted = model().fit(rows[:, :5])
    with pytest.raises(ValueError, match="X has 16 features, but Autoencoder is expecting 5 features"):
        fitted.transform(mapped)
    with pytest.raises(RequestError, match="a convolutional network needs images"):
        Autoencoder(Conv((2,))).fit(mapped)
    dark = Waves()
    dark.batch = lambda which: Waves.batch(dark, which) - 1
    with pytest.raises(RequestError, match=r"must lie in \[0, 1\] for a sigmoid output, got a minimum of -0\.89"):
        Autoencoder(Dense(output="sigmoid"), epochs=1).fit(dark)
    far = Waves()
    far.batch = lambda which: Waves.batch(far, which) + 50
    with pytest.warns(DoubtWarning, match="the samples' mean is 50"):
        model(epochs=1).fit(far)
    mapped.device = torch.device("meta")
    with pytest.raises(RequestError, match="the samples' device must be cpu, where the network is, got 'meta'"):
        model(device="cpu").fit(mapped)


def test_a_convolution_says_the_shape_of_their_images(mapped):
    network = Conv((4,), image_shape=(1, 4, 4))
    fitted = Autoencoder(network, epochs=2, random_state=0).fit(mapped)
    assert fitted.transform(mapped).shape == (200, 16)
