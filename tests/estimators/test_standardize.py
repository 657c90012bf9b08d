"""What a recipe learns does not depend on the data's offset and scale, nor on which of dark and light is the ground."""

import json
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

import isthmus
from isthmus import L1, MSE, Affine, Autoencoder, Conv, DecoderPrior, Dense, Dictionary, GaussianNoise, Images
from isthmus.analysis import probe
from isthmus.data.sources.registry import load
from isthmus.errors import DataError, DoubtWarning, PoorFitWarning, RequestError
from isthmus.estimators.saving import CONFIG, digest
from isthmus.training.checkpoint import Checkpoints

DIGITS = (load_digits().data / 16).reshape(-1, 1, 8, 8).astype(np.float32)
NETWORKS = {
    "dense": {"network": Dense((32,), 8)},
    "sigmoid": {"network": Dense((32,), 8, output="sigmoid")},
    "conv": {"network": Conv((8, 8))},
    "dictionary": {"network": Dictionary(n_atoms=32), "penalty": L1(1e-3)},
    "denoiser": {"network": Dense((), 64, activation="gelu")},
}
every_network = pytest.mark.parametrize("name", NETWORKS)
SHIFTED = [(1, 0.25), (1, 0.5), (1, 0.9), (1, -0.5), (1, 5)]
SCALED = [(255, 0), (4095, 0), (1e-3, 0)]
FEWER = [(1, 0.9), (1, 5), (1e-3, 0)]


def unexplained(name, x, a=1.0, b=0.0, seed=0, n=100, **options):
    """The error of a fit to `a * x + b`, on images that it was not fitted to, as a share of their variance."""
    x = np.float32(a) * x + np.float32(b)
    parameters = {"recipe": "fast", "epochs": 30, "random_state": seed, "precision": "float32"}
    parameters |= NETWORKS.get(name, {}) | options
    if name == "denoiser":  # whose noise is in the data's units, as all that a user says is
        parameters["corruption"] = GaussianNoise(abs(a) * 0.3)
    model = Autoencoder(**parameters).fit(x[:n])
    return -model.score(x[n:]) / float(x[n:].var(axis=0).mean())


@every_network
def test_neither_offset_nor_scale_matters(name):
    x = DIGITS[:200]
    expected = unexplained(name, x)
    assert expected < 0.7  # it has learned
    for a, b in (SHIFTED + SCALED) if name == "dense" else FEWER:
        # the same start, order and noise: what differs is rounding, of 5 + x the most
        assert unexplained(name, x, a, b) == pytest.approx(expected, rel=0.03), (a, b)


def within_the_spread(here, there):
    """Whether two sets of errors, one for each seed, could be of the same models: by Student's t at 99 %."""
    here, there = np.array(here), np.array(there)
    error = np.sqrt((here.var(ddof=1) + there.var(ddof=1)) / len(here))
    return abs(here.mean() - there.mean()) <= 4.0 * error + 0.01 * here.mean()


@every_network
def test_dark_on_light_is_learned_as_well_as_light_on_dark(name):
    dark, light = ([unexplained(name, DIGITS[:200], a, b, seed) for seed in range(3)] for a, b in ((-1, 1), (1, 0)))
    assert within_the_spread(light, dark), (light, dark)


def test_an_augmentation_costs_light_images_no_more_than_dark_ones():
    """What an affine map moves in from outside is of the image: painted black, it doubled the error of white pages."""
    options = {"augmentation": Affine(share=1.0), "epochs": 20}
    dark, light = ([unexplained("dense", DIGITS[:200], *m, s, **options) for s in range(3)] for m in ((-1, 1), (1, 0)))
    assert within_the_spread(light, dark), (light, dark)


def patches(n, channels=3, side=6):
    """n patches of the photographs that come with scikit-learn, in [0, 1]."""
    rng, sources = np.random.default_rng(0), load_sample_images().images
    tops, lefts = rng.integers(0, 400, (2, n))
    cut = [
        sources[i % 2][top : top + side, left : left + side]
        for i, (top, left) in enumerate(zip(tops, lefts, strict=True))
    ]
    return np.float32(np.stack(cut)[..., :channels].transpose(0, 3, 1, 2) / 255)


