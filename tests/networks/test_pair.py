"""An encoder and a decoder of one's own, by `Module(build)`."""

import pickle
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

from isthmus import BCE, Autoencoder, DecoderPrior, Dense, Gaussian, Module, load
from isthmus.cli import run_command
from isthmus.errors import DataError, DivergedError, RequestError
from isthmus.fingerprints import source_fingerprint
from isthmus.networks import build as build_network
from isthmus.persistence import read_config
from isthmus.studies.results.results_json import read_results
from isthmus.training.checkpoint import Checkpoints

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def build(shape, width=4, p=0.1):
    """With batch normalization, dropout, and a buffer."""
    n = int(np.prod(shape))
    down = nn.Sequential(
        nn.Flatten(), nn.Linear(n, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(p), nn.Linear(16, width)
    )
    return down, nn.Sequential(nn.Linear(width, n), nn.Unflatten(1, tuple(shape)))


def narrower(shape, width):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, width)), build(shape, width)[1]


def encodes_two(shape):
    return build(shape, 8)[0], build(shape)[1]


def without_a_norm(shape):
    return nn.Linear(shape[0], 8), nn.Linear(4, shape[0])


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return (rng.random((200, 3)) @ rng.random((3, 16)) / 3).astype(np.float32)


@pytest.fixture
def images(x):
    return x.reshape(-1, 1, 4, 4)


def model(part=None, **changes):
    given = {"epochs": 4, "batch_size": 32, "learning_rate": 0.02, "random_state": 0}
    return Autoencoder(part or Module(build), **{**given, **changes})


