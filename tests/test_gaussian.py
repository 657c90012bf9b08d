"""The variational code against closed forms: a linear one is probabilistic PCA (Tipping and Bishop 1999)."""

import contextlib
import json
import math
import re
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus import BCE, MSE, Autoencoder, Conv, Dense, Gaussian, GaussianNoise, Masking, collapse, load
from isthmus.codes.gaussian import GaussianCode
from isthmus.data.batches import samples_on
from isthmus.errors import PoorFitWarning, RequestError
from isthmus.estimators.samples import hold_out
from isthmus.objective import Objective
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.setup import Setup
from isthmus.training.validation import mean_loss

LINEAR = Dense(bottleneck=2, code_activation="linear")


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(300, 2)) * [2, 1] @ np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    return (mixed + 0.5 * rng.normal(size=(300, 5)) + 1).astype(np.float32)


@pytest.fixture(scope="module")
def pca(x):
    return PCA(2).fit(x)


def model(pca, **changes):
    given = {"epochs": 500, "batch_size": 300, "learning_rate": 0.05, "schedule": "cosine", "random_state": 0}
    loss = MSE(1 / (2 * pca.noise_variance_))
    return Autoencoder(LINEAR, **{"code": Gaussian(), "loss": loss, **given, **changes})


@pytest.fixture(scope="module")
def fitted(x, pca):
    return model(pca).fit(x)


def weights(fitted):
    """W, (n_features, 2), and the offset of the decoder."""
    layer = fitted.network_.decoder.layers[0]
    return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()


def exact(fitted, x, variance):
    """log N(x; offset, W Wᵀ + variance I) of each sample."""
    W, offset = weights(fitted)
    covariance = W @ W.T + variance * np.eye(len(W))
    distance = np.einsum("ij,jk,ik->i", x - offset, np.linalg.inv(covariance), x - offset)
    return -0.5 * (len(W) * math.log(2 * math.pi) + np.linalg.slogdet(covariance)[1] + distance)


def elbo(fitted, x, variance):
    """The evidence lower bound of a linear model, without drawing anything."""
    W, offset = weights(fitted)
    with torch.no_grad():
        mean, log_variance = (part.double().numpy() for part in fitted.network_.encode(torch.tensor(x)).chunk(2, dim=1))
    error = np.square(x - offset - mean @ W.T).sum(axis=1) + np.exp(log_variance) @ np.square(W).sum(axis=0)
    nats = 0.5 * (np.square(mean) + np.exp(log_variance) - 1 - log_variance).sum(axis=1)
    return -0.5 * (error / variance + len(W) * math.log(2 * math.pi * variance)) - nats


def test_a_linear_one_has_the_likelihood_of_probabilistic_pca(fitted, x, pca):
    best, bound = pca.score(x), elbo(fitted, x, pca.noise_variance_).mean()
    assert best - 0.05 < bound < best + 0.01
    assert -fitted.history_.losses[-50:].mean() == pytest.approx(bound, abs=0.05)
    assert fitted.history_.losses[0] > 10 - best, "there was something to learn"
    kl = np.mean([row.terms["kl"] for row in fitted.history_][-100:])
    assert float(fitted.network_.code.nats.sum()) == pytest.approx(kl, rel=0.05)
    W = weights(fitted)[0]
    span, components = np.linalg.qr(W)[0], pca.components_.T
    assert np.linalg.svd(span.T @ components)[1].min() > 0.99, "and its subspace"


def test_its_likelihood_is_estimated_within_its_error_and_grows_with_the_samples(fitted, x, pca):
    known = exact(fitted, x[:100], pca.noise_variance_)
    np.testing.assert_allclose(fitted.log_likelihood(x[:100], n_samples=500), known, atol=0.1)
    fitted, x = model(pca, epochs=60).fit(x), x[:100]  # whose encoder is not yet exact
    of_x = exact(fitted, x, pca.noise_variance_)
    estimates = [fitted.log_likelihood(x, n_samples=n) for n in (1, 10, 2000)]
    assert all(estimate.shape == (100,) and estimate.dtype == np.float32 for estimate in estimates)
    means = [estimate.mean() for estimate in estimates]
    assert means[0] < means[1] < means[2] < of_x.mean() + 0.01
    assert means[0] == pytest.approx(elbo(fitted, x, pca.noise_variance_).mean(), abs=0.15), "of one it is the bound"
    assert means[2] == pytest.approx(of_x.mean(), abs=0.02)
    assert np.corrcoef(estimates[2], of_x)[0, 1] > 0.99


