"""A warm start: another fit goes on from the weights of the one before, and never loses it."""

import json
from contextlib import closing

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus import KL, L1, Autoencoder, Conv, Dense, Dictionary, GaussianNoise
from isthmus.errors import DoubtWarning, PoorFitWarning, RequestError, RunError
from isthmus.estimators.samples import hold_out
from isthmus.training.checkpoint import Checkpoints, OtherTrainingError


def small(**changes):
    arguments = {"network": Dense(bottleneck=3, activation="tanh"), "epochs": 4, "batch_size": 32}
    return Autoencoder(**{**arguments, "random_state": 0, "warm_start": True, **changes})


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def rows_of(model):
    return [{**vars(row), "seconds": None} for row in model.history_]


# --- what it starts from ---

COMPOSITIONS = {
    "plain": {},
    "standardized, one cycle": {"standardize": True, "schedule": "one-cycle"},
    "from the data's start": {"start": "data", "network": Dense((8,), 3)},
    "from PCA's solution": {"start": "pca", "network": Dense((8,), 3, code_activation="linear")},
    "a recipe": {"recipe": "fast", "network": Dense((8,), 3)},
    "a denoiser": {"corruption": GaussianNoise(0.2)},
    "a penalty": {"penalty": L1(1e-2, warmup=2), "network": Dense(bottleneck=6)},
    "atoms": {"network": Dictionary((8,), 20, unit_norm=False)},
    "convolutions": {"network": Conv((3, 4), image_shape=(1, 4, 4)), "start": "data"},
}


@pytest.mark.parametrize("what", COMPOSITIONS)
def test_a_step_of_no_size_leaves_the_weights_that_were_fitted(what, x):
    model = small(**COMPOSITIONS[what]).fit(x + 5 if "standardized" in what else x)
    before, table = weights(model), model.network_.standardization
    model.set_params(learning_rate=1e-30, optimizer="sgd", patience=None, validation_fraction=None, recipe=None)
    model.fit(x)
    assert same(weights(model), before)
    assert model.network_.standardization == table
    assert not same(weights(clone(model).fit(x)), before), "without a former fit it is a new start"


def test_two_fits_of_ten_epochs_are_better_than_one_and_not_one_of_twenty(x):
    once, twice, long = small(epochs=10).fit(x), small(epochs=10).fit(x), small(epochs=20).fit(x)
    twice.fit(x)
    assert twice.score(x) > once.score(x)
    assert len(twice.history_) == 10, "the rows of the last cycle alone"
    assert twice.history_.losses[0] < 1.05 * once.history_.losses[-1]
    assert not same(weights(twice), weights(long))


def test_the_same_fits_give_the_same_bits_and_each_has_an_order_of_its_own(x):
    a, b = (small(corruption=GaussianNoise(0.5)).fit(x).fit(x) for _ in range(2))
    assert same(weights(a), weights(b))
    # with steps of no size the losses show the order and the noise alone
    model = small(corruption=GaussianNoise(0.5), optimizer="sgd").fit(x)
    losses = []
    for _ in range(2):
        model.set_params(learning_rate=1e-4).fit(x)
        losses.append(model.history_[0].step_losses)
    assert np.abs(np.subtract(*losses)).max() > 1e-2


def test_without_it_a_fit_begins_anew(x):
    model = small(warm_start=False)
    first = weights(model.fit(x))
    assert same(weights(model.fit(x)), first)


def test_a_loaded_model_goes_on_to_the_same_bits(x, tmp_path):
    model = small(standardize=True).fit(x)
    model.save(tmp_path / "m")
    loaded = isthmus.load(tmp_path / "m")
    assert loaded.warm_start is True
    assert same(weights(loaded.fit(x)), weights(model.fit(x)))


def test_a_model_is_fine_tuned_to_other_images():
    x = (load_digits().data / 16).astype(np.float32)
    ones, others = x[load_digits().target == 1], x[load_digits().target != 1]
    settings = {"network": Dense((64,), 8, output="sigmoid"), "recipe": "fast", "random_state": 0}
    model = Autoencoder(**settings, epochs=20, warm_start=True).fit(others)
    before = model.score(ones[100:])
    tuned = model.set_params(epochs=4).fit(ones[:100]).score(ones[100:])
    alone = Autoencoder(**settings, epochs=4).fit(ones[:100]).score(ones[100:])
    assert tuned > 0.8 * before, "errors are negative scores"
    assert tuned > alone


