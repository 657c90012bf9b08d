"""A network that is not said: `Dense()`, and under a recipe one that suits; what was trained stays known as that."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus import KL, L1, Autoencoder, Conv, DecoderPrior, Dense, Dictionary, GaussianNoise
from isthmus.analysis.collapse import collapse
from isthmus.commands.fitting.defaults import Wanted, choose
from isthmus.errors import DoubtWarning, RequestError
from isthmus.estimators.parameters import parameters_of
from isthmus.persistence import CONFIG
from isthmus.studies.spec.parser import parse_study
from isthmus.training.checkpoint import Checkpoints, OtherTrainingError

DIGITS = (load_digits().data / 16).astype(np.float32)
LINEAR = Dense(code_activation="linear")
WANTED = {
    "nothing": ({}, LINEAR),
    "l1": ({"penalty": L1(1e-3)}, Dense(code_activation="relu")),
    "kl": ({"penalty": KL(1e-3)}, Dense(code_activation="sigmoid")),
    "cross-entropy": ({"loss": "bce"}, Dense(code_activation="linear", output="sigmoid")),
    "noise": ({"corruption": GaussianNoise(0.5)}, Dense((), 256, activation="gelu")),
    "noise and l1": ({"corruption": GaussianNoise(0.5), "penalty": L1(1e-3)}, Dense(code_activation="relu")),
}


def lazy(**changes):
    return Autoencoder(**{"recipe": "fast", "epochs": 2, "random_state": 0, "device": "cpu", **changes})


def rewritten(folder, change):
    """config.json changed by `change`, with a checksum that holds."""
    config = json.loads((folder / CONFIG).read_text())
    del config["sha256"]
    change(config)
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    (folder / CONFIG).write_text(json.dumps({**config, "sha256": hashlib.sha256(text.encode()).hexdigest()}))


# --- which one it is ---


@pytest.mark.parametrize("what", WANTED)
def test_a_recipe_has_a_network_that_the_penalty_and_the_loss_can_be_had_from(what, x):
    arguments, network = WANTED[what]
    x = (x - x.min()) / (x.max() - x.min())
    model, said = lazy(**arguments).fit(x), lazy(network=network, **arguments).fit(x)
    assert model.network is None
    assert model.network_.part == network
    np.testing.assert_array_equal(model.reconstruct(x), said.reconstruct(x), strict=True)
    assert parameters_of(model, x.shape) == parameters_of(said, x.shape)
    assert model.training_ == said.training_


@pytest.mark.parametrize("penalty", [None, L1(1e-3), KL(1e-3)])
def test_the_command_decides_alike(penalty):
    code = lazy(penalty=penalty).part("network").code_activation
    for kind in ("dense", "conv"):
        assert choose(Wanted((1, 8, 8), 500, kind=kind, penalty=penalty)).network.code_activation == code


def test_without_a_recipe_it_is_what_it_was(x):
    plain, said = (Autoencoder(network, epochs=2, random_state=0).fit(x) for network in (None, Dense()))
    np.testing.assert_array_equal(plain.reconstruct(x), said.reconstruct(x), strict=True)
    assert plain.network_.part == Dense()


@pytest.mark.parametrize("network", [Dense((8,), 3), Conv((3,), image_shape=(1, 4, 4)), Dictionary(n_atoms=5)])
def test_one_that_is_said_is_kept(network, x):
    assert lazy(network=network).fit(x).network_.part == network


def test_few_samples_are_learned_as_well_as_by_pca():
    """With a rectified code, which holds no PCA of as many numbers, the error was 1.8 to 2 times PCA's."""
    train, test = DIGITS[:100], DIGITS[1000:]
    pca = PCA(32).fit(train)
    of_pca = np.square(pca.inverse_transform(pca.transform(test)) - test).mean()
    model = Autoencoder(recipe="fast", random_state=0).fit(train)
    assert model.training_.start == "pca"
    assert -model.score(test) < 1.02 * of_pca
    assert model.code_["dead_units"] == 0
    assert collapse(model, train) is None