def test_a_likelihood_is_a_function_of_the_sample_and_the_seed(fitted, x, tmp_path):
    once = fitted.log_likelihood(x[:9], n_samples=20)
    np.testing.assert_array_equal(fitted.log_likelihood(x[:9], n_samples=20), once)
    np.testing.assert_allclose(fitted.log_likelihood(x[8::-1], n_samples=20)[::-1], once, rtol=1e-5)
    np.testing.assert_allclose(fitted.log_likelihood(x[3:4], n_samples=20), once[3:4], rtol=1e-5)
    double = fitted.log_likelihood(x[:9].astype(np.float64), n_samples=20)
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, once, rtol=1e-4)
    fitted.save(tmp_path / "m")
    np.testing.assert_array_equal(load(tmp_path / "m").log_likelihood(x[:9], n_samples=20), once)
    in_pieces = fitted.log_likelihood(x[:2], n_samples=5000)
    assert np.isfinite(in_pieces).all()


@pytest.mark.parametrize("loss", [MSE(0.05), "bce"], ids=str)
def test_convolutions_have_the_likelihood_of_what_they_sample(loss):
    black_and_white = np.random.default_rng(0).integers(0, 2, (40, 1, 8, 8)).astype(np.float32)
    network = Conv((2, 1), decoder="deconv", output="sigmoid")
    given = Autoencoder(network, code=Gaussian(), loss=loss, epochs=2, random_state=0).fit(black_and_white)
    x, x_hat = black_and_white[:5, None], given.sample(4000, random_state=0)
    if loss == "bce":
        each = np.log(np.where(x == 1, x_hat, 1 - x_hat)).sum(axis=(2, 3, 4), dtype=np.float64)
    else:
        each = -0.05 * ((x - x_hat) ** 2).sum(axis=(2, 3, 4), dtype=np.float64) - 32 * np.log(2 * np.pi * 10)
    by_the_prior = np.logaddexp.reduce(each, axis=1) - np.log(4000)
    np.testing.assert_allclose(given.log_likelihood(black_and_white[:5], n_samples=2000), by_the_prior, atol=0.1)


def test_samples_are_distributed_as_the_model_is(fitted, x, pca):
    W, offset = weights(fitted)
    drawn = fitted.sample(20_000, random_state=0)
    assert drawn.shape == (20_000, 5)
    np.testing.assert_allclose(drawn.mean(axis=0), offset, atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), W @ W.T, atol=0.03 * np.trace(W @ W.T))
    np.testing.assert_array_equal(fitted.sample(3, random_state=1), fitted.sample(3, random_state=1))
    assert (fitted.sample(3, random_state=1) != fitted.sample(3, random_state=2)).all()


def test_the_bound_of_more_samples_is_nearer_to_the_likelihood(fitted, x, pca):
    """Of the same weights, and with autograd's gradients."""
    network, objective = fitted.network_, Setup(fitted.training_, fitted.parts()[2], 0).objective
    values = []
    for k in (1, 5, 50):
        network.code.part = Gaussian(samples=k)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            many = [network(torch.tensor(x), generator=generator) for _ in range(20)]
        values.append(-np.mean([float(objective(o.x_hat, o.code, torch.tensor(x), terms=o.terms)) for o in many]))
    network.code.part = Gaussian()
    assert values[0] == pytest.approx(elbo(fitted, x, pca.noise_variance_).mean(), abs=0.02)
    assert values[0] < values[1] < values[2]
    assert values[2] == pytest.approx(exact(fitted, x, pca.noise_variance_).mean(), abs=0.02)


