"""The seam of-codes: what lies between encoder and decoder, for every network, also where the two differ in width."""

from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from isthmus import (
    L1,
    Autoencoder,
    Conv,
    DecoderPrior,
    Dense,
    Dictionary,
    Plain,
    collapse,
    kinds,
    load,
    networks,
)
from isthmus.cli import run_command
from isthmus.codes import Code, Coded, Term, build, register
from isthmus.errors import DataError, RequestError
from isthmus.networks import Network, Output
from isthmus.networks.accelerators import PASSES, training_pass
from isthmus.parts import CodePart, NetworkPart
from isthmus.studies.results.results_json import read_results
from isthmus.training import replay
from isthmus.training.checkpoint import Checkpoints

SHAPE = (1, 8, 8)
NETWORKS = {
    "dense": Dense((20,), 5, code_activation="linear", output="sigmoid"),
    "dictionary": Dictionary(n_atoms=7, code_activation="linear"),
    "conv": Conv((3, 4), code_activation="linear", image_shape=SHAPE),
}


every_network = pytest.mark.parametrize("name", NETWORKS)


@dataclass(frozen=True, repr=False)
class Normal(CodePart):
    """A mean and the logarithm of a variance; the decoder sees a sample in training and the mean at inference."""

    kind: ClassVar[str] = "normal"
    encoded: ClassVar[int] = 2
    beta: float = 1e-3

    def contradiction(self, code_activation):
        return None if code_activation == "linear" else f'code "normal" needs a linear code, got "{code_activation}"'