def test_the_network_is_said_where_nobody_chose_it(x, capsys):
    lazy(verbose=1).fit(x)
    lazy(verbose=1, network=LINEAR).fit(x)
    unsaid, said = (line for line in capsys.readouterr().out.splitlines() if line.startswith("recipe"))
    assert unsaid == said.replace(": ", f": {LINEAR!r}, ", 1)


def test_a_field_of_it_can_be_set(x):
    model = lazy().set_params(network__bottleneck=4)
    assert model.network == Dense(bottleneck=4, code_activation="linear")
    assert Autoencoder().set_params(network__bottleneck=4).network == Dense(bottleneck=4)
    prior = DecoderPrior(lazy()).set_params(autoencoder__network__bottleneck=4).fit(x)
    assert prior.autoencoder_.network_.part == model.network


def test_a_study_that_says_none_has_the_same(x):
    head = 'title = "t"\nquestion = "q"\nseed = 0\n[data]\nname = "digits"\n'
    model = '[[model]]\nname = "lazy"\nestimator = "autoencoder"\nepochs = 2\n'
    more = {"": Dense(), 'recipe = "fast"\n': LINEAR}
    more['recipe = "fast"\npenalty = {kind = "kl", weight = 1e-3}\n'] = WANTED["kl"][1]
    more['recipe = "fast"\nloss = "bce"\n'] = WANTED["cross-entropy"][1]
    for words, network in more.items():
        (read,) = parse_study(head + model + words, "s", "s.toml").models
        assert read.network == network
    with pytest.raises(RequestError, match='"kl" needs codes between 0 and 1'):
        parse_study(head + model + 'penalty = {kind = "kl", weight = 1e-3}\n', "s", "s.toml")


# --- and that it stays the same ---


def test_a_saved_model_names_it(x, tmp_path):
    model = lazy().fit(x)
    model.save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / CONFIG).read_text())["parameters"]["network"] == LINEAR.table()
    loaded = isthmus.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x), strict=True)
    assert loaded.network_.part == LINEAR
    np.testing.assert_array_equal(clone(loaded).fit(x).transform(x), model.transform(x), strict=True)


@pytest.mark.parametrize("recipe", [None, "fast"])
@pytest.mark.parametrize("wrap", [lambda model: model, DecoderPrior], ids=["autoencoder", "prior"])
def test_a_model_that_an_older_isthmus_wrote_without_one_is_the_dense_that_it_was(recipe, wrap, tmp_path):
    x = DIGITS[:50]

    def as_it_was_written(config):
        parameters = (config if wrap is not DecoderPrior else config["fitted"]["autoencoder"])["parameters"]
        assert parameters["network"] == Dense().table()
        parameters["network"] = None

    model = wrap(lazy(network=Dense(), recipe=recipe)).fit(x)
    model.save(tmp_path / "m")
    rewritten(tmp_path / "m", as_it_was_written)
    loaded = isthmus.load(tmp_path / "m")
    code = loaded.transform(x)
    np.testing.assert_array_equal(code, model.transform(x), strict=True)
    assert code.min() >= 0, "rectified"
    loaded.save(tmp_path / "again")
    np.testing.assert_array_equal(isthmus.load(tmp_path / "again").transform(x), code, strict=True)


def test_what_is_said_after_the_fit_changes_nothing_about_what_was_fitted(tmp_path):
    x = DIGITS[:50]
    model = lazy().fit(x)
    x_hat = model.reconstruct(x)
    model.set_params(recipe=None, penalty=L1(1e-3))
    assert model.part("network") == Dense()
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(isthmus.load(tmp_path / "m").reconstruct(x), x_hat, strict=True)
    assert DecoderPrior().of(model)._lower() is None, "a linear code has signs"