def test_the_encoders_gradient_of_several_samples_is_the_bounds_with_less_noise():
    """Doubly reparameterized: over many draws its mean is that of the bound's own gradient, its spread smaller."""
    torch.manual_seed(0)
    k, n_draws = 8, 4000
    code, decoder = GaussianCode(Gaussian(samples=k), 2, torch.Generator()).double(), torch.randn(3, 2).double()
    x = torch.randn(1, 3).double()
    z = torch.tensor([[0.5, -1.0, -0.5, 0.3]]).double().expand(n_draws, 4)

    def gradients(doubly):
        leaf = z.clone().requires_grad_()
        if doubly:
            _, seen, terms = code(leaf, generator=torch.Generator().manual_seed(1))
            excess = terms["kl"].values
        else:
            noise = torch.randn(n_draws, k, 2, generator=torch.Generator().manual_seed(1), dtype=leaf.dtype)
            seen, excess = code.draw(leaf, noise)
        each = (seen.view(n_draws, k, 2) @ decoder.t() - x).square().sum(dim=2) + excess
        (-torch.logsumexp(-each, dim=1)).sum().backward()
        return leaf.grad

    plain, doubly = gradients(False), gradients(True)
    error = ((plain.var(dim=0) + doubly.var(dim=0)) / n_draws).sqrt()
    assert ((plain.mean(dim=0) - doubly.mean(dim=0)).abs() < 4 * error).all()
    assert (doubly.var(dim=0) < 0.7 * plain.var(dim=0)).all()


def test_units_that_the_prior_costs_too_much_are_told_of(x, pca):
    silent = model(pca, code=Gaussian(beta=100), epochs=250).fit(x)
    assert (silent.network_.code.nats < 0.01).all()
    assert collapse.collapse(silent, x).what.startswith("2 of 2 units of its code say nothing of an image")
    free = model(pca, code=Gaussian(beta=5, free_bits=0.5), epochs=250).fit(x)
    np.testing.assert_allclose(free.network_.code.nats, 0.5, atol=0.15)
    assert free.history_[-1].terms["paid_kl"] == pytest.approx(1.0, abs=0.2)
    assert collapse.collapse(free, x) is None


def test_a_warmup_is_the_terms(x, pca):
    late = model(pca, code=Gaussian(warmup=4), epochs=2).fit(x)
    row = late.history_[0]
    assert row.loss == pytest.approx(model(pca, code=Gaussian(beta=0), epochs=2).fit(x).history_[0].loss)
    assert row.terms["kl"] > 0.1


def test_pixels_are_drawn_as_black_and_white_in_each_epoch_unless_said_otherwise():
    """Of two images of 6 pixels, each pixel wrong with probability 0.05."""
    rng = np.random.default_rng(0)
    grey = np.where(rng.random((400, 1)) < 0.5, [0.05, 0.95] * 3, [0.95, 0.05] * 3).astype(np.float32)
    entropy = math.log(2) - 6 * (0.05 * math.log(0.05) + 0.95 * math.log(0.95))

    def fitted(loss):
        network, given = Dense((8,), 2, output="sigmoid"), {"epochs": 30, "batch_size": 50, "learning_rate": 0.02}
        return Autoencoder(network, code=Gaussian(), loss=loss, random_state=0, **given).fit(grey)

    drawn, as_it_is = fitted("bce"), fitted(BCE(binary=False))
    assert entropy - 0.1 < drawn.history_.losses[-1] < entropy + 0.5
    assert not np.array_equal(drawn.history_.losses, as_it_is.history_.losses)
    black_and_white = np.array(np.meshgrid(*[[0.0, 1.0]] * 6), np.float32).reshape(6, -1).T
    each = drawn.log_likelihood(black_and_white, n_samples=500)
    assert np.exp(each).sum() == pytest.approx(1, abs=0.05), "probabilities of all that there may be"
    of_grey = drawn.log_likelihood(grey[:9], n_samples=500)
    assert np.abs(of_grey[:, None] - each).min(axis=1).max() < 0.3, "of one of these"
    assert len(set(drawn.reconstruct(grey).round(5).ravel().tolist())) > 2