def state(fitted):
    return fitted.network_.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_it_learns_from_the_models_own_seed_and_touches_no_global_generator(images, global_generators):
    before = global_generators()
    fitted, again, other = (model(random_state=seed, epochs=8).fit(images) for seed in (0, 0, 1))
    assert global_generators() == before
    assert same(state(fitted), state(again))
    assert not same(state(fitted), state(other))
    assert fitted.history_.losses[-1] < 0.5 * fitted.history_.losses[0]
    assert fitted.transform(images).shape == (200, 4)
    assert fitted.reconstruct(images).shape == images.shape
    assert fitted.n_parameters_ == 17 * 16 + 32 + 17 * 4 + 5 * 16
    assert fitted.network_.multiplications == 16 * 16 + 16 * 4 + 4 * 16
    np.testing.assert_array_equal(fitted.reconstruct(images), fitted.reconstruct(images))  # no dropout at inference
    np.testing.assert_allclose(fitted.reconstruct(images[:3]), fitted.reconstruct(images)[:3], rtol=1e-4, atol=1e-6)
    assert int(state(fitted)["encoder.2.num_batches_tracked"]) == 8 * 7
    quiet = model(Module(build, {"p": 0.0}), epochs=8).fit(images)
    assert not same(state(fitted), state(quiet)), "dropout draws"
    double = fitted.transform(images.astype(np.float64))
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, fitted.transform(images), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("part", "given"),
    [
        (Module(build), {}),
        (Module(build), {"standardize": True, "precision": "bfloat16"}),
        (Module(encodes_two), {"code": Gaussian()}),
        (Module(build, output="sigmoid"), {"loss": "bce", "validation_fraction": 0.2, "patience": 2}),
    ],
    ids=str,
)
def test_saved_is_loaded_and_resumed_is_uninterrupted_bit_for_bit(part, given, images, tmp_path):
    whole = model(part, **given).fit(images)
    with closing(model(part, **given).fit_epochs(images, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        next(rows), next(rows)
    assert same(state(model(part, **given).fit(images, checkpoint=tmp_path / "c")), state(whole))
    whole.save(tmp_path / "m")
    again = load(tmp_path / "m", build=part.build)
    assert again.network == part
    assert same(state(again), state(whole))
    np.testing.assert_array_equal(again.reconstruct(images), whole.reconstruct(images))
    gone_on, once_more = (fitted.set_params(warm_start=True).fit(images) for fitted in (again, whole))
    assert same(state(gone_on), state(once_more))


def test_rows_have_the_shape_of_their_numbers(x):
    fitted = model(Module(without_a_norm), code=Gaussian()).fit(x)
    assert fitted.transform(x).shape == (200, 4)
    assert fitted.sample(3, random_state=0).shape == (3, 16)


def test_a_grid_search_reaches_into_its_parameters(images):
    search = GridSearchCV(model(Module(build, {"width": 2})), {"network__params__width": [1, 3]}, cv=2).fit(images)
    assert search.best_params_ == {"network__params__width": 3}
    one = clone(model(Module(build, {"width": 2})))
    assert one.get_params()["network__params__width"] == 2
    assert one.set_params(network__params__p=0.5, network__params__width=5).network == Module(
        build, {"width": 5, "p": 0.5}
    )
    assert one.set_params(network__params={"width": 1}).network == Module(build, {"width": 1})
    assert repr(one.network) == "Module(build, params={'width': 1})"
    assert pickle.loads(pickle.dumps(one.network)) == one.network
    with pytest.raises(ValueError, match="parameter of network"):
        one.set_params(network__width=3)


def test_the_folder_has_the_name_of_the_function_and_no_code(images, tmp_path):
    model(Module(build, {"width": np.int64(3)})).fit(images).save(tmp_path / "m")
    config = (tmp_path / "m" / "config.json").read_text()
    assert f'"build": "{__name__}:build"' in config
    assert {path.suffix for path in (tmp_path / "m").iterdir()} == {".json", ".jsonl", ".safetensors"}
    with pytest.raises(RequestError, match=rf"that {__name__}:build built, and no code: .*load\(.*, build=\.\.\.\)"):
        load(tmp_path / "m")
    words = r"has other weights than build makes: .*weight as F32 of shape \(16, 16\), expected F32 of shape \(8, 16\)"
    with pytest.raises(DataError, match=words):
        load(tmp_path / "m", build=narrower)
    Autoencoder(Dense(), epochs=1).fit(images).save(tmp_path / "dense")
    with pytest.raises(RequestError, match=r"build is for a model of Module, and .*dense holds another"):
        load(tmp_path / "dense", build=build)
    prior = DecoderPrior(model(), random_state=0).fit(images)
    prior.save(tmp_path / "prior")
    found = load(tmp_path / "prior", build=build)
    np.testing.assert_array_equal(found.transform(images[:5]), prior.transform(images[:5]))


def test_a_checkpoint_of_another_function_is_another_training(images, tmp_path, capsys):
    with closing(model().fit_epochs(images, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        next(rows)
    with pytest.raises(RequestError, match="network"):
        model(Module(build, {"width": 3})).fit(images, checkpoint=tmp_path / "c")


def _stateful(shape, made=[]):  # noqa: B006
    made.append(0)
    return build(shape, len(made))


def _shared(shape, pair=[]):  # noqa: B006
    if not pair:
        pair.extend(build(shape))
    return pair


def _drawn_elsewhere(shape):
    pair = build(shape)
    pair[1][0].bias.data[:] = torch.from_numpy(np.random.default_rng().random(16))
    return pair


class NotANumber(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x.flatten(1)[:, :2] + torch.sqrt(self.weight * 0)  # of which the gradient at 0 is no number


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda shape: nn.Linear(16, 2), "must return an encoder and a decoder, two torch modules, got Linear"),
        (lambda shape: (nn.Linear(16, 2), "x"), r"two torch modules, got \['Linear', 'str'\]"),
        (
            lambda shape: (nn.Flatten(), nn.Linear(16, 15)),
            r"decoder of .* must give \(n, 1, 4, 4\) for .*, got \(n, 15\)",
        ),
        (lambda shape: (nn.Linear(7, 2), nn.Linear(2, 16)), "encoder of .* cannot take .*shapes cannot be multiplied"),
        (lambda shape: (nn.Flatten(0), nn.Linear(2, 16)), r"encoder of .* must give \(n, \.\.\.\)"),
        (
            lambda shape: (nn.LSTM(4, 4), nn.Linear(2, 16)),
            "encoder of .* (must give a tensor, got a tuple|cannot take)",
        ),
        (lambda shape: (nn.Flatten(), nn.Unflatten(1, (1, 4, 4))), "builds modules without weights to train"),
        (lambda shape: (nn.Flatten(), nn.Linear(16, 16, device="meta")), "on the CPU, from where a model moves it"),
        (lambda shape: tuple(m.double() for m in build(shape)), "cannot take|float32"),
        (
            lambda shape, width: build(shape, width),
            "cannot be called with the shape and {}: missing a required argument",
        ),
        (lambda shape: 1 / 0, "failed for .*ZeroDivisionError: division by zero"),
        (_stateful, r"builds other modules when it is called again \(encoder\..*, then .*let it keep no state"),
        (_shared, "returned a module that it had returned before; it must build new ones at each call"),
        (_drawn_elsewhere, r"builds other modules when .*let it keep no state, and draw weights by torch alone"),
    ],
    ids=range(14),
)
def test_what_is_no_pair_of_modules_is_refused_in_one_line(wrong, words, images):
    fitted = model().fit(images)
    fitted.set_params(network=Module(wrong))
    with pytest.raises(RequestError, match=words) as caught:
        fitted.fit(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"build": None}, "build must be a function that returns an encoder and a decoder, got None"),
        ({"build": build, "params": 3}, "params must be a table of what build is called with, got 3"),
        ({"build": build, "params": {"norm": nn.ReLU}}, r"params\['norm'\] must be a number, text, true"),
        ({"build": build, "params": {"width": float("nan")}}, r"params\['width'\] must be a number"),
        ({"build": build, "output": "relu"}, 'unknown output "relu"; known: linear, sigmoid'),
    ],
)
def test_wrong_arguments_are_refused(given, words):
    with pytest.raises(RequestError, match=words):
        Module(**given)


def test_a_name_is_not_imported_unasked_and_an_odd_code_is_refused(images):
    with pytest.raises(RequestError, match="importing it runs code: pass the function, or --allow-imports"):
        model(Module(f"{__name__}:build")).fit(images)
    with pytest.raises(RequestError, match=r"the encoder of .* must give \(n, 2 \* k, \.\.\.\)"):
        model(Module(build, {"width": 3}), code=Gaussian()).fit(images)
    with pytest.raises(RequestError, match='loss "bce" needs output="sigmoid"'):
        model(loss=BCE()).fit(images)