def test_the_samples_held_out_by_a_share_stay_held_out(x, monkeypatch):
    from isthmus.estimators.fits import one_fit

    held = []

    def watched(X, fraction, seed):
        parts = hold_out(X, fraction, seed)
        held.append(parts[2].tolist())
        return parts

    hold_out = one_fit.hold_out
    monkeypatch.setattr(one_fit, "hold_out", watched)
    for random_state in (0, None, np.random.RandomState(3)):
        held.clear()
        small(validation_fraction=0.3, random_state=random_state, epochs=1).fit(x).fit(x)
        assert held[0] == held[1]


# --- the former weights can win ---


def test_the_former_weights_are_kept_if_no_epoch_is_better(x):
    model = small(network=Dense((8,), 3), standardize=True, epochs=60, patience=60).fit(x, validation=x[:50])
    before = weights(model)
    model.set_params(learning_rate=3.0, epochs=5).fit(x, validation=x[:50])
    assert model.history_.kept_start
    assert same(weights(model), before)
    assert len(model.history_) == 5
    model.set_params(learning_rate=1e-3, patience=5).fit(x, validation=x[:50])
    assert not model.history_.kept_start
    assert not same(weights(model), before)


def test_few_validation_samples_do_not_replace_what_was_fitted_by_chance(x):
    """One image is better drawn after some epoch or other, whatever becomes of the rest."""
    model = small(network=Dense((8,), 3), standardize=True, epochs=60).fit(x)
    before, errors = weights(model), np.square(model.reconstruct(x) - x).mean(axis=1)
    model.set_params(epochs=40, patience=40, learning_rate=0.03).fit(x, validation=x[:1])
    assert model.history_.validation_losses.min() < errors[0]
    assert model.history_.kept_start
    assert same(weights(model), before)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_pca_of_all_samples_is_not_judged_by_those_of_them_that_are_held_out(is_loaded, tmp_path):
    """It knows them: their loss was a fortieth of what it is of others, and nothing could be better than that."""
    X = load_digits().data[:60].astype(np.float32)
    network = Dense(bottleneck=32, code_activation="linear")
    model = Autoencoder(network, recipe="fast", random_state=0, device="cpu").fit(X)
    first, whole = model.history_.validation_losses.min(), model.reconstruct(X)
    assert model.history_.kept_start
    assert np.square(whole - X).mean() < first / 4
    if is_loaded:
        model.save(tmp_path / "m")
        model = isthmus.load(tmp_path / "m")
    model.set_params(warm_start=True, epochs=3, learning_rate=1e-9).fit(X)
    np.testing.assert_allclose(model.history_.validation_losses, first, rtol=0.2)
    assert model.history_.kept_start
    np.testing.assert_allclose(model.reconstruct(X), whole, atol=1e-3 * X.max())


KEPT = {"network": Dense(bottleneck=32, code_activation="linear"), "recipe": "fast", "validation_fraction": 0.2}
SMALL_STEPS = {"warm_start": True, "epochs": 3, "learning_rate": 1e-9}


def kept_at_pca(X, folder):
    """A model that is PCA's solution of all X, those too that were held out, loaded from a folder unless that is None.

    All losses of a fit with these settings and steps of no size are those of its start.
    """
    model = Autoencoder(**KEPT, patience=99, random_state=0, device="cpu").fit(X)
    assert model.history_.kept_start
    if folder is not None:
        model.save(folder / "m")
        model = isthmus.load(folder / "m")
    return model.set_params(**SMALL_STEPS)


def test_a_warm_fit_that_ends_at_the_same_pca_says_so():
    """It said nothing, as if it had learned something."""
    X = load_digits().data[:60].astype(np.float32)
    model = kept_at_pca(X, None)
    before = model.transform(X)
    told = "the model stays at PCA's solution: no epoch was better on the validation samples by more than chance; try"
    with pytest.warns(PoorFitWarning, match=told) as warnings:
        model.fit(X)
    assert [warning.filename for warning in warnings] == [__file__]
    assert model.history_.kept_start
    np.testing.assert_allclose(model.transform(X), before, atol=1e-3 * np.abs(before).max())


def error_of_others(X, others):
    """What samples lose by PCA of X."""
    pca = PCA(32).fit(X)
    return np.square(pca.inverse_transform(pca.transform(others)) - others).mean()