class NormalCode(Code):
    """Its state: how many samples it has seen, their mean, and a scale that is trained."""

    def __init__(self, part, code_size, generator):
        super().__init__()
        self.part, self.scale = part, nn.Linear(code_size, code_size)
        self.register_buffer("n_seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("nats", torch.zeros(code_size))

    def at_inference(self, z):
        return self.scale(z.chunk(2, dim=1)[0])

    def in_training(self, z, generator):
        mean, log_variance = self.at_inference(z), z.chunk(2, dim=1)[1]
        noise = torch.randn(mean.shape, generator=generator, device=z.device, dtype=z.dtype)
        nats = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        self.nats.copy_(nats.detach().mean(dim=0))
        self.n_seen += len(z)
        return Coded(mean, mean + (0.5 * log_variance).exp() * noise, {"kl": Term(nats, self.part.beta, warmup=2)})

    def collapse(self):
        if bool((self.nats > 0.01).any()):
            return None
        return "its code says nothing of the image", "its term costs more than a better image gains", "lower its weight"


@pytest.fixture(autouse=True)
def normal():
    register(Normal, NormalCode)
    yield
    kinds.unregister("code", Normal)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return (rng.random((200, 3)) @ rng.random((3, 64)) / 3).astype(np.float32)


def model(name="dense", **changes):
    given = {"code": Normal(), "epochs": 4, "batch_size": 32, "learning_rate": 0.01, "random_state": 0}
    given |= changes
    return Autoencoder(NETWORKS[name], **given)


def state(fitted):
    return fitted.network_.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@every_network
def test_a_plain_code_changes_no_bit_and_the_accelerators_stay(name, x, tmp_path):
    unsaid, plain = model(name, code=None).fit(x), model(name, code=Plain()).fit(x)
    assert same(state(unsaid), state(plain))
    assert type(training_pass(plain.network_)) in PASSES.values()
    assert type(training_pass(model(name, epochs=1).fit(x).network_)) is type(training_pass(plain.network_))
    alone = networks.build(NETWORKS[name], 64, torch.Generator().manual_seed(0), SHAPE)
    both = build(NETWORKS[name], Plain(), 64, torch.Generator().manual_seed(0), SHAPE)
    assert same(alone.state_dict(), both.state_dict())
    plain.save(tmp_path / "m")
    assert '"code": null' in (tmp_path / "m" / "config.json").read_text()
    assert load(tmp_path / "m").code is None


@every_network
@pytest.mark.filterwarnings("ignore:L1 makes this code small")
@pytest.mark.parametrize("given", [{}, {"standardize": True, "start": "data"}, {"penalty": L1(1e-4)}], ids=str)
def test_a_code_of_another_width_is_trained_and_transform_gives_what_inference_gives(name, given, x):
    fitted, again, other = (model(name, **{**given, **seed}).fit(x) for seed in ({}, {}, {"random_state": 1}))
    assert same(state(fitted), state(again))
    assert not same(state(fitted), state(other))
    assert fitted.history_.losses[-1] < 0.8 * fitted.history_.losses[0]
    assert [*fitted.history_[-1].terms] == ["kl"]
    network, code = fitted.network_, fitted.transform(x)
    with torch.no_grad():
        z = network.encode(torch.from_numpy(x))
        mean = network.code.scale(z[:, : z.shape[1] // 2])
    assert z.shape[1] == 2 * network.code_size == 2 * code.shape[1]
    np.testing.assert_array_equal(code, mean.numpy())
    np.testing.assert_allclose(fitted.reconstruct(x), fitted.inverse_transform(code), rtol=1e-4, atol=1e-5)
    assert int(network.code.n_seen) == 4 * len(x)


@every_network
def test_it_is_counted_without_being_built(name):
    part, code = NETWORKS[name], Normal()
    network = build(part, code, 64, torch.Generator().manual_seed(0), SHAPE)
    assert code.n_weights(part, 64, SHAPE) == sum(tensor.numel() for tensor in network.state_dict().values())
    plain = Plain().multiplications(part, 64, SHAPE)
    assert plain == part.multiplications(64, SHAPE)
    assert code.multiplications(part, 64, SHAPE) == network.multiplications > plain


@every_network
def test_saved_and_loaded_resumed_and_gone_on_to_the_same_bits(name, x, tmp_path):
    whole = model(name).fit(x)
    with closing(model(name).fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        for row in rows:
            if row.epoch == 3:
                break
    resumed = model(name).fit(x, checkpoint=tmp_path / "c")
    assert same(state(resumed), state(whole))
    assert [row.terms for row in resumed.history_] == [row.terms for row in whole.history_]
    whole.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.code == Normal()
    assert same(state(again), state(whole))
    np.testing.assert_array_equal(again.transform(x), whole.transform(x))
    np.testing.assert_array_equal(again.reconstruct(x), whole.reconstruct(x))
    gone_on, once_more = (one.set_params(warm_start=True).fit(x) for one in (again, whole))
    assert same(state(gone_on), state(once_more))
    assert int(gone_on.network_.code.n_seen) == 8 * len(x)
    np.testing.assert_allclose(again.transform(x.astype(np.float64)), again.transform(x), rtol=1e-3, atol=1e-4)


class Forgetful(NormalCode):
    """Some numbers are lost in training, by a module that draws from torch's own generator."""

    def in_training(self, z, generator):
        code, seen, terms = super().in_training(z, generator)
        return Coded(code, torch.nn.functional.dropout(seen, 0.5), terms)


@every_network
def test_what_a_code_draws_from_torchs_own_generator_is_the_fits_too(name, x):
    kinds.unregister("code", Normal)
    register(Normal, Forgetful)
    states = []
    for own in (1, 2):
        torch.manual_seed(own)
        states.append(state(model(name).fit(x)))
        assert torch.initial_seed() == own
    assert same(*states)


def test_what_was_trained_is_saved_whatever_the_argument_says_by_now(x, tmp_path):
    fitted = model().fit(x)
    fitted.set_params(code=None).save(tmp_path / "m")
    assert load(tmp_path / "m").code == Normal()
    with pytest.raises(RequestError, match="go on with the network that was fitted"):
        fitted.set_params(warm_start=True).fit(x)
    assert model().set_params(code__beta=0.5).code == Normal(0.5)


def test_a_code_that_is_not_registered_is_named(x, tmp_path):
    model(epochs=1).fit(x).save(tmp_path / "m")
    kinds.unregister("code", Normal)
    with pytest.raises(DataError, match='unknown kind "normal"; known: gaussian, plain, quantized'):
        load(tmp_path / "m")
    register(Normal, NormalCode)


def test_it_is_part_of_the_facts_and_of_the_recipe(x):
    fast = model(recipe="fast", epochs=2, batch_size=None, learning_rate=None)
    assert fast.fit(x).training_.start == "data"
    assert fast.set_params(code=None, network__output="linear", network__hidden=()).fit(x).training_.start == "pca"
    with pytest.raises(RequestError, match=r'start="pca" needs .* with Normal\(\)'):
        model(start="pca").set_params(network=Dense(bottleneck=5, code_activation="linear")).fit(x)


def test_its_codes_can_be_searched_and_its_collapse_is_told(x):
    prior = DecoderPrior(model(), random_state=0).fit(x)
    own = prior.autoencoder_.reconstruct(x[:20])
    found = prior.inverse_transform(prior.transform(x[:20]))
    assert ((found - x[:20]) ** 2).mean() <= ((own - x[:20]) ** 2).mean()
    fitted = prior.autoencoder_
    told = "its code says nothing of the image"
    assert getattr(collapse.collapse(fitted, x), "what", None) != told
    fitted.network_.code.nats.zero_()
    assert collapse.collapse(fitted, x).what == told


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_products_in_bfloat16_train_it_too(precision, x):
    fitted = model(precision=precision, loss="bce").fit(x)
    assert fitted.history_.losses[-1] < fitted.history_.losses[0]


class Pair(nn.Module):
    """Somebody's encoder with two heads, and a decoder."""

    def __init__(self, n_features, width):
        super().__init__()
        self.mean, self.variance = nn.Linear(n_features, width), nn.Linear(n_features, width)
        self.up = nn.Linear(width, n_features)

    def encode(self, x):
        return torch.cat([self.mean(x), self.variance(x)], dim=1)

    def decode(self, code):
        return self.up(code)


class Own(Network):
    """Its forward passes codes by."""

    def __init__(self, part, n_features, generator, image_shape, encoded=1):
        super().__init__()
        self.n_features, self.code_size, self.both = n_features, 3, nn.Linear(n_features, 3)

    def encode(self, x):
        return self.both(x)

    def decode(self, code):
        return code @ self.both.weight

    def forward(self, x, *, logits=False, generator=None):
        return Output(self.decode(self.encode(x)), self.encode(x))


@dataclass(frozen=True, repr=False)
class PairPart(NetworkPart):
    kind: ClassVar[str] = "pair"
    output: ClassVar[str] = "linear"


@pytest.fixture
def pair():
    yield lambda make: networks.register(PairPart, make)
    kinds.unregister("network", PairPart)


def test_a_module_and_a_code_from_outside_go_together(pair, x, tmp_path):
    pair(lambda part, n_features, generator, image_shape: Pair(n_features, 4))
    fitted = model().set_params(network=PairPart()).fit(x)
    assert fitted.transform(x).shape == (200, 4)
    assert fitted.history_.losses[-1] < 0.8 * fitted.history_.losses[0]
    study = tmp_path / "coded.toml"
    study.write_text(
        'title = "coded"\n[data]\nname = "digits"\ntrain = 60\ntest = 30\n[[model]]\nname = "a"\n'
        'estimator = "autoencoder"\nnetwork = {kind = "pair"}\ncode = {kind = "normal"}\nepochs = 2\n'
        '[[model]]\nname = "of-codes"\nestimator = "pca"\nof = "a"\nn_components = 2\n'
        '[[figure]]\nname = "codes"\nkind = "scatter"\nmodels = ["a"]\n'
    )
    assert run_command(["run", str(study), "--out", str(tmp_path / "runs"), "--threads", "1"]) == 0
    results = read_results(tmp_path / "runs" / "coded")
    sizes = {row.model: row.value for row in results.rows if row.metric == "code_size"}
    assert sizes == {"a": 4, "of-codes": 2}


@pytest.mark.parametrize(("epochs", "made"), [(2, 0), (4, 1)])
def test_steps_are_recorded_for_replay_once_no_weight_grows_any_more(epochs, made, x, monkeypatch):
    recordings = []

    class Rerun:
        def __init__(self, call, generators):
            recordings.append(call)

        def replay(self):
            recordings[0]()

    as_they_come = model(epochs=epochs).fit(x)
    monkeypatch.setitem(replay.RECORDERS, "cpu", Rerun)
    replayed = model(epochs=epochs).fit(x)
    assert len(recordings) == made, "the term's warm-up is two epochs"
    np.testing.assert_allclose(replayed.history_.losses, as_they_come.history_.losses, rtol=1e-4)
    terms = ([row.terms["kl"] for row in one.history_] for one in (replayed, as_they_come))
    np.testing.assert_allclose(*terms, rtol=1e-3)


def test_what_does_not_go_together_is_refused(pair, x):
    pair(Own)
    with pytest.raises(RequestError, match="has a forward of its own, so it takes no code, got Normal"):
        model().set_params(network=PairPart()).fit(x)
    with pytest.raises(RequestError, match="unpools by its encoder's places"):
        model("conv").set_params(network__decoder="unpool").fit(x)
    with pytest.raises(RequestError, match=r'code "normal" needs a linear code, got "relu" in Dense\(\)'):
        model().set_params(network=Dense()).fit(x)
    with pytest.raises(
        RequestError, match="code must be one of isthmus' parts Plain, Gaussian, Quantized, Normal, got 'plain'"
    ):
        model(code="plain").fit(x)