def test_gradients_that_are_no_numbers_are_told_and_what_cannot_be_pickled_is_fitted(images):
    with pytest.raises(DivergedError, match="diverged"):
        model(Module(lambda shape: (NotANumber(), nn.Linear(2, 16)))).fit(images)
    fitted = model(Module(partial(build, width=3))).fit(images)
    assert fitted.transform(images).shape == (200, 3)


class Builder:
    """A callable object, which has no name of its own."""

    def __call__(self, shape):
        return build(shape, 3)


def test_a_partial_is_its_function_and_params_and_no_name_is_an_address(images, tmp_path):
    network = Module(partial(build, width=3))
    assert network == Module(build, {"width": 3})
    assert Module(partial(partial(build, width=3), width=4)) == Module(build, {"width": 4})
    assert Module(partial(build, width=3), {"width": 5}).params == {"width": 5}
    with pytest.raises(RequestError, match=r"params\['norm'\] must be a number, text, true"):
        Module(partial(build, norm=nn.ReLU))
    fitted = model(network).fit(images)
    fitted.save(tmp_path / "m")
    assert read_config(tmp_path / "m")["parameters"]["network"]["build"] == f"{__name__}:build"
    np.testing.assert_array_equal(load(tmp_path / "m", build=build).transform(images), fitted.transform(images))
    assert fitted.set_params(network__params__width=2).fit(images).transform(images).shape == (200, 2)
    model(Module(Builder())).fit(images).save(tmp_path / "m")
    assert read_config(tmp_path / "m")["parameters"]["network"]["build"] == f"{__name__}:Builder"
    assert load(tmp_path / "m", build=Builder()).transform(images).shape == (200, 3)
    assert source_fingerprint(Builder()) == source_fingerprint(partial(build, width=1)) == source_fingerprint(build)


def test_lazy_layers_tied_weights_and_maps_are_modules_too(images):
    def maps(shape):
        down = nn.LazyConv2d(6, 2, 2)
        return down, nn.Sequential(nn.ConvTranspose2d(3, 1, 2, 2))

    network = build_network(Module(maps), 16, torch.Generator(), (1, 4, 4), 2)
    assert (network.code_size, network.code_shape) == (12, (3, 2, 2))
    assert model(Module(maps), code=Gaussian()).fit(images).transform(images).shape == (200, 12)

    def tied(shape):
        encoder, decoder = nn.Linear(16, 4), nn.Linear(4, 16)
        encoder.weight = nn.Parameter(decoder.weight.t())
        decoder.weight.requires_grad_(False)
        return nn.Sequential(nn.Flatten(), encoder), decoder

    assert model(Module(tied)).fit(images).history_.losses[-1] < 1


STUDY = """title = "own"
[data]
name = "digits"
train = 60
test = 30
[[model]]
name = "a"
estimator = "autoencoder"
network = {kind = "module", build = "study_modules:build", params = {width = 3}}
epochs = 2
"""


def test_a_study_names_a_function_and_imports_it_only_if_that_is_allowed(tmp_path, monkeypatch, capsys):
    (tmp_path / "study_modules.py").write_text(
        "from torch import nn\n\ndef build(shape, width):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width)), nn.Linear(width, 64)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("isthmus.kinds._imports_are_allowed", False)
    Path("own.toml").write_text(STUDY)
    assert run_command(["run", "own.toml"]) == 2
    assert 'own.toml, model "a", network: study_modules:build is a name, and importing it' in capsys.readouterr().err
    assert run_command(["run", "own.toml", "--threads", "1", "--allow-imports"]) == 0
    capsys.readouterr()
    Path("own.toml").write_text(STUDY + '[[measure]]\nmetrics = ["ssim"]\n')
    assert run_command(["run", "own.toml", "--threads", "1", "--allow-imports"]) == 0, "it is loaded, and measured more"
    rows = read_results(tmp_path / "runs" / "own").rows
    assert "ssim" in {row.metric for row in rows}
    assert {row.value for row in rows if row.metric == "code_size"} == {3}
    Path("own.toml").write_text(STUDY.replace("study_modules:build", "study_modules:bild"))
    assert run_command(["run", "own.toml", "--allow-imports"]) == 2
    assert "cannot import study_modules:bild" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "params"), [("module_resnet", {"width": 4}), ("module_vit", {"width": 8, "depth": 1})]
)
def test_the_examples_learn(name, params, images, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    make = __import__(name).build
    x = np.tile(images[:100], (1, 1, 2, 2))
    fitted = model(Module(make, {**params, "code": 4}), epochs=6).fit(x)
    assert fitted.history_.losses[-1] < 0.6 * fitted.history_.losses[0]
    assert fitted.reconstruct(x).shape == x.shape
    variational = model(Module(make, {**params, "code": 4, "encoded": 2}), code=Gaussian()).fit(x)
    assert variational.transform(x).shape == (100, 4)
