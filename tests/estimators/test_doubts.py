"""What a fit that is done says of itself: no better than the mean, than PCA, than the noise, than it was."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from sklearn.decomposition import PCA

from isthmus import L1, Autoencoder, Dense, GaussianNoise, Images, Masking, Occlusion, Poisson, Sequence, open_images
from isthmus.errors import DoubtWarning, PoorFitWarning

K = 5
LINEAR = Dense(bottleneck=K, code_activation="linear")
RELU, DEEP = Dense(bottleneck=K), Dense((64,), K)


@pytest.fixture(scope="module")
def x():
    """Gaussian samples, of which nothing reconstructs others better than PCA; the last are for validation."""
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    return (rng.normal(size=(160, 30)) * 0.8 ** np.arange(30) @ turned).astype(np.float32)


def fitted(X, network=None, validation=None, **arguments):
    return Autoencoder(network, random_state=0, **arguments).fit(X, validation=validation)


def doubts(*args, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted(*args, **arguments)
    assert {warning.filename for warning in caught} <= {__file__}
    assert {warning.category for warning in caught} <= {PoorFitWarning}
    return [str(warning.message) for warning in caught]


def pca_error(train, others):
    pca = PCA(K).fit(train)
    return np.square(pca.inverse_transform(pca.transform(others)) - others).mean()


def numbers(sentence):
    return [float(number) for number in re.findall(r"\d+\.\d+", sentence)][:2]


def test_an_output_that_keeps_a_training_from_pcas_solution_is_named(x):
    network = Dense(bottleneck=K, code_activation="linear", output="sigmoid")
    (sentence,) = doubts(x[:120], network, x[120:], recipe="fast", epochs=5)
    assert sentence.endswith(f"take {LINEAR!r}, which has output='linear' in place of 'sigmoid'")


def test_hidden_layers_that_keep_a_training_from_pcas_solution_are_named(x):
    network = Dense((2 * K - 1,), K, code_activation="linear")
    (sentence,) = doubts(x[:120], network, x[120:], recipe="fast", epochs=5)
    wider = Dense((2 * K,), K, code_activation="linear")
    assert sentence.endswith(f"take {wider!r}, which has hidden=({2 * K},) in place of ({2 * K - 1},)")


@pytest.mark.parametrize(("network", "way_out"), [(RELU, LINEAR), (DEEP, Dense((64,), K, code_activation="linear"))])
def test_where_pca_is_better_a_recipe_says_so_and_the_way_out_is_one(network, way_out, x):
    train, validation = x[:120], x[120:]
    (sentence,) = doubts(train, network, validation, recipe="fast", epochs=60)
    model = fitted(train, network, validation, recipe="fast", epochs=60)
    assert numbers(sentence) == pytest.approx([pca_error(train, validation), -model.score(validation)], rel=1e-3)
    assert "on the validation samples" in sentence
    assert f"a code of relu units spends two of them where a linear one spends one; take {way_out!r}" in sentence
    assert sentence.endswith(f", which has code_activation='linear' in place of {network.code_activation!r}")
    assert doubts(train, way_out, validation, recipe="fast", epochs=60) == []


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
def test_many_samples_begin_at_pca_where_that_is_said_and_the_way_out_says_it(output):
    """Of 5,000 tiles the way out was to leave out a network that nobody had named, and nothing began there."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2100, 30)) * 0.8 ** np.arange(30)).astype(np.float32)
    x = (x - x.min()) / np.ptp(x)
    network = Dense((2 * K,), K, code_activation="linear", output=output)
    (sentence,) = doubts(x, network, recipe="fast", epochs=6)
    linear = Dense((2 * K,), K, code_activation="linear")
    way = "" if output == "linear" else f"{linear!r} with "
    pca = 'start="pca", which begins at PCA\'s solution'
    assert sentence.endswith(f"give it more epochs, another learning rate or {way}{pca}")
    assert doubts(x, linear, recipe="fast", epochs=6, start="pca") == []
    warm = fitted(x, linear, recipe="fast", epochs=1).set_params(warm_start=True)
    with pytest.warns(PoorFitWarning) as caught:
        warm.fit(x)
    assert not any("start=" in str(warning.message) for warning in caught), "which has no say in it"


