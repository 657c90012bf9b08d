"""A start at PCA's solution: it is PCA, whatever the activations; what is trained from it is no worse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus import Affine, Autoencoder, Dense, GaussianNoise, Images, load
from isthmus.augmentation import augment
from isthmus.commands.fitting.defaults import Wanted, choose
from isthmus.data.batches import Pixels
from isthmus.errors import RequestError
from isthmus.networks import build
from isthmus.objective import Objective
from isthmus.parts import MSE, Masking, Training
from isthmus.rng import generator
from isthmus.training.setup import Setup
from isthmus.training.start import fit_pca, pca_start, with_refit_gain
from isthmus.training.validation import is_better, weights_of

CPU = torch.device("cpu")
SETUP = Setup(Training(), Objective(MSE()), seed=0)
LINEAR = Dense((64, 32), 8, code_activation="linear")
DIGITS = (load_digits().data / 16).astype(np.float32)


def of_pca(x, k, y=None):
    pca = PCA(k, svd_solver="full").fit(x.astype(np.float64))
    y = x if y is None else y
    return pca.inverse_transform(pca.transform(y.astype(np.float64)))


@pytest.mark.parametrize("activation", ["gelu", "leakyrelu", "linear", "relu", "silu"])
@pytest.mark.parametrize(("hidden", "back"), [((), None), ((20,), None), ((64, 32), None), ((24,), ()), ((), (16, 40))])
def test_it_reconstructs_as_pca_does(activation, hidden, back):
    part = Dense(hidden, 8, decoder_hidden=back, activation=activation, code_activation="linear")
    network = build(part, 64, torch.Generator().manual_seed(0), None)
    before = network(torch.from_numpy(DIGITS))[0].detach().numpy()
    assert part.n_components(corrupted=False) == 8
    pca_start(network, Pixels(DIGITS, CPU), SETUP)
    x_hat = network(torch.from_numpy(DIGITS))[0].detach().numpy()
    np.testing.assert_allclose(x_hat, of_pca(DIGITS, 8), atol=2e-6)
    assert abs(before - x_hat).max() > 0.1


@pytest.mark.parametrize("n", [7, 9])  # fewer than the code has numbers, and so few that one component is arbitrary
def test_of_very_few_samples_other_images_are_reconstructed_as_pca_does_too(n):
    network = build(LINEAR, 64, torch.Generator().manual_seed(0), None)
    pca_start(network, Pixels(DIGITS[:n], CPU), SETUP)
    pca = fit_pca(DIGITS[:n], 8)
    x_hat = network(torch.from_numpy(DIGITS[100:]))[0].detach().numpy()
    np.testing.assert_allclose(x_hat, pca.inverse_transform(pca.transform(DIGITS[100:])), atol=2e-6)


@pytest.mark.parametrize("n", [3, 5, 20])
@pytest.mark.parametrize("times", [1, 2])
def test_after_a_training_on_fewer_samples_than_numbers_other_images_are_no_worse_than_the_mean_of_these(n, times):
    x = np.repeat(DIGITS[:n], times, axis=0)  # and where some of them are the same
    model = Autoencoder(recipe="fast", epochs=5, random_state=0).fit(x)
    others = DIGITS[500:]
    assert -model.score(others) < np.square(others - x.mean(axis=0)).mean()


@pytest.mark.parametrize("activation", ["gelu", "leakyrelu", "linear", "relu", "silu"])
def test_a_denoiser_starts_at_the_linear_filter_that_is_best(activation):
    part = Dense((), 64, activation=activation)
    network, noise = build(part, 64, torch.Generator().manual_seed(0), None), GaussianNoise(0.3)
    pca_start(network, Pixels(DIGITS, CPU), replace(SETUP, corruption=noise))
    x_noisy = DIGITS + 0.3 * np.random.default_rng(1).standard_normal(DIGITS.shape).astype(np.float32)
    error = np.square(network(torch.from_numpy(x_noisy))[0].detach().numpy() - DIGITS).mean()
    assert error < min(np.square(of_pca(DIGITS, k, x_noisy) - DIGITS).mean() for k in (5, 10, 15, 20, 32))
    covariance = np.cov(DIGITS.T)
    wiener = np.linalg.solve(covariance + 0.09 * np.eye(64), covariance)
    mean = DIGITS.mean(axis=0)
    assert error == pytest.approx(np.square((x_noisy - mean) @ wiener + mean - DIGITS).mean(), rel=0.02)


def test_of_few_wide_samples_the_filter_is_no_worse_than_the_noise():
    """PCA knows fewer directions than samples, and what it leaves out of others outweighs a little noise by far."""
    walks = np.random.default_rng(0).normal(scale=0.1, size=(1000, 64)).cumsum(axis=1).astype(np.float32)
    x, others, noise = walks[:30], walks[30:], GaussianNoise(0.03)
    network = build(Dense((), 64, activation="gelu"), 64, torch.Generator().manual_seed(0), None)
    pca_start(network, Pixels(x, CPU), replace(SETUP, corruption=noise))
    x_noisy = others + 0.03 * np.random.default_rng(1).standard_normal(others.shape).astype(np.float32)
    error = np.square(network(torch.from_numpy(x_noisy))[0].detach().numpy() - others).mean()
    assert error < 1.02 * 0.03**2
    assert np.square(of_pca(x, 29, x_noisy) - others).mean() > 5 * 0.03**2


def walks(n, n_features):
    x = np.random.default_rng(0).normal(scale=0.1, size=(n, n_features)).cumsum(axis=1)
    return x.astype(np.float32)


@pytest.mark.parametrize("code", [39, 200], ids=["of PCA", "wider than PCA"])
@pytest.mark.parametrize("n_features", [400, 1600], ids=["all components", "more than all"])
def test_of_few_wide_samples_the_filter_is_better_than_any_pca(n_features, code):
    """The last components, which PCA of most samples does not have, were taken for nothing."""
    x, noise = walks(540, n_features), GaussianNoise(0.05)
    x, others = x[:40], x[40:]
    network = build(Dense((), code, activation="gelu"), n_features, torch.Generator().manual_seed(0), None)
    pca_start(network, Pixels(x, CPU), replace(SETUP, corruption=noise))
    x_noisy = others + 0.05 * np.random.default_rng(1).standard_normal(others.shape).astype(np.float32)
    error = np.square(network(torch.from_numpy(x_noisy))[0].detach().numpy() - others).mean()
    best = min(np.square(of_pca(x, k, x_noisy) - others).mean() for k in range(20, 40, 3))
    assert error < best if code > 39 else error < 1.002 * best


@torch.no_grad()
def test_under_an_augmentation_the_filter_is_of_samples_as_a_training_has_them():
    """It takes more out of others. How much of a component is noise, none of a sample's own copies says."""
    shape, moved, noise = (1, 8, 8), Affine(rotation=20, shift=1, share=1.0), GaussianNoise(0.2)
    x = DIGITS[:31]
    others = augment(moved, torch.from_numpy(DIGITS[500:]), generator(5, "augment"), shape)
    x_noisy = others + 0.2 * torch.randn(others.shape, generator=torch.Generator().manual_seed(1))
    left = []
    for augmentation in (None, moved):
        network = build(Dense((), 64, activation="gelu"), 64, torch.Generator().manual_seed(0), shape)
        setup = replace(SETUP, corruption=noise, augmentation=augmentation, image_shape=shape)
        pca_start(network, Pixels(x, CPU), setup)
        left.append(float((network(x_noisy).x_hat - others).square().mean()))
    assert left[1] < 0.7 * left[0]
    best = min(
        float(np.square(of_pca(many_of(x, moved, shape), k, x_noisy.numpy()) - others.numpy()).mean())
        for k in range(8, 60, 4)
    )
    assert left[1] < 0.8 * best


