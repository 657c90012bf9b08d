"""`partial_fit`: samples that come in parts are learned as well as all at once, and each call goes on."""

import re
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus import L1, Autoencoder, Dense, GaussianNoise, Images
from isthmus.errors import DoubtWarning, PoorFitWarning, RequestError, RunError


def small(**changes):
    arguments = {"network": Dense(bottleneck=3, activation="tanh"), "batch_size": 32, "random_state": 0}
    return Autoencoder(**{**arguments, **changes})


def weights(model):
    return torch.cat([tensor.flatten() for tensor in model.network_.state_dict().values()])


def test_a_stream_of_chunks_reaches_what_fit_reaches():
    x = (load_digits().data / 16).astype(np.float32)
    settings = {"network": Dense((64,), 8, output="sigmoid"), "random_state": 0, "batch_size": 32, "start": "data"}
    train, test = x[:1500], x[1500:]
    whole = Autoencoder(**settings, epochs=10).fit(train).score(test)
    online = Autoencoder(**settings)
    scores = []
    for _ in range(10):
        for chunk in np.array_split(train, 6):
            online.partial_fit(chunk)
        scores.append(online.score(test))
    assert scores[0] < scores[4] < scores[-1]
    assert scores[-1] > 1.1 * whole, "errors are negative scores: within a tenth"
    assert len(online.history_) == 60


def test_the_first_call_standardizes_and_the_others_keep_that(x):
    model = small(standardize=True).partial_fit(5 + x)
    table = model.network_.standardization
    assert table is not None
    model.partial_fit(x)
    assert model.network_.standardization == table


def test_the_same_calls_give_the_same_bits_and_each_has_an_order_of_its_own(x):
    a, b = (small(corruption=GaussianNoise(0.5)).partial_fit(x).partial_fit(x) for _ in range(2))
    assert torch.equal(weights(a), weights(b))
    still = small(corruption=GaussianNoise(0.5), optimizer="sgd", learning_rate=1e-12)
    losses = [still.partial_fit(x).history_[-1].step_losses for _ in range(3)]
    assert np.abs(np.subtract(losses[0], losses[1])).max() > 1e-2
    assert np.abs(np.subtract(losses[1], losses[2])).max() > 1e-2


def test_the_optimizers_moments_go_on_from_call_to_call(x):
    model = small().partial_fit(x)
    optimizer, moments = model.fitted_.moments
    assert (optimizer, int(moments["step"])) == ("adam", 7)
    model.partial_fit(x)
    assert int(model.fitted_.moments[1]["step"]) == 14
    model.set_params(optimizer="adamw").partial_fit(x)
    assert int(model.fitted_.moments[1]["step"]) == 7, "of another optimizer they mean something else"
    model.fit(x)
    assert model.fitted_.moments is None


def test_a_penaltys_warm_up_goes_on_over_the_calls(x):
    def first_losses(warmup):
        model = small(penalty=L1(1e3, warmup=warmup), network=Dense(bottleneck=6), optimizer="sgd", learning_rate=1e-12)
        return [model.partial_fit(x).history_[-1].loss for _ in range(3)]

    growing, full = first_losses(2), first_losses(0)
    assert growing[0] < 0.5 * growing[1] < 0.5 * growing[2]
    assert growing[2] == pytest.approx(full[2])


def test_it_goes_on_from_a_fit_and_from_a_loaded_model(x, tmp_path):
    model = small(epochs=4).fit(x)
    model.save(tmp_path / "m")
    loaded = isthmus.load(tmp_path / "m")
    before = model.history_.losses[-1]
    model.partial_fit(x)
    assert [row.epoch for row in model.history_] == [1, 2, 3, 4, 5]
    assert model.history_.losses[-1] < before
    assert torch.equal(weights(loaded.partial_fit(x)), weights(model))


def test_the_order_and_the_noise_of_a_pass_are_told_by_what_came_before_it(x, tmp_path):
    """After loading too; and a pass after another cycle of `fit` is another, though it has the same number."""

    def noisy():  # with steps of hardly any size the losses show the order and the noise alone
        return small(
            corruption=GaussianNoise(0.5), optimizer="sgd", learning_rate=1e-4, epochs=3, shuffle=False, warm_start=True
        )

    def next_losses(model):
        return model.partial_fit(x).history_[-1].step_losses

    model = noisy().fit(x).partial_fit(x)
    model.save(tmp_path / "m")
    loaded = isthmus.load(tmp_path / "m")
    first = [next_losses(model) for _ in range(2)]
    assert [next_losses(loaded) for _ in range(2)] == first
    once, twice = next_losses(noisy().fit(x)), next_losses(noisy().fit(x).fit(x))
    for a, b in ((first[0], first[1]), (once, twice)):
        assert np.abs(np.subtract(a, b)).max() > 1e-2