@pytest.mark.parametrize("going_on", ["fit", "partial_fit"])
def test_a_warm_start_goes_on_with_the_network_that_was_fitted(going_on, x):
    model = lazy(warm_start=True).fit(x)
    model.set_params(penalty=L1(1e-3, warmup=1), recipe=None)
    with pytest.warns(UserWarning, match='never exactly zero, because its activation is "linear"'):
        getattr(model, going_on)(x)
    assert model.network_.part == LINEAR
    assert model.network is None
    model.set_params(penalty=KL(1e-3), recipe="fast")
    x_hat = model.reconstruct(x)
    with pytest.raises(RequestError, match='"kl" needs codes between 0 and 1'):
        getattr(model, going_on)(x)
    np.testing.assert_array_equal(model.reconstruct(x), x_hat, strict=True)
    assert model.set_params(warm_start=False).fit(x).network_.part == WANTED["kl"][1], "and a new fit chooses anew"


def test_a_checkpoint_is_of_the_network_that_was_meant(x, tmp_path):
    whole = lazy(epochs=3).fit(x)

    def stopped():
        rows = lazy(epochs=3).fit_epochs(x, checkpoint=Checkpoints(tmp_path / "kept", every=0))
        next(rows)
        next(rows)
        rows.close()

    stopped()
    with pytest.raises(OtherTrainingError, match="network"):
        lazy(epochs=3, network=Dense()).fit(x, checkpoint=tmp_path / "kept")
    resumed = lazy(epochs=3, network=LINEAR).fit(x, checkpoint=tmp_path / "kept")
    assert len(resumed.history_) == len(whole.history_)
    np.testing.assert_array_equal(resumed.transform(x), whole.transform(x), strict=True)


@pytest.fixture(scope="module")
def textures():
    """Images of 144 independent numbers: as many of them as a code leaves out are lost."""
    return np.random.default_rng(0).normal(0.5, 0.2, (200, 12, 12)).astype(np.float32)


def left(model, x, sigma):
    """The error that a denoiser leaves, as a share of the noise's."""
    noisy = x + sigma * np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    return np.square(model.reconstruct(noisy).reshape(x.shape) - x).mean() / sigma**2


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_a_denoiser_of_a_recipe_is_wide_enough_to_denoise(sigma, textures):
    model = Autoencoder(corruption=GaussianNoise(sigma), recipe="fast", epochs=3, random_state=0).fit(textures[:150])
    assert left(model, textures[150:], sigma) < 1
    assert model.network_.code_size > 144


@pytest.mark.parametrize("shape", [(2, 3), (30, 1), (12, 300)])
def test_a_denoiser_of_a_recipe_takes_few_samples_and_few_numbers(shape):
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    model = Autoencoder(corruption=GaussianNoise(0.1), recipe="fast", epochs=2, random_state=0).fit(x)
    assert np.isfinite(model.reconstruct(x)).all()


def test_a_denoiser_worse_than_the_noise_is_told_so_with_the_way_out(textures):
    network, wide = (Dense(bottleneck=k, code_activation="linear") for k in (18, 144))
    corruption = GaussianNoise(0.05)
    arguments = {"recipe": "fast", "epochs": 3, "random_state": 0}
    with pytest.warns(DoubtWarning, match="on the validation samples, and the noise itself is") as warned:
        Autoencoder(network, corruption=corruption, **arguments).fit(textures)
    (warning,) = warned
    assert warning.filename == __file__
    numbers = re.search(r"an error of (\S+) .* noise itself is ([\d.]+)", str(warning.message))
    assert float(numbers[1]) == pytest.approx(0.04, rel=0.2), "nearly all of the variance"
    assert float(numbers[2]) == pytest.approx(0.05**2, rel=0.1)
    assert str(warning.message).endswith(f"the way out is {wide!r}")
    Autoencoder(wide, corruption=corruption, **arguments).fit(textures)  # without a warning, which would be an error