@pytest.mark.parametrize("is_loaded", [False, True])
def test_pca_of_fewer_samples_is_not_judged_by_those_that_were_added_to(is_loaded, tmp_path):
    """It knows most of those that are held out now; that of the samples which are not knows none of them."""
    X = load_digits().data[:70].astype(np.float32)
    order = np.random.default_rng(0).permutation(70)
    model = kept_at_pca(X[:60], tmp_path if is_loaded else None).fit(X[order].astype(np.float64))
    _, held_out, kept = hold_out(X[order], 0.2, 0)
    assert np.isin(np.delete(order, kept), np.arange(60)).sum() > 3
    expected = error_of_others(X[order][kept], held_out)
    np.testing.assert_allclose(model.history_.validation_losses, expected, rtol=0.01)
    assert model.history_.kept_start
    np.testing.assert_allclose(np.square(model.reconstruct(X) - X).mean(), error_of_others(X, X), rtol=0.01)
    again = model.fit(X)  # all of which it is PCA of by now
    np.testing.assert_allclose(again.history_.validation_losses, error_of_others(*hold_out(X, 0.2, 0)[:2]), rtol=0.01)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_of_pca_of_more_samples_it_is_said_how_many_it_knows(is_loaded, tmp_path):
    X, others = (load_digits().data[i : i + 60].astype(np.float32) for i in (0, 60))
    model = kept_at_pca(X, tmp_path if is_loaded else None)
    told = "the former fit was trained on 10 of the 10 validation samples, so their loss is too good; give"
    for _ in range(2):  # the former weights are kept, and so is what they know
        with pytest.warns(DoubtWarning, match=told) as warnings:
            model.fit(X[:50])
        assert {warning.filename for warning in warnings} == {__file__}
        assert model.history_.kept_start
    model.fit(others)
    mixed = np.concatenate([X[:30], others[:30]])
    n = int((np.delete(np.arange(60), hold_out(mixed, 0.2, 0)[2]) < 30).sum())
    assert 0 < n < 12
    model = kept_at_pca(X, tmp_path if is_loaded else None)
    with pytest.warns(DoubtWarning, match=f"was trained on {n} of the 12 validation samples"):
        model.fit(mixed)


@pytest.mark.parametrize("is_loaded", [False, True])
def test_explicit_validation_samples_that_pca_knows_are_doubted(is_loaded, tmp_path):
    X, others = (load_digits().data[i : i + 60].astype(np.float32) for i in (0, 60))
    model = kept_at_pca(X, tmp_path if is_loaded else None)
    with pytest.warns(DoubtWarning, match="was trained on 2 of the 12 validation samples"):
        model.fit(X[:40], validation=np.concatenate([others[:10], X[50:52]]))
    model.fit(X[:40], validation=others)


def test_a_pass_that_is_taken_back_forgets_nothing():
    X = load_digits().data[:60].astype(np.float32)
    model = kept_at_pca(X, None).set_params(learning_rate=None)
    assert model.partial_fit(X).history_.kept_start, "no pass makes them better than their PCA"
    with pytest.warns(DoubtWarning, match="was trained on 10 of the 10 validation samples"):
        model.set_params(**SMALL_STEPS).fit(X[:50])