def test_black_and_white_is_trained_on_as_it_is():
    """Nothing is drawn for it: a corruption's stream is where it would be without."""
    rng = np.random.default_rng(0)
    bits = (rng.random((60, 6)) < 0.4).astype(np.float32)
    nearly = bits.copy()
    nearly[7, 3] = 0.5

    def weights(x, binary):
        model = Autoencoder(
            Dense((8,), 2, output="sigmoid"),
            **{"code": Gaussian(), "corruption": Masking(0.2), "loss": BCE(binary=binary)},
            **{"epochs": 2, "batch_size": 20, "random_state": 0},
        )
        return [weight.numpy() for weight in model.fit(x).network_.state_dict().values()]

    np.testing.assert_equal(weights(bits, True), weights(bits, False))
    assert not np.array_equal(weights(nearly, True)[0], weights(nearly, False)[0])


def test_early_stopping_watches_the_whole_bound(x, pca):
    fitted = model(pca, epochs=5, validation_fraction=0.3, patience=5).fit(x)
    losses = fitted.history_.losses
    assert fitted.history_.validation_losses == pytest.approx(losses, rel=0.3)
    nothing_to_pay = model(pca, code=Gaussian(beta=0), epochs=5, validation_fraction=0.3, patience=5).fit(x)
    assert (fitted.history_.validation_losses > nothing_to_pay.history_.validation_losses + 0.1).all()


def test_an_encoder_of_which_nothing_is_said_ends_linearly(x, images):
    for network in (None, Dense((8,), 2), Conv((4,), output="sigmoid")):
        shape = x if not isinstance(network, Conv) else images
        code = Autoencoder(network, code=Gaussian(), epochs=1, random_state=0).fit(shape).transform(shape)
        assert code.min() < 0 < code.max()
    denoiser = Autoencoder(code=Gaussian(), corruption=GaussianNoise(0.1), recipe="fast", epochs=1, random_state=0)
    assert denoiser.fit(x).network_.part.code_activation == "linear"
    assert clone(denoiser).set_params(code__beta=2.0).code == Gaussian(2.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"beta": -1}, "beta must be at least 0, got -1"),
        ({"beta": "much"}, "beta must be a finite number of at least 0, got 'much'"),
        ({"beta": math.nan}, "beta must be"),
        ({"warmup": -1}, "warmup must be at least 0"),
        ({"free_bits": -0.1}, "free_bits must be at least 0"),
        ({"samples": 0}, "samples must be an integer of at least 1, got 0"),
        ({"samples": 5, "beta": 2}, "samples must be 1 with beta, warmup or free_bits"),
        ({"samples": 5, "free_bits": 0.1}, "samples must be 1 with"),
        ({"samples": 5, "warmup": 3}, "samples must be 1 with"),
        ({"noise": "known"}, "noise must be \"learned\" or left out, got 'known'"),
        ({"noise": 0.1}, "noise must be"),
    ],
    ids=str,
)
def test_wrong_numbers_are_refused(wrong, words):
    with pytest.raises(RequestError, match=words):
        Gaussian(**wrong)


def test_what_does_not_go_together_is_refused(x):
    with pytest.raises(RequestError, match='code "gaussian" needs code_activation="linear", got "relu"'):
        Autoencoder(Dense(code_activation="relu"), code=Gaussian()).fit(x)
    with pytest.raises(RequestError, match=r'loss "bce" of weight 2 is no likelihood for code Gaussian\(\); set beta'):
        Autoencoder(Dense(output="sigmoid"), code=Gaussian(), loss=BCE(2.0)).fit(x)
    for network, loss in ((Dense(output="sigmoid"), "bce"), (Dense(), MSE(2.0))):
        with pytest.raises(
            RequestError, match=r"has no noise to learn for code Gaussian\(noise='learned'\), which needs"
        ):
            Autoencoder(network, code=Gaussian(noise="learned"), loss=loss).fit(x)
    plain = Autoencoder(LINEAR, epochs=1).fit(x)
    for ask in (lambda: plain.sample(3), lambda: plain.log_likelihood(x)):
        with pytest.raises(RequestError, match=r"code Plain\(\) has no prior to sample from; fit with code=Gaussian"):
            ask()
    coded = Autoencoder(LINEAR, code=Gaussian(), epochs=1).fit(x)
    with pytest.raises(RequestError, match="n must be an integer of at least 1, got 0"):
        coded.sample(0)
    with pytest.raises(RequestError, match="n_samples must be an integer of at least 1"):
        coded.log_likelihood(x, n_samples=0)