@pytest.mark.parametrize("name", ["dense", "dictionary", pytest.param("conv", marks=pytest.mark.slow)])
def test_patches_of_photographs_in_any_units(name):
    x = patches(200)
    expected = unexplained(name, x)
    assert expected < 0.5
    for a, b in ((1, 5), (4095, 100), (1e-3, 0)):
        assert unexplained(name, x, a, b) == pytest.approx(expected, rel=0.03), (a, b)
    inverted = [unexplained(name, x, -1, 1, seed) for seed in range(3)]
    assert within_the_spread([expected, *(unexplained(name, x, seed=seed) for seed in (1, 2))], inverted)


@pytest.mark.mnist
@pytest.mark.slow
@pytest.mark.parametrize("network", [Dense((), 32), Dense((128, 64), 32), Conv((8, 16, 16))], ids=repr)
def test_mnist_in_grey_levels(network):
    """As files have it, 0 to 255, and inverted: the numbers of [0, 1] in other units."""
    x = load("mnist").train.take(slice(2000)).pixels.astype(np.float32)

    # the 126 of the recipe for the one that is quick: of Conv they take six minutes
    epochs = 15 if isinstance(network, Conv) else 30 if network.hidden else None

    def errors(a, b, *seeds):
        return [unexplained("", x, a, b, seed, n=1000, network=network, epochs=epochs) for seed in seeds]

    expected = errors(1 / 255, 0, 0, 1, 2)
    for a, b in ((1, 0), (1 / 255, 0.9)):  # the same start, order and noise
        assert errors(a, b, 0) == pytest.approx(expected[:1], rel=0.02), (a, b)
    # other signs are another draw of the start
    assert within_the_spread(expected, errors(-1, 255, 0, 1, 2))


def test_channels_have_an_offset_and_a_scale_each():
    """Of two channels of which one is far away and faint, both are learned; the faint one as its errors count."""
    x = np.concatenate([DIGITS[:300], 7 + 0.2 * DIGITS[300:600]], axis=1)
    model = Autoencoder(Dense((32,), 16), recipe="fast", epochs=40, random_state=0).fit(x)
    assert len(model.network_.standardization.offset) == 2
    error = np.square(model.reconstruct(x) - x).mean(axis=(0, 2, 3)) / x.var(axis=0).mean(axis=(1, 2))
    assert error[0] < 0.6
    assert error[1] < 1


def test_errors_losses_and_reconstructions_are_in_the_datas_units():
    x = 1000 * DIGITS[:200] + 300
    model = Autoencoder(Dense((32,), 8), recipe="fast", epochs=40, random_state=0, validation_fraction=0.2).fit(x)
    last = model.history_.epochs[-1]
    assert last.loss == pytest.approx(-model.score(x), rel=0.5)
    assert -model.score(x) == pytest.approx(float(np.square(model.reconstruct(x) - x).mean()), rel=1e-4)
    assert 0 < last.loss < x.var()
    assert last.loss > 1000  # of numbers up to 1300, and not of [0, 1]
    assert np.mean(last.step_losses) == pytest.approx(last.loss, rel=0.1)
    np.testing.assert_allclose(model.inverse_transform(model.transform(x)), model.reconstruct(x), rtol=1e-5)
    assert float(model.reconstruct(x.astype(np.float64)).mean()) == pytest.approx(x.mean(), rel=0.1)


def test_a_penalty_weighs_the_same_in_any_units():
    def on(scale):
        x = scale * DIGITS[:200]
        model = Autoencoder(Dictionary(n_atoms=32), penalty=L1(1e-2), recipe="fast", epochs=20, random_state=0).fit(x)
        return float((model.transform(x) > 1e-6).sum(axis=1).mean())

    assert on(255) == pytest.approx(on(1), rel=0.05)
    assert 1 < on(1) < 31


def test_the_search_of_a_code_is_in_the_datas_units():
    x = 100 - 20 * DIGITS[:200]
    prior = DecoderPrior(Autoencoder(Dense((32,), 6, output="sigmoid"), recipe="fast", epochs=40, random_state=0)).fit(
        x
    )
    found = prior.search(x[:20])
    np.testing.assert_allclose(found.objective, np.square(found.x_hat - x[:20].reshape(20, -1)).mean(axis=1), rtol=1e-3)
    assert found.objective.mean() <= -prior.autoencoder_.score(x[:20])
    assert found.x_hat.min() >= 79
    assert found.x_hat.max() <= 101