def test_what_pca_was_fitted_to_is_kept_where_it_is_needed_alone(x, tmp_path):
    """Eight bytes of each sample, in a folder too; one of an earlier version knows the same samples as a whole."""
    X = load_digits().data[:60].astype(np.float32)
    first = kept_at_pca(X, tmp_path)
    assert first.fitted_.pca_samples.dtype == np.uint64
    assert len(first.fitted_.pca_samples) == 60
    assert small().fit(x).fitted_.pca_samples is None
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["sha256"], config["fitted"]["pca_samples"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    older = isthmus.load(tmp_path / "m").set_params(**SMALL_STEPS)
    assert older.fitted_.pca_of_all
    assert older.fitted_.pca_samples is None
    older.fit(X[:50])
    older = isthmus.load(tmp_path / "m").set_params(**SMALL_STEPS).fit(X)
    np.testing.assert_array_equal(older.history_.validation_losses, first.fit(X).history_.validation_losses)


def test_a_network_that_cannot_be_pca_is_not_made_one(tmp_path):
    """It may have the same weights, which know the samples all the same."""
    X = load_digits().data[:60].astype(np.float32)
    model = kept_at_pca(X, None).set_params(network=Dense(bottleneck=32, code_activation="tanh"))
    with pytest.warns(DoubtWarning, match="was trained on 12 of the 12 validation samples"):
        model.fit(X)


def test_samples_that_were_trained_on_are_doubted_when_they_are_held_out(x):
    model = small(epochs=2).fit(x)
    with pytest.warns(DoubtWarning, match="were trained on by the former fit"):
        model.set_params(validation_fraction=0.2).fit(x)
    model.fit(x)  # the same share, which stays held out
    model.set_params(validation_fraction=0.3).fit(x[::2] + 1)  # others


def test_a_lower_rate_is_named_once(x):
    """A tenth of a tenth of a tenth never was any better."""
    model = small(network=Dense((8,), 3), standardize=True, epochs=60, patience=60).fit(x, validation=x[:50])
    model.set_params(learning_rate=3.0, epochs=3, optimizer="sgd")
    with pytest.warns(PoorFitWarning, match=r"are kept: .*; try more samples or learning_rate=0\.3$"):
        model.fit(x, validation=x[:50])
    with pytest.warns(PoorFitWarning, match=r"are kept: .*; try more samples$"):
        model.set_params(learning_rate=1e-12).fit(x, validation=x[:50])


def test_patience_counts_from_the_former_weights(x):
    model = small(standardize=True, epochs=60, patience=60).fit(x, validation=x[:50])
    model.set_params(learning_rate=3.0, epochs=20, patience=3).fit(x, validation=x[:50])
    assert len(model.history_) == 3


# --- checkpoints ---


@pytest.mark.parametrize("kept", [False, True])
def test_a_warm_fit_that_is_stopped_goes_on_to_the_same_bits(kept, x, tmp_path):
    arguments = {"standardize": True, "patience": 6, "epochs": 6, "learning_rate": 3.0 if kept else 1e-3}

    def fitted():
        model = small(standardize=True, epochs=30).fit(x)
        return model.set_params(**arguments)

    whole = fitted().fit(x, validation=x[:50])
    assert whole.history_.kept_start is kept
    stopped = fitted()
    with closing(stopped.fit_epochs(x, validation=x[:50], checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        for row in rows:
            if row.epoch == 3:
                break
    for again in (stopped, fitted()):  # in the same process, and in another
        epochs = list(again.fit_epochs(x, validation=x[:50], checkpoint=Checkpoints(tmp_path / "c", every=0)))
        assert [row.epoch for row in epochs] == (
            [] if again is not stopped else list(range(4, len(whole.history_) + 1))
        )
        assert same(weights(again), weights(whole))
        assert rows_of(again) == rows_of(whole)
        assert again.history_.kept_start is kept


def test_checkpoints_of_other_weights_are_of_another_training(x, tmp_path):
    def stopped(model):
        with closing(model.fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
            next(rows)
            next(rows)

    stopped(small().fit(x))
    others = (small(), small(learning_rate=2e-3).fit(x).set_params(learning_rate=None))
    for other in others:
        with pytest.raises(OtherTrainingError, match=r"\(different: weights at the start\)"):
            other.fit(x, checkpoint=tmp_path / "c")
    assert len(small().fit(x).fit(x, checkpoint=tmp_path / "c").history_) == 4


# --- what is refused, and what is left then ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": Dense(bottleneck=4, activation="tanh")}, r"network builds encoder.* of \(4, 16\).* \(3, 16\)"),
        ({"network": Dense((8,), 3)}, "go on with the network that was fitted, or fit anew with warm_start=False"),
        ({"network": Dictionary((), 3)}, "network builds "),
        ({"loss": "bce", "network": Dense(bottleneck=3, output="sigmoid")}, 'loss "bce" needs outputs in'),
        ({"learning_rate": 1e30, "optimizer": "sgd"}, "diverged"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_a_warm_fit_that_fails_leaves_the_former(change, message, x):
    x = np.clip(x, 0.05, 0.9)
    model = small(standardize=True).fit(x)
    before, outputs, attributes = weights(model), model.transform(x), {*vars(model)}
    model.set_params(**change)
    with pytest.raises((RequestError, RunError), match=message):
        model.fit(x)
    assert same(weights(model), before)
    assert np.array_equal(model.transform(x), outputs)
    assert {*vars(model)} == attributes
    assert model.training_.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (np.zeros((20, 10), np.float32), "X has 10 features, but Autoencoder is expecting 16 features"),
        (np.zeros((20, 1, 5, 5), np.float32), r"X has images of shape \(1, 5, 5\), but Autoencoder is expecting 16"),
    ],
)
def test_other_samples_are_refused_in_words(other, message, x):
    model = small().fit(x)
    with pytest.raises(ValueError, match=message):
        model.fit(other)
    assert model.transform(x).std() > 0


def test_images_keep_their_shape_when_rows_follow(images):
    model = small().fit(images)
    model.fit(images.floats())
    assert model.image_shape_ == (1, 8, 8)


def test_who_stops_watching_keeps_the_former_fit(x):
    model = small().fit(x)
    before = weights(model)
    with closing(model.fit_epochs(x)) as rows:
        next(rows)
    assert same(weights(model), before)


def test_bce_goes_on_from_bce(x):
    x = (x > 0.5).astype(np.float32)
    part = Dense(bottleneck=6, activation="sigmoid", output="sigmoid")
    model = small(network=part, loss="bce", penalty=KL(0.1, target=0.1), standardize=True).fit(x)
    before = model.history_.losses[-1]
    assert model.fit(x).history_.losses[0] < before