def test_noise_larger_than_the_samples_vary_is_named_and_the_way_out_is_one():
    """The loss as it is assumes a variance of 1/2, beside which pixels in [0, 1] hardly vary."""
    rng = np.random.default_rng(0)
    x = (0.5 + 0.1 * rng.normal(size=(200, 2)) @ rng.normal(size=(2, 9))).astype(np.float32)
    given = {"code": Gaussian(), "recipe": "fast", "random_state": 0, "epochs": 60}
    with pytest.warns(
        PoorFitWarning, match=r"try loss=MSE\([\d.]+\), for now noise of variance 0.5 is assumed"
    ) as warned:
        poor = Autoencoder(Dense(bottleneck=2), loss=MSE(), **given).fit(x)
    weight = float(re.search(r"MSE\(([\d.]+)\)", str(warned[0].message))[1])
    with warnings.catch_warnings(action="error"):
        good = Autoencoder(Dense(bottleneck=2), loss=MSE(weight), **given).fit(x)
        learned = Autoencoder(Dense(bottleneck=2), **given).fit(x)
    assert -good.score(x) < 0.6 * -poor.score(x)
    assert -learned.score(x) < 0.6 * -poor.score(x), "where the recipe chooses, it is learned"


def test_a_noise_that_is_no_larger_than_the_samples_vary_is_not_to_blame():
    rng = np.random.default_rng(0)
    x = (0.1 * rng.normal(size=(200, 9))).astype(np.float32)
    given = {"code": Gaussian(), "epochs": 1, "random_state": 0}
    learned = r'try recipe="fast" and code=Gaussian\(noise="learned"\), for now noise of variance 0.5 is assumed'
    with pytest.warns(PoorFitWarning, match=rf"leaves [\d.]+ nats: after 1 epoch it leaves [\d.]+ nats; {learned}"):
        Autoencoder(Dense(bottleneck=2), **given).fit(x)
    with pytest.warns(PoorFitWarning, match='try recipe="fast", or more epochs; ') as warned:
        Autoencoder(Dense(bottleneck=2), loss=MSE(0.5 / x.var()), **given).fit(x)
    assert not any("is assumed" in str(one.message) for one in warned)


@pytest.mark.parametrize("scale", [1e-3, 1, 4095])
def test_the_unit_of_the_data_says_nothing_of_whether_it_was_learned(scale):
    """Of these a code tells little, yet more than the mean does: in nats a hundredth is no unit of that."""
    x = scale * (np.random.default_rng(0).random((120, 144)) < 0.2).astype(np.float32)
    network = Dense(bottleneck=4, code_activation="linear")
    with warnings.catch_warnings(action="error", category=PoorFitWarning):
        fitted = Autoencoder(network, code=Gaussian(), recipe="fast", epochs=60, random_state=0).fit(x)
    assert -fitted.score(x) < 0.95 * x.var()
    with pytest.warns(PoorFitWarning, match="no better than the mean"):
        Autoencoder(network, code=Gaussian(beta=20), recipe="fast", epochs=60, random_state=0).fit(x)