def test_atoms_and_filters_are_in_the_datas_units():
    """What is drawn is the offset and the atoms, each times its code."""
    x = 50 * DIGITS[:100] - 3
    model = Autoencoder(Dictionary(n_atoms=16), recipe="fast", epochs=20, random_state=0).fit(x)
    atoms = probe.filters(model, (1, 8, 8), "decoder")[""]
    drawn = np.tensordot(model.transform(x), atoms, 1) + model.network_.standardization.out_offset[0]
    np.testing.assert_allclose(drawn, model.reconstruct(x), atol=1e-3)
    dense = Autoencoder(Dense((), 4, activation="linear"), recipe="fast", epochs=20, random_state=0).fit(x)
    looks_for = probe.filters(dense, (1, 8, 8))[""].reshape(4, -1)
    change = dense.transform(x[:5]) - dense.transform(x[5:10])
    np.testing.assert_allclose((x[:5] - x[5:10]).reshape(5, -1) @ looks_for.T, change, atol=1e-3)


def test_feature_maps_are_those_of_standardized_images():
    images = Images(255 - np.uint8(DIGITS[:80] * 255))
    model = Autoencoder(Conv((3, 4)), recipe="fast", epochs=5, random_state=0).fit(images)
    maps = probe.activation_maps(model, images)
    np.testing.assert_allclose(maps["layer 2"].reshape(80, -1), model.transform(images), atol=1e-5)


# --- what is saved, and when it is on ---


@pytest.mark.parametrize("wrap", [lambda model: model, DecoderPrior], ids=["autoencoder", "decoder prior"])
def test_a_saved_model_has_it_in_its_configuration(tmp_path, wrap):
    x = 1 - DIGITS[:100]
    model = wrap(Autoencoder(Dense((), 8), recipe="fast", epochs=5, random_state=0)).fit(x)
    model.save(tmp_path / "model")
    loaded = isthmus.load(tmp_path / "model")
    assert loaded.transform(x).tobytes() == model.transform(x).tobytes()
    assert (
        loaded.inverse_transform(loaded.transform(x)).tobytes() == model.inverse_transform(model.transform(x)).tobytes()
    )
    fitted = json.loads((tmp_path / "model" / CONFIG).read_text())["fitted"]
    assert fitted.get("autoencoder", {"fitted": fitted})["fitted"]["standardization"]["offset"] == [
        pytest.approx(0.94, abs=0.1)
    ]


def rewrite(folder, change):
    config = json.loads((folder / CONFIG).read_text())
    del config["sha256"]
    change(config)
    (folder / CONFIG).write_text(json.dumps(config | {"sha256": digest(config)}))


def test_models_of_before_load_without(tmp_path):
    x = DIGITS[:100]
    model = Autoencoder(Dense((), 8), epochs=2, random_state=0).fit(x)
    model.save(tmp_path / "model")

    def before(config):
        del config["parameters"]["standardize"], config["fitted"]["training_"]["standardize"]
        assert "standardization" not in config["fitted"]

    rewrite(tmp_path / "model", before)
    assert isthmus.load(tmp_path / "model").transform(x).tobytes() == model.transform(x).tobytes()


def test_a_damaged_standardization_is_refused(tmp_path):
    Autoencoder(Dense((), 8), recipe="fast", epochs=1, random_state=0).fit(DIGITS[:50]).save(tmp_path / "model")
    rewrite(tmp_path / "model", lambda config: config["fitted"]["standardization"].update(scale=[0.0]))
    with pytest.raises(DataError, match="must not be 0"):
        isthmus.load(tmp_path / "model")


def test_it_is_on_with_a_recipe_or_when_it_is_said(recwarn):
    def on(**options):
        model = Autoencoder(Dense((), 4), epochs=1, random_state=0, **options).fit(DIGITS[:50])
        assert model.training_.standardize is (model.network_.standardization is not None)
        return model.training_.standardize

    assert [on(), on(recipe="fast"), on(standardize=True), on(recipe="fast", standardize=False)] == [
        False,
        True,
        True,
        False,
    ]
    with pytest.raises(RequestError, match="standardize must be true or false, got 'yes'"):
        on(standardize="yes")