def test_of_many_samples_a_rectified_code_is_to_be_linear_and_to_begin_at_pca():
    x = np.random.default_rng(0).normal(size=(2100, 30)).astype(np.float32) * np.float32(0.8) ** np.arange(30)
    (sentence,) = doubts(x.astype(np.float32), Dense((6,), 4), recipe="fast", epochs=3)
    linear = Dense((8,), 4, code_activation="linear")
    assert "a code of relu units spends two of them where a linear one spends one" in sentence
    assert f"take {linear!r}, which has" in sentence
    assert sentence.endswith(', with start="pca"')


def test_where_nothing_is_held_out_it_is_judged_by_its_own_samples(x):
    (sentence,) = doubts(x, RELU, recipe="fast", epochs=10)
    assert numbers(sentence)[0] == pytest.approx(pca_error(x, x), rel=1e-3)
    assert "on its training samples" in sentence
    (sentence,) = doubts(x[:60], DEEP, recipe="fast", epochs=150)
    assert numbers(sentence)[1] < numbers(sentence)[0] / 2
    assert "know them by heart" in sentence
    assert "validation_fraction=0.2" in sentence
    (sentence,) = doubts(x[:9], DEEP, recipe="fast", epochs=150)
    assert sentence.startswith(
        "the code has 5 numbers and there are 9 samples, none of which is held out: nothing says"
    )
    assert "validation_fraction=0.2" in sentence
    (sentence,) = doubts(x[:60], DEEP, recipe="fast", epochs=150, validation_fraction=0.2)
    assert "on the validation samples" in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        {"recipe": "fast"},
        {"network": LINEAR, "recipe": "fast", "epochs": 60},
        {"network": RELU, "recipe": "fast", "penalty": L1(1e-3), "epochs": 60},  # which wants something else too
        {"network": Dense(bottleneck=30), "recipe": "fast", "epochs": 60},  # where PCA is exact
        {"network": RELU, "epochs": 60, "learning_rate": 0.01, "standardize": True},  # chosen, not left to a recipe
    ],
)
def test_what_is_as_good_as_pca_or_was_chosen_is_not_doubted(arguments, x):
    assert doubts(x[:120], validation=x[120:], **arguments) == []


@pytest.mark.parametrize("arguments", [{}, {"loss": "bce", "network": Dense(bottleneck=K, output="sigmoid")}])
def test_a_model_no_better_than_the_mean_says_so(arguments, x):
    x = (x > 0).astype(np.float32)
    (sentence,) = doubts(x, epochs=1, learning_rate=1e-5, **arguments)
    assert "after 1 epoch it leaves" in sentence
    assert 'try recipe="fast", or more epochs' in sentence
    of_mean, left = numbers(sentence)
    assert left > of_mean
    if not arguments:
        assert of_mean == pytest.approx(x.var(axis=0).mean(), rel=1e-3)
    assert doubts(x, epochs=60, learning_rate=0.01, **arguments) == []


def test_a_model_that_has_collapsed_to_the_mean_says_so(x):
    (sentence,) = doubts(x, penalty=L1(100), epochs=60, learning_rate=0.05)
    of_mean, left = numbers(sentence)
    assert left == pytest.approx(of_mean, rel=0.01)
    assert "try a smaller weight of the penalty, or " in sentence


@pytest.mark.parametrize(("network", "rate"), [(Dense((16,), 8), 0.05), (Dense((8,), 4), 1e-3)])
def test_where_units_are_dead_no_more_epochs_are_asked_for(network, rate):
    """Light samples, most of whose ReLU units die; longer training changes nothing, and what is named does."""
    x = 1 - 0.2 * np.random.default_rng(0).random((160, 30)).astype(np.float32)
    x[:, :15] -= np.random.default_rng(1).random((160, 1), np.float32) / 2
    with pytest.warns() as caught:
        model = fitted(x, network, epochs=60, learning_rate=rate)
    (sentence,) = (str(one.message) for one in caught if one.category is PoorFitWarning)
    n_dead, n = int((np.abs(model.transform(x)) < 1e-6).all(axis=0).sum()), network.bottleneck
    assert n_dead >= n / 2
    units = f"all {n} units" if n_dead == n else f"{n_dead} of {n} units"
    assert f"{units} of its code are zero for every sample, and a ReLU unit that is so never comes back" in sentence
    assert "more epochs" not in sentence
    its_own = ", learning_rate=None" if rate > 1e-3 else ""
    assert f'try recipe="fast"{its_own}, for ' in sentence
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)  # of PCA
        assert -fitted(x, network, recipe="fast").score(x) < 0.7 * x.var(axis=0).mean()