def test_noise_that_is_learned_of_few_samples_is_not_that_of_what_is_known_by_heart():
    """Of others the log-likelihood was -340,000 nats, and that of one normal distribution, their own, is 34."""
    rng = np.random.default_rng(0)
    digits = (load_digits().data / 16).astype(np.float32)[rng.permutation(1797)]
    fitted = Autoencoder(Dense((128, 64), 8), code=Gaussian(), recipe="fast", random_state=0).fit(digits[:60])
    nats = fitted.log_likelihood(digits[60:560], n_samples=100)
    assert nats.mean() > -10
    best = int(np.argmin(fitted.history_.validation_losses))
    assert best < 100 < len(fitted.history_) == fitted.training_.epochs


def test_an_end_that_is_as_good_as_the_best_epoch_is_kept(x, pca):
    """At the end of a cycle weights have settled; of the epochs before it some are better by chance."""
    given = {"schedule": "constant", "epochs": 100, "validation_fraction": 0.3, "patience": 100}
    fitted = model(pca, loss=MSE(), code=Gaussian(noise="learned"), **given).fit(x)
    losses = fitted.history_.validation_losses
    assert losses.min() < losses[-1] < losses.min() + 0.1
    held_out = samples_on(hold_out(x, 0.3, 0)[1], torch.device("cpu"))
    setup = Setup(fitted.training_, Objective(MSE(), in_nats=True, noise=fitted.network_.code.noise), seed=0)
    assert mean_loss(fitted.network_, held_out, setup) == pytest.approx(losses[-1], rel=1e-5)


@pytest.fixture(scope="module", params=[(1, 0), (255, 1000)], ids=["as-it-is", "of-255-far-from-0"])
def learned(request, x, pca):
    """A fit of a recipe to samples in some unit, and the likelihoods in it."""
    scale, offset = request.param
    samples = (scale * x + offset).astype(np.float32)
    return model(pca, loss="mse", recipe="fast").fit(samples), samples, scale


def likeliest(x, k=2):
    """The most that probabilistic PCA of k components gives, on average, and its variance of the noise."""
    values = np.linalg.eigvalsh(np.cov(x.T.astype(float), bias=True))[::-1]
    variance, n = values[k:].mean(), len(values)
    return -0.5 * (n * math.log(2 * math.pi) + np.log(values[:k]).sum() + (n - k) * math.log(variance) + n), variance


def test_learned_noise_is_that_of_probabilistic_pca_in_any_unit(learned, x):
    fitted, samples, scale = learned
    best, variance = likeliest(samples)
    assert best + 5 * math.log(scale) == pytest.approx(likeliest(x)[0], abs=0.01), "a unit changes n log scale"
    assert float(fitted.network_.code.noise.variance) == pytest.approx(variance, rel=0.05)
    assert fitted.log_likelihood(samples, n_samples=300).mean() == pytest.approx(best, abs=0.01)
    assert fitted.history_.losses[-1] == pytest.approx(-best, abs=0.1)


def test_samples_with_noise_are_distributed_as_the_samples_are(learned):
    fitted, samples, _ = learned
    np.testing.assert_array_equal(fitted.sample(3, 0, noise=True), fitted.sample(3, 0, noise=True))
    difference = fitted.sample(20_000, 0, noise=True).astype(float) - fitted.sample(20_000, 0)
    assert difference.std() == pytest.approx(math.sqrt(fitted.network_.code.noise.variance), rel=0.01)
    covariance, expected = np.cov(fitted.sample(20_000, 0, noise=True).T), np.cov(samples.T)
    np.testing.assert_allclose(covariance, expected, atol=0.04 * np.trace(expected))


def test_noise_is_learned_under_a_recipe_alone_where_nothing_is_said_of_it(x, learned):
    assert learned[0].code == Gaussian()
    assert learned[0].network_.code_part == Gaussian(noise="learned")
    for given in ({}, {"recipe": "fast", "loss": MSE()}):
        assert Autoencoder(LINEAR, code=Gaussian(), epochs=1, **given).fit(x).network_.code_part == Gaussian()
    explicit = Autoencoder(LINEAR, code=Gaussian(noise="learned"), epochs=1, random_state=0).fit(x)
    assert 0 < float(explicit.network_.code.noise.variance) != 1