def test_without_it_an_offset_beyond_the_spread_is_told():
    model = Autoencoder(Dense((), 4), epochs=1, random_state=0)
    pages = 1 - 0.3 * DIGITS[:50]
    with pytest.warns(DoubtWarning, match=r"mean is 0.9\d+ and their standard deviation 0.1\d+.*standardize=True"):
        model.fit(pages)
    with pytest.warns(DoubtWarning, match=r"mean is 0.9\d+ and"):
        model.fit(Images(np.uint8(pages * 255)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PoorFitWarning)  # of one epoch
        model.fit(DIGITS[:50])
        model.set_params(standardize=True).fit(pages)


def test_a_sigmoid_reaches_any_range_but_of_bce():
    x = 40 * DIGITS[:100] + 10
    with pytest.raises(RequestError, match="a maximum of 50"):
        Autoencoder(Dense((), 4, output="sigmoid"), loss="bce", recipe="fast").fit(x)
    model = Autoencoder(Dense((), 16, output="sigmoid"), loss=MSE(2.0), recipe="fast", epochs=30, random_state=0).fit(x)
    drawn = model.reconstruct(x)
    assert 9.9 < drawn.min() < 15
    assert 45 < drawn.max() < 50.1


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    x, options = 5 - DIGITS[:100], {"epochs": 4, "recipe": "fast", "random_state": 0}
    whole = Autoencoder(Dense((), 8), **options).fit(x)
    checkpoints = Checkpoints(tmp_path / "kept", every=0)
    rows = Autoencoder(Dense((), 8), **options).fit_epochs(x, checkpoint=checkpoints)
    next(rows), next(rows), rows.close()
    again = Autoencoder(Dense((), 8), **options).fit(x, checkpoint=tmp_path / "kept")
    assert again.transform(x).tobytes() == whole.transform(x).tobytes()


def test_noise_that_would_cut_most_of_the_samples_off_is_doubted(x):
    images = (200 + 500 * (x - x.min())).astype(np.float32)
    model = Autoencoder(corruption=GaussianNoise(20, clip=True), epochs=1, standardize=True, random_state=0)
    with pytest.warns(DoubtWarning, match=r"clipped to \[0, 1\], and the samples go from 200 to \S+: most is cut off"):
        model.fit(images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PoorFitWarning)  # of one epoch
        model.set_params(corruption__clip=False).fit(images)
        model.set_params(corruption=GaussianNoise(0.1, clip=True)).fit((images - 200) / np.ptp(images))


@pytest.mark.parametrize("white", [1, 255])
def test_samples_in_other_numbers_than_those_of_the_training_are_doubted(white):
    x = (load_digits().data[:200] / 16 * white).astype(np.float32)
    model = Autoencoder(Dense(bottleneck=4, code_activation="linear"), recipe="fast", epochs=1, random_state=0).fit(x)
    others = [x * 255 if white == 1 else x / 255]
    others += [(255 * x).astype(np.uint8), Images((255 * x).astype(np.uint8).reshape(-1, 1, 8, 8)).floats() * 255]
    for other in others if white == 1 else others[:1]:
        for use in (model.transform, model.reconstruct, model.score_samples, model.score):
            with pytest.warns(DoubtWarning, match="those of the training lay about .*: they are in other units"):
                use(other)
    rng = np.random.default_rng(0)
    with warnings.catch_warnings(action="error"):
        for like in (x, white - x, 0 * x, 0 * x + white, x[:1], x + 2 * white * rng.normal(size=x.shape)):
            model.reconstruct(like)


@pytest.mark.parametrize("arguments", [{}, {"recipe": "fast"}, {"recipe": "fast", "corruption": GaussianNoise(0.1)}])
def test_samples_that_are_all_the_same_are_told_in_one_sentence(arguments):
    model = Autoencoder(Dense(bottleneck=4, code_activation="linear"), epochs=2, random_state=0, **arguments)
    with pytest.warns() as warned:
        model.fit(np.full((60, 16), 0.5, np.float32))
    assert [warning.category for warning in warned] == [DoubtWarning]
    assert str(warned[0].message).startswith("the samples are all the same (60 were looked at)")
