"""Collapse: named where a model draws one image or has no code left, with the cause; and never where it has not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import KL, L1, Autoencoder, Conv, Dense, Dictionary, GaussianNoise, Images
from isthmus.analysis.collapse import LEAST_VARIATION, Collapse, collapse, diagnose, frozen_pixels, worse_than_mean
from isthmus.metrics import Variation

RELU = "a ReLU unit that is zero for every image gets no gradient, and never comes back"


def fitted(x, network=None, **changes):
    arguments = {"epochs": 3, "batch_size": 20, "learning_rate": 0.01, "random_state": 0, **changes}
    return Autoencoder(network or Dense(bottleneck=8), **arguments).fit(x)


def share(model, x):
    """How much the reconstructions vary, over how much the samples do."""
    own, theirs = Variation(), Variation()
    own.add(model.reconstruct(x).reshape(len(x), -1))
    theirs.add(x.floats() if isinstance(x, Images) else x)
    return own.value / theirs.value


@torch.no_grad()
def with_dead_units(model, which=slice(None)):
    """The same model, in which these units of the code are off whatever it is shown."""
    model.network_.encoder.layers[-1].bias[which] = -1e3
    return model


@torch.no_grad()
def with_weak_decoder(model, factor):
    """The same model, whose reconstructions vary less by this factor."""
    model.network_.decoder.layers[-1].weight *= factor
    return model


@pytest.mark.parametrize(
    "network", [None, Dense(hidden=(12,), bottleneck=5, activation="tanh"), Conv((4, 4)), Conv((4,), decoder="unpool")]
)
def test_a_healthy_model_has_not_collapsed(network, images):
    assert collapse(fitted(images, network, epochs=20), images) is None


def test_a_penalty_over_the_batch_is_named_with_what_it_is_for_each_sample(images):
    model = fitted(images, penalty=L1(0.5, per="batch"), epochs=30)
    assert model.transform(images).max() == 0
    found = collapse(model, images)
    assert found.what == "all 8 units of its code are zero for every image"
    assert "summed over the batch" in found.cause
    assert "a weight of 0.5 at a batch size of 20 is 10 for each sample" in found.cause
    assert 'per="sample"' in found.instead


@pytest.mark.parametrize("per", ["sample", "element"])
def test_a_penalty_that_weighs_too_much_is_named(per, images):
    found = collapse(fitted(images, penalty=L1(50.0, per=per), epochs=30), images)
    assert found.what == "all 8 units of its code are zero for every image"
    assert found.cause == "its penalty of weight 50 costs more than a better image gains"
    assert "lower its weight" in found.instead


@pytest.mark.parametrize("penalty", [None, L1(0.0, per="batch")])
def test_a_denoiser_of_one_dead_unit(penalty, images):
    model = fitted(images, Dense(bottleneck=1), corruption=GaussianNoise(0.5, clip=True), penalty=penalty)
    found = collapse(with_dead_units(model), images)
    assert found.what == "the one unit of its code is zero for every image"
    assert found.cause == RELU
    assert '"linear" for the code' in found.instead


def test_one_living_unit_is_enough_where_the_image_follows_it(images):
    model = fitted(images, epochs=20)
    order = model.transform(images).std(axis=0).argsort()
    assert collapse(with_dead_units(model, order[:-1].copy()), images) is None
    assert collapse(with_dead_units(model), images) is not None


@pytest.mark.parametrize(
    ("network", "cause"),
    [
        (Dense(bottleneck=8), RELU),
        (Dense(bottleneck=8, activation="tanh", output="relu"), RELU),
        (Dense(bottleneck=8, activation="tanh"), "training has not got away from the mean image"),
        (Conv((4,), activation="tanh"), "training has not got away from the mean image"),
    ],
)
def test_one_image_for_all(network, cause, images):
    model = with_weak_decoder(fitted(images, network), 0)
    assert model.transform(images).std() > 0, "the code is alive"
    found = collapse(model, images)
    assert (found.what, found.cause) == ("its reconstruction is the same for every image", cause)


@pytest.mark.parametrize("penalty", [None, L1(1e-3), L1(1e-3, per="batch"), KL(1e-3)])
def test_a_model_that_is_hardly_trained_is_not_said_to_suffer_from_its_penalty(penalty, images):
    code = "sigmoid" if isinstance(penalty, KL) else "relu"
    network = Dense(bottleneck=8, code_activation=code, output="sigmoid")
    model = with_weak_decoder(fitted(images, network, penalty=penalty, epochs=1, learning_rate=1e-5), 0.1)
    x = images.floats()
    far = np.mean((model.reconstruct(x) - x) ** 2) / np.mean((x.mean(axis=0) - x) ** 2)
    assert far > 2, "all pixels are still about one half"
    found = collapse(model, images)
    assert found.cause == f"training has not come as far as the mean image: its error is {far:.1f} times that one's"
    assert "train longer" in found.instead
    assert "train longer" not in str(diagnose(model, 8, 0.0, far)), "a code of zeros has other causes"


def test_pixels_that_are_dead_are_not_trained_longer(images):
    model = with_weak_decoder(fitted(images, Dense(bottleneck=8, activation="tanh", output="relu")), 0)
    with torch.no_grad():
        model.network_.decoder.layers[-1].bias.fill_(-1.0)
    assert collapse(model, images).cause == RELU


def test_pixels_that_stay_the_same_are_named_where_they_make_much_of_the_error(images):
    model = fitted(images, Dense(bottleneck=8, output="relu"))
    assert "3% of the images' variance are the same in every reconstruction, 30% of the error" in str(
        frozen_pixels(model, 0.1, 0.03)
    )
    for unexplained, frozen in ((None, 0.5), (0.015, 0.004), (0.3, 0.03), (0.0, 0.0)):
        assert frozen_pixels(model, unexplained, frozen) is None


def digits():
    x = (load_digits().data / 16).astype(np.float32)
    return x[:1400], x[1400:]


def test_pixels_that_a_relu_output_killed_are_named_and_their_sigmoid_twin_is_not():
    train, test = digits()
    dead, alive = (
        Autoencoder(Dense(bottleneck=16, output=output), recipe="fast", epochs=30, random_state=2).fit(train)
        for output in ("relu", "sigmoid")
    )
    x_hat = dead.reconstruct(test)
    frozen = np.ptp(x_hat, axis=0) == 0
    share = test.var(axis=0)[frozen].sum() / test.var(axis=0).sum()
    assert share > 0.05
    assert frozen.sum() >= 8
    found = collapse(dead, test)
    assert found.what == f"pixels with {share:.0%} of the images' variance are the same in every reconstruction"
    assert found.cause == RELU
    assert found.instead == 'take another output, "linear" or "sigmoid"'
    assert collapse(alive, test) is None


def test_pixels_at_the_edge_that_hardly_vary_may_be_dead():
    train, test = digits()
    model = Autoencoder(Dense(bottleneck=16, activation="tanh"), recipe="fast", epochs=30, random_state=0).fit(train)
    order = test.var(axis=0).argsort()
    shares = test.var(axis=0)[order].cumsum() / test.var(axis=0).sum()
    few, many = int((shares < 0.045).sum()), int((shares < 0.45).sum())
    assert 8 < few < many
    assert collapse(with_dead_pixels(model, order[:few]), test) is None
    assert diagnose(model, 0, 0.8, 0.39, 0.2) is None, "it has learned all else"
    found = collapse(with_dead_pixels(model, order[:many]), test)
    assert "are the same in every reconstruction" in found.what


@torch.no_grad()
def with_dead_pixels(model, which):
    """The same model, in which these pixels do not follow the code."""
    model.network_.decoder.layers[-1].weight[which.copy()] = 0.0
    return model


def test_a_dictionary_half_dead_that_explains_little_is_named_and_one_that_explains_much_is_not():
    train, test = digits()
    common = {"epochs": 20, "learning_rate": 3e-3, "random_state": 0}
    sparse, dead = (Autoencoder(Dictionary(n_atoms=100), penalty=L1(w), **common).fit(train) for w in (0.01, 0.03))
    off = [int((np.abs(model.transform(test)) <= 1e-6).all(axis=0).sum()) for model in (sparse, dead)]
    left = [-model.score(test) / test.var(axis=0).mean() for model in (sparse, dead)]
    assert left[0] < 0.5 < left[1]
    assert 50 <= off[1] < 100
    found = collapse(dead, test)
    assert found.what == (
        f"{off[1]} of 100 units of its code are zero for every image, and {left[1]:.0%} of the images' variance is "
        "unexplained"
    )
    assert found.cause == "its penalty of weight 0.03 costs more than a better image gains"
    assert collapse(sparse, test) is None


@pytest.mark.parametrize(
    ("penalty", "unexplained"), [(L1(1e-3), 0.5), (None, 0.2), (L1(0.0), 0.2)], ids=["L1", "none", "weight 0"]
)
def test_dead_units_are_a_collapse_where_they_are_missed(penalty, unexplained, x):
    model = fitted(x, Dictionary(n_atoms=100), penalty=penalty)
    narrow = fitted(x, Dictionary(n_atoms=8), penalty=penalty)
    assert diagnose(narrow, 6, 0.4, unexplained) is None
    assert diagnose(model, 75, 0.4, unexplained - 0.01) is None
    assert diagnose(model, 49, 0.4, 0.9) is None
    assert diagnose(model, 75, 0.4, 0.9, clean=False) is None
    found = diagnose(model, 75, 0.4, unexplained)
    assert found.what.startswith("75 of 100 units of its code are zero for every image")
    assert found.cause == (
        "its penalty of weight 0.001 costs more than a better image gains" if penalty == L1(1e-3) else RELU
    )


def test_images_that_differ_in_brightness_above_all_hide_no_dead_code():
    """The few units that are left follow the brightness, which is the half of what the images differ in."""
    train, _ = digits()
    x = train[:600] + np.random.default_rng(0).normal(0, 0.4, (600, 1)).astype(np.float32)
    common = {"network": Dense(), "epochs": 20, "batch_size": 32, "random_state": 2}
    healthy, dead = (Autoencoder(learning_rate=rate, **common).fit(x) for rate in (1e-3, 0.1))
    assert collapse(healthy, x) is None
    n_dead, left = dead.code_["dead_units"], -dead.score(x) / x.var(axis=0).mean()
    assert n_dead >= 16
    assert 0.2 < left < 0.5
    found = collapse(dead, x)
    assert found.what.startswith(f"{n_dead} of 32 units of its code are zero for every image, and {left:.0%} of the")
    assert found.cause == RELU


def test_of_no_images_nothing_is_said(x):
    assert collapse(fitted(x), x[:0]) is None


def test_a_penalty_of_a_code_that_is_alive(images):
    network = Dense(bottleneck=8, activation="sigmoid", output="linear")
    found = collapse(with_weak_decoder(fitted(images, network, penalty=KL(0.5)), 0), images)
    assert found.what.startswith("its reconstruction is the same for every")
    assert "its penalty of weight 0.5" in found.cause


def test_what_is_one_image_is_a_matter_of_how_much_the_images_vary(images):
    model = fitted(images, epochs=20)
    before = share(model, images)
    assert before > 2 * LEAST_VARIATION
    with_weak_decoder(model, np.sqrt(1.1 * LEAST_VARIATION / before))  # the output is linear
    assert share(model, images) == pytest.approx(1.1 * LEAST_VARIATION, rel=1e-3)
    assert collapse(model, images) is None
    with_weak_decoder(model, np.sqrt(0.8))
    assert collapse(model, images) is not None


def test_it_does_not_depend_on_the_unit_of_the_numbers(x):
    model = with_weak_decoder(fitted(x, Dense(bottleneck=3, activation="linear")), 0)
    for factor in (1e-3, 1.0, 1e3):
        assert collapse(model, factor * x) is not None


def test_many_images_are_looked_at_chunk_by_chunk(images):
    """Most of them leave every unit off; those that do not are in the last chunk, or between two."""
    model = fitted(images, Dense(bottleneck=2), epochs=20)
    with torch.no_grad():
        model.network_.encoder.layers[0].bias.fill_(-1.0)
        model.network_.encoder.layers[0].weight.fill_(1 / 64)
    dark, bright = np.zeros((1200, 64), np.float32), 2 * np.ones((1, 64), np.float32)
    assert "all 2 units" in collapse(model, dark).what
    for place in (0, 499, 500, 1199):
        some = dark.copy()
        some[place] = bright
        assert "all 2 units" not in str(collapse(model, some))


@pytest.mark.filterwarnings("ignore:the samples are all the same:isthmus.errors.DoubtWarning")
@pytest.mark.parametrize("network", [Dense(bottleneck=3, activation="tanh"), Dense(bottleneck=3)])
def test_images_that_do_not_vary_say_nothing_of_the_model(network):
    x = np.full((40, 6), 0.5, np.float32)
    model = fitted(x, network)
    assert (collapse(model, x) is None) is bool(np.abs(model.transform(x)).max() > 0)
    assert diagnose(model, 0, None) is None
    assert "all 3 units" in diagnose(model, 3, None).what


def test_a_data_frame_and_a_list_are_judged_as_their_numbers(images):
    x = images.floats()
    frame = pd.DataFrame(x, columns=[f"pixel {i}" for i in range(x.shape[1])], index=np.arange(len(x))[::-1])
    model = with_dead_units(fitted(frame, Dense(bottleneck=3)))
    assert collapse(model, frame) == collapse(model, frame[:40]) is not None  # and without a warning on names
    plain = with_dead_units(fitted(x, Dense(bottleneck=3)))
    assert collapse(plain, x.tolist()) == collapse(plain, x) is not None


def test_models_that_are_no_autoencoders_have_not_collapsed(images):
    x = images.floats()
    for model in (PCA(3).fit(x), FunctionTransformer(check_inverse=False).fit(x)):
        assert collapse(model, x) is None
        assert diagnose(model, 3, 0.0) is None


def test_of_a_pipeline_the_last_step_is_judged(images):
    pca = PCA(5).fit(images.floats())
    code = pca.transform(images.floats())
    healthy = Pipeline([("pca", pca), ("auto", fitted(code, Dense(bottleneck=3, activation="tanh"), epochs=40))])
    dead = Pipeline([("pca", pca), ("auto", with_dead_units(fitted(code, Dense(bottleneck=3))))])
    assert collapse(healthy, images) is None
    assert collapse(dead, images).what == "all 3 units of its code are zero for every image"
    assert collapse(Pipeline([("pca", pca), ("other", PCA(2).fit(code))]), images) is None


def test_it_is_one_sentence_and_a_table():
    found = Collapse("it is dark", "no light", "switch it on")
    assert str(found) == "collapsed: it is dark; no light; switch it on"
    assert found.table() == {"what": "it is dark", "cause": "no light", "instead": "switch it on"}


# --- worse than the mean image ---


@torch.no_grad()
def drawing(model, image):
    """The same model, which draws this image whatever it is shown."""
    with_weak_decoder(model, 0).network_.decoder.layers[-1].bias.copy_(torch.from_numpy(image))
    return model


@torch.no_grad()
def drawing_lighter(model, by):
    """The same model, whose reconstructions are lighter."""
    model.network_.decoder.layers[-1].bias += by
    return model


def test_a_model_that_is_worse_than_the_mean_image_is_said_to_be_though_it_has_not_collapsed(images):
    x = images.floats()
    model = fitted(images, epochs=20)
    assert worse_than_mean(model, images) is None
    drawing_lighter(model, 0.5)
    times = np.square(model.reconstruct(x) - x).mean() / x.var(axis=0).mean()
    assert times > 1.5
    assert collapse(model, images) is None
    said = f"worse than the mean image: its error is {times:.2f} times that of the mean of these images; train longer"
    for same in (images, x, x.tolist(), x.reshape(-1, 8, 8)):
        assert worse_than_mean(model, same).startswith(said)
    steps = [("same", FunctionTransformer(check_inverse=False)), ("auto", model)]
    assert worse_than_mean(Pipeline(steps), x).startswith(said)
    frame = pd.DataFrame(x, columns=[f"pixel {i}" for i in range(x.shape[1])])
    assert "worse than the mean image" in worse_than_mean(drawing_lighter(fitted(frame), 0.5), frame)


def test_of_other_images_than_it_was_fitted_on_too():
    """In other units, for example: there a PCA is one of them."""
    train, test = digits()
    for model in (PCA(10).fit(train), fitted(train, epochs=20)):
        assert worse_than_mean(model, test) is None
        assert "worse than the mean image: its error is " in worse_than_mean(model, test / 255)


def test_inverted_images_are_called_that_and_no_model_is_to_train_longer_for_others():
    train, test = digits()
    light = 1 - 0.8 * train  # from 0.2 to 1
    for model, black_and_white in ((PCA(10).fit(light), 0.8), (fitted(light, epochs=20), 1)):  # a PCA knows no range
        assert worse_than_mean(model, 1 - 0.8 * test) is None
        assert f"they look inverted: as {black_and_white} - x the error is " in worse_than_mean(model, 0.8 * test)
        for other in (test / 255, np.roll(light, 32, axis=1)):  # no negatives, neither of them
            assert "inverted" not in (worse_than_mean(model, other, 0.01) or "")
    left = float(np.square(model.reconstruct(1 - 0.8 * test) - (1 - 0.8 * test)).mean())
    assert "train longer" in worse_than_mean(model, test / 255)
    sentence = worse_than_mean(model, test / 255, left)
    assert "they are unlike those that it was fitted on" in sentence
    assert sentence.endswith("they lie in 0 to 0.00392, those in 0.2 to 1")
    assert "train longer" in worse_than_mean(drawing_lighter(model, 1.0), 1 - 0.8 * test, held_out=1.0)
    assert "train longer" not in worse_than_mean(PCA(10).fit(light), test / 255)


@pytest.mark.parametrize(("n_train", "n_test"), [(1000, 6), (1000, 100), (20, 20), (20, 2000), (200, 5000)])
def test_the_mean_of_the_training_images_is_rarely_worse_than_that_of_others(n_train, n_test):
    """It is not theirs, and of few images it is none of many: no fault of a model's."""
    rng, n_worse = np.random.default_rng(0), 0
    spread = np.linspace(3, 0.1, 16)
    model = fitted(spread * rng.normal(size=(n_train, 16)).astype(np.float32), Dense(bottleneck=2), epochs=1)
    for _ in range(60):
        train, test = ((spread * rng.normal(size=(n, 16))).astype(np.float32) for n in (n_train, n_test))
        n_worse += worse_than_mean(drawing(model, train.mean(axis=0)), test) is not None
    assert n_worse <= 4
    assert worse_than_mean(drawing(model, 3 * spread.astype(np.float32)), test) is not None


@pytest.mark.filterwarnings("ignore:the samples are all the same:isthmus.errors.DoubtWarning")
def test_of_one_image_or_of_equal_ones_the_mean_says_nothing(images):
    model = drawing_lighter(fitted(images), 10)
    assert worse_than_mean(model, images) is not None
    for n in (0, 1):
        assert worse_than_mean(model, images.floats()[:n]) is None
    same = np.full((1001, 64), 0.1, np.float32)  # whose sums are rounded
    assert worse_than_mean(model, same) is None
    assert collapse(model, same) is None


def test_patches_of_one_photograph_are_one_witness(images):
    """The same few pixels again and again are no more reason than once."""
    model = drawing_lighter(fitted(images), 0.25)
    x = images.pixels[:3]
    many = Images(np.repeat(x, 40, axis=0))
    assert worse_than_mean(model, many) is not None
    of_three = replace(many, places=np.array([(i, 0, 0) for i in np.repeat(np.arange(3), 40)]))
    assert worse_than_mean(model, of_three) is None