def test_a_pass_makes_a_network_of_its_own(x):
    """Whoever holds the one of before, as a thread that decodes does, keeps it as it was."""
    model = small(standardize=True).partial_fit(x)
    network, moments = model.network_, model.fitted_.moments[1]
    before, moment = weights(model), moments["exp_avg"].clone()
    model.partial_fit(x)
    assert model.network_ is not network
    assert not torch.equal(weights(model), before)
    assert torch.equal(torch.cat([tensor.flatten() for tensor in network.state_dict().values()]), before)
    assert torch.equal(moments["exp_avg"], moment)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("settings", [{"patience": 3, "validation_fraction": 0.2}, {"recipe": "fast"}])
def test_what_belongs_to_whole_fits_has_no_say(settings, x):
    model = small(**settings, network=Dense((8,), 3, code_activation="linear")).partial_fit(x)
    training = model.training_
    assert (training.epochs, training.schedule) == (1, "constant")
    assert (training.patience, training.validation_fraction) == (None, None)
    assert model.input_["n_samples"] == 200
    assert model.get_params()["patience"] == settings.get("patience")


def test_images_and_single_samples(images):
    model = small().partial_fit(images)
    before = weights(model)
    model.partial_fit(Images(images.pixels[:1]))
    assert not torch.equal(weights(model), before)
    assert model.reconstruct(images).shape == (60, 1, 8, 8)


def test_a_call_that_fails_leaves_the_model_as_it_was(x):
    model = small().partial_fit(x)
    before, step = weights(model), model.fitted_.moments[1]["step"].clone()
    with pytest.raises(ValueError, match="X has 10 features, but Autoencoder is expecting 16"):
        model.partial_fit(x[:, :10])
    model.set_params(learning_rate=1e30, optimizer="sgd")
    with pytest.raises(RunError, match="diverged"):
        model.partial_fit(x)
    model.set_params(learning_rate=None, optimizer="adam", network__bottleneck=4)
    with pytest.raises(RequestError, match="the fitted one has"):
        model.partial_fit(x)
    assert torch.equal(weights(model), before)
    assert torch.equal(model.fitted_.moments[1]["step"], step)
    assert len(model.history_) == 1


def test_a_random_state_that_moves_gives_each_model_a_seed_of_its_own(x):
    state = np.random.RandomState(0)
    a, b = (small(random_state=state).partial_fit(x) for _ in range(2))
    assert not torch.equal(weights(a), weights(b))
    seed = a.seed_
    assert a.partial_fit(x).seed_ == seed


def few_that_are_wide(n=40, side=48):
    """Round spots of 12 bits on an uneven ground, with noise: of so few, PCA of 32 numbers knows nearly all."""
    rng, place = np.random.default_rng(0), np.arange(side, dtype=np.float32)
    down, across = np.exp(-np.square((place - rng.uniform(0, side, (2, n, 6, 1))) / 4))
    spots = down[..., :, None] * across[..., None, :]
    clean = 300 + (rng.uniform(300, 1500, (n, 6, 1, 1)) * spots).sum(axis=1)
    return rng.poisson(clean).astype(np.float32).reshape(n, -1)


@pytest.mark.parametrize("network", [None, Dense((64, 32), 8, activation="gelu", code_activation="linear")])
def test_many_passes_over_the_same_samples_never_make_them_worse(network):
    """Steps of the usual size from PCA's solution raised the error of these to the double, and to many times that."""
    x = few_that_are_wide()
    model = Autoencoder(network, recipe="fast", random_state=0)
    errors = [-model.partial_fit(x).score(x) for _ in range(12)]
    assert model.training_.start == "pca"
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(errors))
    pca = PCA(model.network_.code_size).fit(x)
    assert errors[-1] < 1.001 * np.square(pca.inverse_transform(pca.transform(x)) - x).mean()


@pytest.mark.parametrize("schedule", ["one-cycle", None])
@pytest.mark.parametrize("is_loaded", [False, True])
def test_the_rate_of_a_fit_is_none_of_passes(schedule, is_loaded, tmp_path):
    """`isthmus fit` writes down the one that it chose: steps of it undo what the end of the fit has settled."""
    x = (load_digits().data / 16).astype(np.float32)[:500]
    said = {"learning_rate": 0.02, "schedule": schedule, "epochs": 40}
    model = Autoencoder(Dense((64, 32), 8), start="data", random_state=0, **said).fit(x[:480])
    for some in np.array_split(x[480:], 4):
        if is_loaded:
            model.save(tmp_path / "m")
            model = isthmus.load(tmp_path / "m")
        before = -model.score(some)
        assert -model.partial_fit(some).score(some) <= before
    assert model.training_.learning_rate <= 1e-3
    assert model.learning_rate == 0.02
    model.set_params(learning_rate=0.01).partial_fit(x[480:])
    assert model.training_.learning_rate == 0.01, "what is said since is taken as it is"