def test_a_dead_output_is_not_to_be_trained_longer():
    x = 0.9 + 0.1 * np.random.default_rng(0).random((160, 30)).astype(np.float32)
    with pytest.warns() as caught:
        fitted(x, Dense((16,), 4, output="relu"), epochs=30, learning_rate=0.05)
    (sentence,) = (str(one.message) for one in caught if one.category is PoorFitWarning)
    assert 'try output="linear", for the ReLU output is the same for every sample' in sentence
    assert "more epochs" not in sentence


@pytest.mark.parametrize("arguments", [{"recipe": "fast"}, {}])
def test_what_is_cut_off_by_clipping_is_not_blamed_on_the_training(arguments, x):
    x, noise = 20 * x + 128, GaussianNoise(10, clip=True)
    for validation in (None, x[120:]):
        with pytest.warns() as caught:
            fitted(x[:120], RELU, validation, corruption=noise, epochs=20, **arguments)
        (sentence,) = (str(one.message) for one in caught if one.category is PoorFitWarning)
        assert "clip=False in the corruption or samples scaled to [0, 1]" in sentence
        assert "more epochs" not in sentence


def test_the_cure_comes_before_samples_to_hold_out(x):
    (sentence,) = doubts(x[:60], DEEP, recipe="fast", epochs=150)
    way = f"take {Dense((64,), K, code_activation='linear')!r}, which has code_activation='linear' in place of None"
    assert f"PCA be better on others; {way}, or hold some out, by validation_fraction=0.2" in sentence


def test_of_few_samples_a_network_as_good_as_pca_on_its_own_is_doubted_too(x):
    (sentence,) = doubts(x[:60], DEEP, recipe="fast", epochs=40)
    of_pca, left = numbers(sentence)
    assert of_pca / 2 < left < of_pca
    assert "it may know them by heart" in sentence


def test_noise_in_another_unit_than_the_samples_is_said(x):
    (sentence,) = doubts(200 * x, corruption=GaussianNoise(0.1), recipe="fast", epochs=5)
    assert "the noise has a standard deviation of 0.1, and the samples' numbers span " in sentence
    span = float(re.search(r"span ([\d.]+):", sentence)[1])
    assert np.ptp(200 * x[:100]) / 2 < span <= np.ptp(200 * x) + 1  # of those that it is judged by
    assert sentence.endswith(f"so that 0.1 of black to white is {span / 10:.3g}")


def test_noise_that_buries_the_samples_is_in_another_unit_too(x):
    (sentence,) = doubts(x, corruption=GaussianNoise(25.0), recipe="fast", epochs=5)
    assert "the noise has a standard deviation of 25, and the samples' numbers span " in sentence


def test_a_denoiser_worse_than_the_noise_is_doubted_by_its_own_samples_too(x):
    (sentence,) = doubts(x, LINEAR, corruption=GaussianNoise(0.01), recipe="fast", start="data", epochs=60)
    assert "on its training samples, and the noise itself is" in sentence


def test_the_way_past_little_noise_is_one(x):
    """Training alone does not lead there, nor does a wider code of few samples, which knows no more components."""
    noise = {"corruption": GaussianNoise(0.01), "recipe": "fast"}
    (sentence,) = doubts(x, LINEAR, **noise, start="data", epochs=20)
    assert sentence.endswith(
        "the way out is Dense(bottleneck=30, code_activation='linear') with start=\"pca\", which is the best linear "
        "filter where no epoch is better"
    )
    wide = Dense(bottleneck=30, code_activation="linear")
    assert doubts(x, wide, **noise, start="pca", epochs=20) == []
    (sentence,) = doubts(x, wide, **noise, start="data", epochs=20)
    assert sentence.endswith('the way out is start="pca", which is the best linear filter where no epoch is better')


def test_of_few_images_under_little_noise_the_way_out_is_pieces_of_them():
    rng, place = np.random.default_rng(0), np.arange(16)
    waves = np.sin(rng.uniform(0, 0.8, (40, 6, 1)) * place + rng.uniform(0, 6, (40, 6, 1)))
    images = 0.5 + np.einsum("nkh,nkw->nhw", waves, np.roll(waves, 1, axis=1)).astype(np.float32)[:, None] / 20
    noise = {"corruption": GaussianNoise(0.005), "recipe": "fast", "epochs": 20}
    (sentence,) = doubts(images, Dense(bottleneck=16, code_activation="linear"), **noise)
    assert sentence.endswith("the way out is pieces, by open_images(X, patches=(8, 8))")
    assert doubts(open_images(images, patches=(8, 8)), **noise) == []
    missing = {"corruption": Occlusion(1, value="mean"), "recipe": "fast", "epochs": 20}
    (sentence,) = doubts(images, Dense(bottleneck=16, code_activation="linear"), **missing)
    assert sentence.endswith("the way out is more samples"), "pieces miss nothing, or all miss some"