@pytest.mark.parametrize("samples", [1, 4])
def test_learned_noise_is_saved_and_resumed_to_the_same_bits(samples, x, pca, tmp_path):
    given = {"code": Gaussian(samples=samples, noise="learned"), "loss": "mse", "epochs": 4, "batch_size": 64}
    whole = model(pca, validation_fraction=0.2, patience=3, **given).fit(x)
    with contextlib.closing(
        model(pca, validation_fraction=0.2, patience=3, **given).fit_epochs(
            x, checkpoint=Checkpoints(tmp_path / "c", every=0)
        )
    ) as rows:
        next(rows), next(rows)
    resumed = model(pca, validation_fraction=0.2, patience=3, **given).fit(x, checkpoint=tmp_path / "c")
    resumed.save(tmp_path / "m")
    for other in (resumed, load(tmp_path / "m")):
        assert torch.equal(other.network_.code.noise.variance, whole.network_.code.noise.variance)
        np.testing.assert_array_equal(
            other.log_likelihood(x[:9], n_samples=20), whole.log_likelihood(x[:9], n_samples=20)
        )


@pytest.mark.parametrize("samples", [1, 4])
def test_the_gradients_at_learned_noise_are_autograds(samples, x, pca):
    """And the noise after a step is the likeliest: the objective's own derivative at it is 0."""
    network = model(pca, code=Gaussian(samples=samples, noise="learned"), loss="mse", epochs=2).fit(x).network_.double()
    noise, rows = network.code.noise, torch.tensor(x).double()
    objective = Objective(MSE(), in_nats=True, noise=noise)
    output = network(rows, generator=torch.Generator().manual_seed(0))
    leaf = output.x_hat.detach().requires_grad_()
    noise.n_steps.zero_()  # so that the next is the only one
    for _ in range(40 if samples > 1 else 1):  # what draws count depends on the noise in turn
        noise.n_steps.zero_()
        value, at = objective.with_gradients(leaf.detach(), output.code, rows, terms=output.terms)
    noise.variance = noise.variance.detach().clone().requires_grad_()
    expected = objective(leaf, output.code, rows, terms=output.terms)
    torch.testing.assert_close(value, expected.detach())
    at_x_hat, at_noise = torch.autograd.grad(expected, [leaf, noise.variance])
    torch.testing.assert_close(at.x_hat, at_x_hat)
    assert abs(float(at_noise * noise.variance.detach())) < 1e-6


def test_samples_that_are_all_the_same_leave_noise_that_is_finite():
    same = np.full((40, 5), 3.0, np.float32)
    with warnings.catch_warnings(action="ignore"):
        fitted = Autoencoder(LINEAR, code=Gaussian(), recipe="fast", epochs=20, random_state=0).fit(same)
    assert np.isfinite(fitted.log_likelihood(same, n_samples=5)).all()
    assert float(fitted.network_.code.noise.variance) > 0


def test_an_older_model_of_a_recipe_has_the_noise_of_its_loss(x, tmp_path):
    """Such a model says nothing of the noise, and none was learned."""
    fitted = Autoencoder(LINEAR, code=Gaussian(), loss=MSE(), recipe="fast", epochs=2, random_state=0).fit(x)
    fitted.save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    del config["sha256"]
    config["parameters"]["loss"] = "mse"
    path.write_text(json.dumps(config))
    old = load(tmp_path / "m")
    np.testing.assert_array_equal(old.log_likelihood(x[:9], n_samples=20), fitted.log_likelihood(x[:9], n_samples=20))
    assert old.set_params(warm_start=True).fit(x).network_.code_part == Gaussian()


def test_what_has_collapsed_with_learned_noise_is_not_told_to_say_another_weight():
    for part, is_weight in ((Gaussian(), True), (Gaussian(noise="learned"), False)):
        code = GaussianCode(part, 3, torch.Generator())
        code.n_steps += 1
        assert ("larger weight of the loss" in code.collapse()[2]) is is_weight
        assert "smaller beta" in code.collapse()[2]