def many_of(x, augmentation, shape):
    return augment(augmentation, torch.from_numpy(np.tile(x, (20, 1))), generator(3, "augment"), shape).numpy()


def test_pca_of_few_wide_samples_is_exact():
    x = np.random.default_rng(0).normal(size=(100, 1600)).astype(np.float32)
    kept, exact = fit_pca(x, 30), PCA(30, svd_solver="full").fit(x.astype(np.float64))
    cosines = np.linalg.svd(kept.components_ @ exact.components_.T, compute_uv=False)
    assert cosines.min() > 1 - 1e-5


def test_the_last_directions_of_few_samples_are_known_as_well_as_the_first():
    """Variances that fall by ten orders: of a covariance in float32 all below a ten-millionth are rounding."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(60, 60)))[0]
    x = (rng.normal(size=(40, 60)) * np.logspace(0, -5, 60)) @ directions.T
    of_32, exact = (fit_pca(each, 39) for each in (x.astype(np.float32), x))
    np.testing.assert_allclose(of_32.explained_variance_, exact.explained_variance_, rtol=0.02)


@pytest.mark.parametrize(("sigma", "kept"), [(0.02, True), (0.3, False)])
def test_a_denoiser_is_the_best_linear_filter_where_it_is_no_better(sigma, kept):
    """It had more error than PCA under little noise; under much it learns from the data's start, to the same bits."""
    train, held_out, test = Images(DIGITS[:1000].reshape(-1, 1, 8, 8)), DIGITS[1000:1200], DIGITS[1200:]
    choice = choose(Wanted(train.shape, len(train), corruption=GaussianNoise(sigma), training={"epochs": 30}))
    model, trained = (
        Autoencoder(choice.network, corruption=GaussianNoise(sigma), random_state=0, **(choice.training | start))
        for start in ({}, {"start": "data"})
    )
    for one in (model, trained):
        one.fit(train.floats(), validation=held_out)
    assert model.history_.kept_start is kept
    if not kept:
        np.testing.assert_array_equal(model.transform(test), trained.transform(test))
    x_noisy = test + sigma * np.random.default_rng(1).standard_normal(test.shape).astype(np.float32)
    error, former = (np.square(one.reconstruct(x_noisy) - test).mean() for one in (model, trained))
    assert error <= former
    assert error < min(np.square(of_pca(train.floats(), k, x_noisy) - test).mean() for k in range(10, 64, 3))