def test_a_pass_after_the_end_of_a_cycle_does_not_undo_it():
    x = (load_digits().data / 16).astype(np.float32)[:500]
    model = Autoencoder(Dense((64, 32), 8), recipe="fast", epochs=20, start="data", random_state=0).fit(x)
    before, passes = -model.score(x), [model.partial_fit(x).history_.kept_start for _ in range(6)]
    assert -model.score(x) <= before
    assert any(passes)
    assert model.training_.learning_rate < 1e-3, "what is taken back is tried again in smaller steps"


def test_a_rate_that_was_said_is_taken_as_it_is(x):
    said, unsaid = (small(optimizer="sgd", learning_rate=rate).partial_fit(x) for rate in (1e-3, None))
    assert torch.equal(weights(said), weights(unsaid)), "where no pass is a step back nothing is changed"
    said.set_params(learning_rate=30.0, standardize=True).partial_fit(x)
    assert not said.history_.kept_start
    assert said.training_.learning_rate == 30.0


def test_a_pass_is_judged_by_all_that_it_lowers():
    """A penalty that is being learned makes the reconstruction worse, and is no step back."""
    x = (load_digits().data / 16).astype(np.float32)[:300]
    model = Autoencoder(Dense(bottleneck=64), random_state=0, batch_size=32)
    for _ in range(40):
        model.partial_fit(x)
    before, active = -model.score(x), np.abs(model.transform(x)).mean()
    model.set_params(penalty=L1(0.03))
    taken_back = [model.partial_fit(x).history_.kept_start for _ in range(10)]
    assert sum(taken_back) < 3
    assert np.abs(model.transform(x)).mean() < 0.5 * active
    assert -model.score(x) > before


def test_a_pass_holds_nothing_out_and_says_nothing_of_that(x):
    model = Autoencoder(Dense(bottleneck=3, code_activation="linear"), recipe="fast", random_state=0)
    for _ in range(3):  # warnings are errors
        assert model.partial_fit(x).training_.validation_fraction is None


def warned(model, chunks):
    """After which passes there was a PoorFitWarning, with the last one's text."""
    passes, text = [], ""
    for i, chunk in enumerate(chunks, 1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.partial_fit(chunk)
        assert {(warning.category, warning.filename) for warning in caught} <= {(PoorFitWarning, __file__)}
        if caught:
            passes.append(i)
            text = str(caught[-1].message)
    return passes, text


@pytest.mark.parametrize("n", [2, 64])
def test_a_stream_that_is_learned_is_never_doubted(n):
    """Not in its first passes either, in which it is worse than the mean of any; nor where parts are small."""
    x = (load_digits().data / 16).astype(np.float32)
    model = small(network=Dense(bottleneck=8, output="sigmoid"), learning_rate=0.01)
    first = -model.partial_fit(x[:n]).score(x)
    assert first > x.var(axis=0).mean()
    rng = np.random.default_rng(0)
    passes, _ = warned(model, (x[rng.choice(len(x), n, replace=False)] for _ in range(300)))
    assert passes == []
    assert -model.score(x) < x.var(axis=0).mean()


def test_a_stream_that_is_not_learned_is_doubted_when_its_steps_have_doubled():
    x = (load_digits().data / 16).astype(np.float32)
    model = small(network=Dense(bottleneck=8), learning_rate=0.05, penalty=L1(100))
    rng = np.random.default_rng(0)
    chunks = [x[rng.choice(len(x), 32, replace=False)] for _ in range(210)]
    passes, text = warned(model, chunks)
    assert passes == [100, 200]
    of_mean, left = (float(number) for number in re.findall(r"\d\.\d+", text)[:2])
    assert of_mean == pytest.approx(x.var(axis=0).mean(), rel=0.1)
    assert left == pytest.approx(-model.score(x), rel=0.1)
    assert "no better than the mean of the samples of its last pass" in text
    assert "after 200 passes it leaves" in text
    way_out = 'try a smaller weight of the penalty, or another learning rate, or a new start with recipe="fast"; '
    assert way_out in text
    assert warned(small(network=Dense(bottleneck=8), learning_rate=0.05, penalty=L1(1e-4)), chunks)[0] == []


def test_a_doubt_of_the_samples_is_said_once_for_a_model_of_a_stream(x):
    """However its numbers change, and also if it is of a later part."""
    model, light = small(corruption=GaussianNoise(0.1, clip=True)), 200 + np.abs(x)
    said = []
    for part in (x / 100, light[:90], light[90:], light + 7):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.partial_fit(part)
        assert {warning.filename for warning in caught} <= {__file__}
        said.append([str(one.message)[:12] for one in caught if one.category is DoubtWarning])
    assert said == [[], ["the noisy sa", "the samples'"], [], []]
    with pytest.warns() as caught:
        clone(model).partial_fit(light)
    assert sum(one.category is DoubtWarning for one in caught) == 2
