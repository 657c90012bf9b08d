"""The autoencoder: scikit-learn's contract, that it learns, and that the same seed gives the same bits."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from isthmus import BCE, L1, MSE, Autoencoder, Dense, GaussianNoise, Images, SaltAndPepper, parts
from isthmus.errors import RequestError, RunError

COMPOSITIONS = [
    Autoencoder(),
    Autoencoder(Dense(hidden=(16, 8), bottleneck=3, activation="tanh")),
    Autoencoder(Dense(bottleneck=8), corruption=GaussianNoise(0.3)),
    Autoencoder(Dense(bottleneck=40), penalty=L1(1e-4), optimizer="sgd", learning_rate=1e-2),
]
every_composition = pytest.mark.parametrize("model", COMPOSITIONS, ids=["default", "deep", "denoising", "sparse"])


# some checks fit samples around 100, of which a fit without `standardize` warns
@pytest.mark.filterwarnings("ignore:the samples' mean is:isthmus.errors.DoubtWarning")
@parametrize_with_checks(COMPOSITIONS)  # no check is declared to fail
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def small(**changes):
    """An autoencoder that is quick to train and whose output moves."""
    arguments = {"network": Dense(bottleneck=3, activation="tanh"), "epochs": 3, "batch_size": 32, "random_state": 0}
    return Autoencoder(**{**arguments, **changes})


def same(a, b):
    np.testing.assert_array_equal(a, b, strict=True)


# --- it learns ---


@every_composition
def test_the_output_moves_and_the_loss_falls(model, x):
    model = clone(model).set_params(epochs=10, batch_size=32, random_state=0).fit(x)
    code, x_hat = model.transform(x), model.reconstruct(x)
    assert (code.std(axis=0) > 0).any()
    assert (x_hat.std(axis=0) > 0).all()
    assert model.history_[-1].loss < 0.9 * model.history_[0].loss
    assert model.score(x) > -x.var(axis=0).mean(), "better than the mean of each feature"


def test_a_linear_autoencoder_finds_pcas_subspace(x):
    # with noise: the encoder learns to ignore the other directions at the pace of the variance in them
    x = x / x.std() + np.random.default_rng(0).normal(scale=0.3, size=x.shape).astype(np.float32)
    x -= x.mean(axis=0)
    linear = Dense(bottleneck=3, activation="linear")
    model = small(network=linear, learning_rate=0.02, schedule="cosine", epochs=200, batch_size=50).fit(x)
    pca = PCA(3).fit(x)
    error = np.square(pca.inverse_transform(pca.transform(x)) - x).mean()
    assert error < 0.1
    assert error <= -model.score(x) < 1.01 * error
    decoder = np.linalg.qr(model.network_.decoder.layers[0].weight.detach().numpy())[0]
    cosines = np.linalg.svd(pca.components_ @ decoder)[1]
    assert cosines.min() > 0.999


def test_a_denoiser_removes_noise(x):
    x, rng = x / x.std(), np.random.default_rng(0)
    common = {"network": Dense(bottleneck=8, activation="linear"), "epochs": 60, "learning_rate": 0.02}
    noisy = (x + 0.5 * rng.normal(size=x.shape)).astype(np.float32)

    def error(**kind):
        model = small(**common, schedule="cosine", **kind).fit(x)
        return np.square(model.reconstruct(noisy) - x).mean()

    denoising = error(corruption=GaussianNoise(0.5))
    assert denoising < 0.8 * error()
    assert denoising < 0.5 * 0.25, "half the noise's power"


def test_a_penalty_makes_codes_small(x):
    penalties = (None, L1(0.3), L1(0.3, per="element"), L1(0.3, per="batch"))
    common = {"network": Dense(bottleneck=8), "epochs": 20, "learning_rate": 0.01}
    norms = [np.abs(small(penalty=penalty, **common).fit(x).transform(x)).mean() for penalty in penalties]
    assert norms[0] > norms[2] > norms[1] > norms[3]


def test_the_objective_includes_the_penalty_and_the_losss_weight(x):
    rate = {"network": Dense(bottleneck=3), "learning_rate": 1e-12, "epochs": 1, "optimizer": "sgd"}
    rate["precision"] = "float32"  # in bfloat16 the code has other digits than `transform` gives
    model = small(**rate).fit(x)
    plain, norm = model.history_[0].loss, np.abs(model.transform(x)).sum(axis=1).mean()
    assert plain == pytest.approx(-model.score(x), rel=1e-5)
    assert small(loss=MSE(0.5), **rate).fit(x).history_[0].loss == pytest.approx(0.5 * plain, rel=1e-5)
    assert small(penalty=L1(2.0), **rate).fit(x).history_[0].loss == pytest.approx(plain + 2 * norm, rel=1e-5)


def test_bce_learns(images):
    model = small(network=Dense(bottleneck=8, output="sigmoid"), loss="bce", epochs=30, learning_rate=0.01).fit(images)
    assert model.history_[-1].loss < model.history_[0].loss
    assert model.score(images) > -images.floats().var(axis=0).mean()


def test_bfloat16_trains_to_within_a_few_percent(x, small_products_in_bfloat16):
    x = x / x.std()
    common = {"learning_rate": 0.01, "schedule": "cosine", "epochs": 30}
    common["network"] = Dense(hidden=(12,), bottleneck=3, activation="silu", code_activation="linear")
    full, low = (small(precision=precision, **common).fit(x) for precision in ("float32", "bfloat16"))
    assert low.precision_ == "bfloat16"
    assert low.score(x) != full.score(x)
    assert low.score(x) == pytest.approx(full.score(x), rel=0.05)
    assert full.score(x) > -0.1


# --- parameters ---


def test_get_params_shows_the_fields_of_parts():
    params = small(penalty=L1(0.1)).get_params()
    assert params["network__bottleneck"] == 3
    assert params["penalty__weight"] == 0.1
    assert params["penalty"] == L1(0.1)
    assert not any("__" in name for name in small(penalty=L1(0.1)).get_params(deep=False))
    assert not any(name.startswith("corruption__") for name in params)


def test_set_params_replaces_the_part_and_leaves_the_old_one_alone():
    part = Dense(bottleneck=3)
    one, other = Autoencoder(part), Autoencoder(part)
    one.set_params(network__bottleneck=5, network__activation="tanh", epochs=7)
    assert one.network == Dense(bottleneck=5, activation="tanh")
    assert one.epochs == 7
    assert other.network is part
    assert part.bottleneck == 3


def test_set_params_reaches_into_defaults():
    assert Autoencoder().set_params(network__bottleneck=5).network == Dense(bottleneck=5)
    assert Autoencoder().set_params(loss__weight=0.5).loss == MSE(0.5)
    assert Autoencoder(loss="bce").set_params(loss__weight=0.5).loss == BCE(0.5)
    assert Autoencoder().set_params(network=Dense(bottleneck=9), network__activation="tanh").network == Dense(
        bottleneck=9, activation="tanh"
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"network__bottlneck": 3}, 'Did you mean "bottleneck"'),
        ({"penalty__weight": 3}, "penalty"),  # there is no penalty to change
        ({"nonsense": 3}, "nonsense"),
        ({"nonsense__weight": 3}, "nonsense"),
        ({"epochs__x": 3}, "epochs"),
        ({"network__bottleneck": -3}, "bottleneck must be"),
    ],
)
def test_set_params_refuses_what_is_not_there(params, message):
    with pytest.raises(ValueError, match=message):
        Autoencoder().set_params(**params)


def test_clone_keeps_identical_parts():
    model = Autoencoder(Dense(bottleneck=3), corruption=GaussianNoise(0.1), penalty=L1(0.1), loss=MSE(2.0))
    cloned = clone(model)
    for role in ("network", "corruption", "penalty", "loss"):
        assert getattr(cloned, role) is getattr(model, role)


def test_repr_is_the_code_that_builds_it():
    model = Autoencoder(Dense(hidden=(8,), bottleneck=3), corruption=GaussianNoise(0.1, clip=True), epochs=3)
    assert repr(Autoencoder()) == "Autoencoder()"
    again = eval(repr(model), {**vars(parts), "Autoencoder": Autoencoder})
    assert again.get_params() == model.get_params()


# --- in scikit-learn's company ---


def test_grid_search_over_fields_of_parts(x):
    grid = {"network__bottleneck": np.array([1, 3]), "penalty__weight": np.array([0.0, 10.0])}
    model = small(network=Dense(), penalty=L1(0.0), epochs=40, learning_rate=0.02)
    search = GridSearchCV(model, grid, cv=KFold(2, shuffle=True, random_state=0), error_score="raise").fit(x)
    assert search.best_params_ == {"network__bottleneck": 3, "penalty__weight": 0.0}
    assert len(np.unique(search.cv_results_["mean_test_score"])) == 4
    assert search.best_estimator_.transform(x).shape == (200, 3)


def test_a_pipeline_goes_there_and_back(x):
    pipeline = make_pipeline(StandardScaler(), small(network=Dense(bottleneck=8, activation="linear"), epochs=60))
    code = pipeline.fit_transform(x)
    assert code.shape == (200, 8)
    assert np.square(pipeline.inverse_transform(code) - x).mean() < 0.2 * x.var(axis=0).mean()
    assert pipeline.set_params(autoencoder__network__bottleneck=2).fit_transform(x).shape == (200, 2)


def test_set_output_gives_data_frames_with_feature_names(x):
    frame = pd.DataFrame(x, columns=[f"pixel{i}" for i in range(16)], index=np.arange(200)[::-1])
    model = small().set_output(transform="pandas").fit(frame)
    code = model.transform(frame)
    assert list(code.columns) == ["autoencoder0", "autoencoder1", "autoencoder2"]
    assert list(model.get_feature_names_out()) == list(code.columns)
    assert code.index.equals(frame.index)
    same(code.to_numpy(), small().fit(x).transform(x))
    assert list(model.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame[frame.columns[::-1]])
    assert not hasattr(model.fit(x), "feature_names_in_")


# --- samples: flat, images, any range ---


def test_images_of_an_array_are_remembered_and_checked(images):
    x = images.floats().reshape(-1, 1, 8, 8)
    model = small().fit(x)
    assert model.image_shape_ == (1, 8, 8)
    assert model.n_features_in_ == 64
    assert model.reconstruct(x).shape == x.shape
    assert model.inverse_transform(model.transform(x)).shape == x.shape
    assert model.transform(x).shape == (60, 3)
    same(model.transform(x.reshape(60, 64)), model.transform(x))
    for wrong in (x.reshape(-1, 1, 4, 16), x[:, :, :7], x.reshape(-1, 4, 4, 4)):
        with pytest.raises(ValueError, match=r"expecting \(1, 8, 8\)"):
            model.transform(wrong)
    with pytest.raises(ValueError, match=r"expecting \(1, 8, 8\)"):
        small().fit(x, validation=x.reshape(-1, 1, 4, 16))


def test_fitting_again_forgets_the_former_shape(images):
    x = images.floats().reshape(-1, 1, 8, 8)
    other = x.reshape(-1, 1, 4, 16)
    model = small().fit(x).fit(other, validation=other)
    assert model.image_shape_ == (1, 4, 16)
    flat = other.reshape(60, 64)
    assert model.fit(flat).image_shape_ is None
    assert model.reconstruct(flat).shape == flat.shape


def test_images_are_the_same_as_their_floats(images):
    floats = images.floats().reshape(-1, 1, 8, 8)
    from_images, from_floats = small().fit(images), small().fit(floats)
    for method in ("transform", "reconstruct", "score_samples"):
        same(getattr(from_images, method)(images), getattr(from_floats, method)(floats))
    assert from_images.transform(images).dtype == np.float32
    assert from_images.history_.losses.tolist() == from_floats.history_.losses.tolist()


def test_one_image_and_a_path_are_refused_with_the_way_out(images):
    model = small(epochs=1).fit(images)
    one = images.floats().reshape(-1, 8, 8)[0]
    for method in (model.transform, model.reconstruct, model.score):
        with pytest.raises(RequestError, match=r"X is one image of \(8, 8\), and several are taken; give X\[None\]"):
            method(one)
    assert model.reconstruct(one[None]).shape == (1, 1, 8, 8)
    with pytest.raises(RequestError, match=r"got the path 'faces.npy'; open_images\(path\) reads it"):
        model.fit("faces.npy")


def test_a_list_of_images_is_their_array(images):
    floats = images.floats().reshape(-1, 8, 8)
    from_array, from_list = small().fit(floats, validation=floats[:9]), small().fit([*floats], validation=[*floats[:9]])
    same(from_list.reconstruct([*floats]), from_array.reconstruct(floats))
    same(small().fit(floats.tolist()).reconstruct(floats), from_array.reconstruct(floats))
    assert from_list.image_shape_ == (1, 8, 8)
    with pytest.raises(
        ValueError, match=r"of one shape are needed, got \(8, 8\) and, in position 1, \(8, 7\).*resize="
    ):
        small().fit([floats[0], floats[1][:, :7]])


def test_an_array_of_uint8_is_numbers_and_not_rescaled(images):
    numbers = images.pixels.reshape(60, 64)
    model = small(network=Dense(bottleneck=3, activation="linear")).fit(numbers)
    same(model.transform(numbers), model.transform(numbers.astype(np.float32)))
    assert model.score(numbers) < -100, "errors are in grey levels"
    with pytest.raises(RequestError, match=r"got a maximum of 2\d\d; divide by 255"):
        small(network=Dense(output="sigmoid")).fit(numbers)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples"])
def test_inference_is_in_the_inputs_precision(method, x):
    model = small(epochs=10).fit(x)
    single = getattr(model, method)(x)
    double = getattr(model, method)(x.astype(np.float64))
    assert single.dtype == np.float32
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-3, atol=1e-5)
    rows = [getattr(model, method)(x[i : i + 1].astype(np.float64)) for i in range(20)]
    np.testing.assert_allclose(np.concatenate(rows), double[:20], rtol=1e-12, atol=1e-14)


def test_small_products_are_in_float32_where_bfloat16_is_asked_for():
    """They are faster so: turning numbers into bfloat16 and back takes longer than it saves."""
    x = np.random.default_rng(0).normal(size=(256, 100)).astype("float32")
    for width, is_same in ((20, True), (600, False)):
        models = [
            Autoencoder(Dense(bottleneck=width), epochs=1, batch_size=64, precision=precision, random_state=0).fit(x)
            for precision in ("float32", "bfloat16")
        ]
        assert (models[0].history_.losses == models[1].history_.losses).all() == is_same


def test_inference_is_float32_even_after_bfloat16_training(x, small_products_in_bfloat16):
    model = small(precision="bfloat16").fit(x)
    np.testing.assert_allclose(model.transform(x), model.transform(x.astype(np.float64)), rtol=1e-4, atol=1e-5)


def test_score_samples_is_minus_the_mean_squared_error(x):
    model = small().fit(x)
    expected = -np.square(model.reconstruct(x) - x).mean(axis=1)
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-5)
    assert expected.std() > 0
    assert model.score(x) == pytest.approx(expected.mean(), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 7, 5000])
def test_the_decoder_reads_the_code_alone(dtype, n, x):
    model = small(network=Dense(hidden=(9,), bottleneck=4, activation="silu")).fit(x)
    samples = np.random.default_rng(0).normal(size=(n, 16)).astype(dtype)
    x_hat = model.reconstruct(samples)
    same(model.inverse_transform(model.transform(samples)), x_hat)
    assert n == 1 or x_hat.std(axis=0).min() > 0


def test_codes_of_another_width_are_refused(x):
    with pytest.raises(RequestError, match="code must be of 3 columns, got 4"):
        small().fit(x).inverse_transform(np.zeros((2, 4)))


# --- the same seed, the same bits ---


@every_composition
def test_the_same_seed_gives_the_same_bits(model, x):
    fits = [clone(model).set_params(epochs=2, random_state=seed).fit(x) for seed in (0, 0, 1)]
    codes = [fit.transform(x) for fit in fits]
    same(codes[0], codes[1])
    assert fits[0].history_.losses.tolist() == fits[1].history_.losses.tolist()
    assert not np.array_equal(codes[0], codes[2])


def test_fitting_again_starts_again(x):
    model = small().fit(x)
    code = model.transform(x)
    same(model.fit(x).transform(x), code)


def test_kinds_of_random_state(x):
    def code(state):
        return small(random_state=state).fit(x).transform(x)

    old, new = (lambda: np.random.RandomState(3)), (lambda: np.random.default_rng(3))
    for kind in (old, new):
        same(code(kind()), code(kind()))
        state = kind()
        assert not np.array_equal(code(state), code(state)), "a generator moves on"
    free = small(random_state=None).fit(x)
    assert not np.array_equal(free.transform(x), code(None))
    same(code(free.seed_), free.transform(x))
    with pytest.raises(ValueError, match="random_state must be"):
        small(random_state="0").fit(x)


def test_fitting_and_using_leave_the_global_generators_alone(x, global_generators):
    state = global_generators()
    model = small(corruption=GaussianNoise(0.1), validation_fraction=0.2, random_state=None).fit(x)
    model.reconstruct(x)
    assert global_generators() == state


def test_measuring_a_validation_loss_does_not_change_training(x):
    same(small().fit(x, validation=x[:50]).transform(x), small().fit(x).transform(x))


# --- validation and patience ---


def test_the_validation_loss_is_the_score_without_the_penalty(x):
    model = small(network=Dense(bottleneck=3), penalty=L1(0.1)).fit(x[:150], validation=x[150:])
    assert model.history_.validation_losses[-1] == pytest.approx(-model.score(x[150:]), rel=1e-5)
    assert np.isnan(small().fit(x).history_.validation_losses).all()


def test_a_denoisers_validation_is_noisy_with_noise_that_is_drawn_once(x):
    still = {"optimizer": "sgd", "learning_rate": 1e-12, "corruption": GaussianNoise(3.0)}
    model = small(**still).fit(x, validation=x)
    losses = model.history_.validation_losses
    assert losses[0] == pytest.approx(losses[-1], rel=1e-6)
    assert losses[0] != pytest.approx(-model.score(x), rel=1e-3)


def test_a_fraction_is_held_out_and_not_trained_on(x):
    marked = np.zeros((100, 4), np.float32)
    marked[:, 0] = np.arange(100)
    still = {"optimizer": "sgd", "learning_rate": 1e-12, "epochs": 1, "batch_size": 1}
    model = small(validation_fraction=0.25, **still).fit(marked)
    errors = -model.score_samples(marked)
    trained = np.array([np.abs(errors - loss).argmin() for loss in model.history_[0].step_losses])
    held = np.setdiff1d(np.arange(100), trained)
    assert len(trained) == 75
    assert model.history_.validation_losses[0] == pytest.approx(errors[held].mean(), rel=1e-4)
    assert np.diff(held).max() > 1, "at random, not a block"


def test_patience_stops_early_and_keeps_the_best_weights():
    rng = np.random.default_rng(0)
    x, other = rng.normal(size=(2, 40, 20)).astype(np.float32)  # nothing to learn but these 40 samples by heart
    wide = {"network": Dense(hidden=(64,), bottleneck=20, activation="tanh"), "learning_rate": 0.01}
    patient = small(patience=3, epochs=200, **wide).fit(x, validation=other)
    losses = patient.history_.validation_losses
    best = int(losses.argmin())
    assert len(losses) == best + 1 + 3 < 200
    assert losses[-1] > losses[best]
    assert -patient.score(other) == pytest.approx(losses[best], rel=1e-5)
    same(patient.transform(x), small(epochs=best + 1, **wide).fit(x).transform(x))


def test_patience_that_never_runs_out_still_keeps_the_best(x):
    model = small(patience=50, epochs=20, learning_rate=0.5).fit(x[:100], validation=x[100:])
    losses = model.history_.validation_losses
    assert len(losses) == 20
    assert -model.score(x[100:]) == pytest.approx(losses.min(), rel=1e-5)


def test_epochs_can_be_watched_as_they_pass(x):
    model, seen = small(), []
    for row in model.fit_epochs(x):
        seen.append(row.epoch)
        assert not hasattr(model, "network_"), "fitted when the last epoch is done, not before"
    assert seen == [1, 2, 3]
    same(model.transform(x), small().fit(x).transform(x))


def test_verbose_prints_a_line_per_epoch(x, capsys):
    small(verbose=1).fit(x, validation=x)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1/3: loss ")
    assert "validation" in lines[0]
    small().fit(x)
    assert capsys.readouterr().out == ""


# --- wrong input ---


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score_samples", "score", "inverse_transform"])
def test_an_unfitted_model_says_so(method, x):
    with pytest.raises(NotFittedError):
        getattr(small(), method)(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("shape", [(200, 16), (200, 1, 4, 4)])
def test_samples_that_are_not_finite_are_refused_everywhere(bad, shape, x):
    x = x.reshape(shape)
    wrong, model = x.copy(), small().fit(x)
    wrong.reshape(200, 16)[7, 3] = bad
    for use in (small().fit, model.transform, model.reconstruct, model.score_samples):
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            use(wrong)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        small().fit(x, validation=wrong)


@pytest.mark.filterwarnings("ignore:the samples' mean is 0.9")
@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0, 255, "a maximum of 255; divide by 255"),
        (0, 1.5, r"a maximum of 1.5; scale them to \[0, 1\]"),
        (0, 4095, r"a maximum of 4095; scale them to \[0, 1\]"),
        (-1, 1, r"a minimum of -1; scale them to \[0, 1\]"),
    ],
)
def test_a_sigmoid_output_demands_numbers_between_0_and_1(low, high, message):
    wrong = np.linspace(low, high, 40, dtype=np.float32).reshape(10, 4)
    right = np.clip(wrong, 0, 1)
    model = small(network=Dense(output="sigmoid"))
    with pytest.raises(RequestError, match=rf'pixels must lie in \[0, 1\].*got {message} or use output="linear"$'):
        model.fit(wrong)
    with pytest.raises(RequestError, match=f"got {message}$"):  # whose loss has no other output
        small(network=Dense(output="sigmoid"), loss="bce").fit(wrong)
    with pytest.raises(RequestError, match=message):
        model.fit(right, validation=wrong)
    model.fit(right)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "bce"}, 'loss "bce" needs output="sigmoid"'),
        ({"loss": BCE()}, 'loss "bce" needs output="sigmoid"'),
        ({"loss": "mae"}, "loss must be one of isthmus' parts MSE, BCE, got 'mae'"),
        ({"network": L1(1)}, "network must be one of isthmus' parts Dense, Conv, .*got L1"),
        ({"network": "dense"}, "network must be one of .*, got 'dense'"),
        ({"network": Dense}, "network must be one of"),
        ({"corruption": 0.5}, "corruption must be one of isthmus' parts GaussianNoise, .*, Sequence, got 0.5"),
        ({"penalty": GaussianNoise(0.1)}, "penalty must be one of isthmus' parts L1, KL, got GaussianNoise"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer of at least 1, got 2.5"),
        ({"learning_rate": float("nan")}, "learning_rate must be a positive number, got nan"),
        ({"optimizer": "adamax"}, 'unknown optimizer "adamax".*Did you mean "adam'),
        ({"patience": 3}, "patience needs validation samples"),
        ({"validation_fraction": 0.999}, "validation_fraction must be small enough"),
    ],
)
def test_wrong_arguments_are_refused_when_fitting_and_not_before(arguments, message, x):
    model = small(**arguments)
    with pytest.raises(RequestError, match=message):
        model.fit(x)


def test_one_sample_is_refused(x, images):
    for one in (x[:1], x[:1].reshape(1, 1, 4, 4)):
        with pytest.raises(ValueError, match="1 sample"):
            small().fit(one)
    with pytest.raises(RequestError, match="must be at least 2, got 1"):
        small().fit(images.take(slice(1)))
    model = small().fit(x)
    assert model.transform(x[:1]).shape == (1, 3)


def test_divergence_is_an_error(x):
    with pytest.raises(RunError, match="lower the learning rate"):
        small(network=Dense(activation="linear"), optimizer="sgd", learning_rate=1e3, epochs=20).fit(x)


# --- round trips, memory ---


def test_pickle_round_trip(images):
    model = small(network=Dense(hidden=(9,), bottleneck=3, output="sigmoid")).fit(images)
    again = pickle.loads(pickle.dumps(model))
    same(again.reconstruct(images), model.reconstruct(images))
    assert again.get_params() == model.get_params()
    assert again.history_.epochs == model.history_.epochs
    same(again.fit(images).transform(images), model.transform(images))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_inputs_may_be_read_only_or_strided_and_are_never_written(dtype, x):
    wide = np.abs(np.concatenate([x, x], axis=1)).astype(dtype)
    strided = wide[::2, ::2]
    copy = strided.copy()
    strided.flags.writeable = False
    model = small(corruption=SaltAndPepper(0.2), shuffle=False).fit(strided, validation=strided)
    code = model.transform(strided)
    same(model.inverse_transform(code), model.reconstruct(strided))
    same(strided, copy)
    same(small(corruption=SaltAndPepper(0.2), shuffle=False).fit(copy).transform(copy), code)


def test_read_only_images(images):
    pixels = images.pixels.copy()
    pixels.flags.writeable = False
    same(small().fit(Images(pixels)).transform(Images(pixels)), small().fit(images).transform(images))


def test_what_comes_back_belongs_to_the_caller(x):
    model = small().fit(x)
    for result in (model.transform(x), model.reconstruct(x), model.score_samples(x)):
        result[:] = 0
    assert model.transform(x).std() > 0


def test_many_samples_go_through_in_chunks(x):
    model = small().fit(x)
    many = np.tile(x, (30, 1))
    np.testing.assert_allclose(model.transform(many), np.tile(model.transform(x), (30, 1)), rtol=1e-5, atol=1e-6)
    assert model.score(many) == pytest.approx(model.score(x), rel=1e-6)


def test_a_refit_that_fails_leaves_no_half_of_each():
    X = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    model = Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).fit(X)
    model.set_params(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(RunError, match="diverged"):
        model.fit(X[:, :10])
    with pytest.raises(NotFittedError):
        model.transform(X)