@pytest.mark.parametrize(
    "part",
    [
        Dense((64,), 8),  # a code of rectified numbers holds no PCA of as many
        Dense((64,), 8, code_activation="linear", output="sigmoid"),
        Dense((64,), 8, code_activation="linear", activation="tanh"),
        Dense((15,), 8, code_activation="linear"),
    ],
)
def test_a_network_that_cannot_be_pca_is_refused(part):
    assert part.n_components(corrupted=False) == 0
    with pytest.raises(RequestError, match="a linear code and output"):
        Autoencoder(part, start="pca").fit(DIGITS[:50])


def test_where_nothing_is_to_be_learned_pca_of_all_samples_is_kept():
    """Numbers without any structure that is not linear: what some epoch seems to gain is chance."""
    x = np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32)
    model = Autoencoder(LINEAR, recipe="fast", random_state=0).fit(x)
    assert model.training_.start == "pca"
    assert model.history_.kept_start
    np.testing.assert_allclose(model.reconstruct(x), of_pca(x, 8), atol=1e-4)


def test_where_there_is_much_to_be_learned_the_start_is_left(tmp_path):
    train, test = DIGITS[:1000], DIGITS[1400:]
    model = Autoencoder(LINEAR, recipe="fast", epochs=20, random_state=0).fit(train)
    assert not model.history_.kept_start
    assert -model.score(test) < 0.8 * np.square(of_pca(train, 8, test) - test).mean()
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(test), model.transform(test))


def test_a_training_that_goes_on_knows_its_start(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32)
    model = Autoencoder(LINEAR, recipe="fast", epochs=6, random_state=0)
    from isthmus.training.checkpoint import Checkpoints

    whole = model.fit(x).reconstruct(x)
    rows = model.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "work", every=0))
    for row in rows:
        if row.epoch == 3:
            break
    rows.close()
    again = Autoencoder(LINEAR, recipe="fast", epochs=6, random_state=0)
    first = next(rows := again.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "work", every=0)))
    assert first.epoch > 1
    for _ in rows:
        pass
    assert again.history_.kept_start
    np.testing.assert_array_equal(again.reconstruct(x), whole)


def test_standardized_data_of_any_offset_start_at_pca_too():
    x = 5 + 1e-3 * DIGITS[:300]
    model = Autoencoder(LINEAR, start="pca", standardize=True, epochs=1, learning_rate=1e-9, random_state=0).fit(x)
    np.testing.assert_allclose(1e3 * (model.reconstruct(x) - 5), of_pca(DIGITS[:300], 8), atol=2e-3)


def test_what_pca_gains_from_the_held_out_samples_is_foreseen():
    """Within a third, of 80 digits and 20 held out; and a network is held against that."""
    foreseen, measured = [], []
    for seed in range(5):
        x = DIGITS[np.random.default_rng(seed).permutation(len(DIGITS))]
        train, held = Pixels(x[:80], CPU), Pixels(x[80:100], CPU)
        network = build(Dense(bottleneck=20, code_activation="linear"), 64, torch.Generator().manual_seed(0))
        setup = replace(SETUP, fallback={})
        foreseen.append(with_refit_gain(setup, network, train, held).refit_gain)
        errors = [np.square(pca.inverse_transform(pca.transform(x[100:])) - x[100:]).mean()
                  for pca in (PCA(20).fit(x[:80]), PCA(20).fit(x[:100]))]  # fmt: skip
        measured.append(1 - errors[1] / errors[0])
        assert with_refit_gain(replace(setup, is_warm=True), network, train, held).refit_gain == 0
        assert with_refit_gain(replace(setup, corruption=Masking(0.1)), network, train, held).refit_gain == 0
    assert np.mean(foreseen) == pytest.approx(np.mean(measured), rel=1 / 3)
    assert min(measured) > 0.02


def test_weights_are_kept_where_they_will_be_better_when_they_are_refitted():
    x = Pixels(np.random.default_rng(0).random((30, 16), "float32"), CPU)
    network = build(Dense(bottleneck=4), 16, torch.Generator().manual_seed(0))
    start = weights_of(network)
    with torch.no_grad():
        network.decoder.layers[-1].bias += 0.03
    assert is_better(network, start, x, SETUP)
    assert not is_better(network, start, x, replace(SETUP, refit_gain=0.5))