def test_a_denoiser_is_held_against_pca_of_the_best_number_of_components(x):
    corruption, network = GaussianNoise(0.5), Dense((16,), K, activation="tanh")
    (sentence,) = doubts(x[:120], network, x[120:], corruption=corruption, recipe="fast", epochs=20)
    assert re.match(r"PCA of [1-5] numbers leaves an error of [\d.]+ on the validation samples", sentence)


def test_a_warm_fit_that_keeps_the_former_weights_says_so(x):
    train, validation = x[:120], x[120:]
    model = fitted(train, LINEAR, validation, epochs=60, learning_rate=0.02, patience=20)
    before = model.transform(x)
    model.set_params(warm_start=True, learning_rate=1e-9, epochs=1)
    with pytest.warns(PoorFitWarning, match="former fit are kept: no epoch was better .*; try more samples$"):
        model.fit(train, validation=validation)
    assert model.history_.kept_start
    np.testing.assert_array_equal(model.transform(x), before)


@pytest.mark.parametrize("kind", [np.asarray, lambda rows: Images(np.uint8(100 * rows + 128).reshape(-1, 1, 5, 6))])
def test_validation_samples_that_are_trained_on_too_are_doubted(kind, x):
    model = Autoencoder(LINEAR, epochs=1, standardize=True, random_state=0)
    for validation, n in ((x, 160), (x[30:60], 30), (x[:20].astype(np.float64), 20)):
        match = rf"the validation samples are trained on too \({n} of the {n} that were looked at\)"
        with pytest.warns(DoubtWarning, match=match):
            model.fit(kind(x), validation=kind(validation))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DoubtWarning)
        warnings.simplefilter("ignore", PoorFitWarning)
        model.fit(kind(x[:120]), validation=kind(x[100:]))  # less than half of them are


def test_a_stack_with_its_images_along_the_last_axis_is_doubted():
    rows, columns = np.mgrid[:20, :30] / 10
    rng = np.random.default_rng(0)
    images = np.stack([np.sin(rows + a) * np.cos(columns * b) for a, b in rng.random((25, 2)) * 6])
    images = (images / 2 + 0.5).astype(np.float32)
    model = Autoencoder(LINEAR, epochs=1, random_state=0)
    with pytest.warns(DoubtWarning, match=r"read as 20 images of 30×25, .* 25 images of 20×30 .*\(2, 0, 1\)"):
        model.fit(images.transpose(1, 2, 0))
    note = open_images(images.transpose(1, 2, 0)).notes[0]
    assert "looks like 25 images of 20×30 along the last axis" in note
    with warnings.catch_warnings():
        warnings.simplefilter("error", DoubtWarning)
        warnings.simplefilter("ignore", PoorFitWarning)
        model.fit(images)
    assert not open_images(images).notes


def test_a_denoiser_of_large_images_that_is_worse_than_the_noise_is_told_of_one_for_them():
    images = np.random.default_rng(0).random((40, 1, 50, 50), np.float32)
    (sentence,) = doubts(images, LINEAR, corruption=GaussianNoise(0.1), recipe="fast", epochs=2)
    assert f"the way out is Denoiser(noise={GaussianNoise(0.1)!r}), which is for images of any size" in sentence


@pytest.mark.parametrize(
    "nothing",
    [GaussianNoise(0.0), Masking(0.0), Sequence([GaussianNoise(0.0), Masking(0.0)])],
    ids=lambda part: part.kind,
)
def test_noise_that_is_none_on_purpose_is_in_no_other_unit(nothing, x):
    assert nothing.changes_nothing
    sentences = doubts(x[:120], DEEP, x[120:], recipe="fast", epochs=40, corruption=nothing)
    assert not any("noise" in sentence for sentence in sentences)
    assert not Sequence([GaussianNoise(0.0), Masking(0.1)]).changes_nothing
    assert not Poisson(1000).changes_nothing
