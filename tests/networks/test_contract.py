"""The contract of networks: each accelerator and each count against the default, which is autograd and a dry run."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from isthmus.data.batches import Pixels
from isthmus.networks import Gradients, Network, Output, Term, build
from isthmus.networks.accelerators import DECODERS, PASSES, decoder_of, training_pass
from isthmus.networks.counting import Products, count_multiplications
from isthmus.networks.decoders import Decoder
from isthmus.networks.dense import DenseNetwork
from isthmus.networks.standardization import standardization_of
from isthmus.objective import Objective
from isthmus.parts import DECODERS as UNPOOLINGS
from isthmus.parts import L1, MSE, NETWORKS, Conv, Dense, Dictionary, Module

pytestmark = pytest.mark.usefixtures("small_products_in_bfloat16")

SHAPE, N = (1, 11, 10), 6
PARTS = {
    "one layer": Dense(bottleneck=4),
    "deep": Dense(hidden=(12, 9), bottleneck=4, activation="gelu", output="sigmoid"),
    "asymmetric": Dense(hidden=(8,), bottleneck=3, decoder_hidden=(7, 6), activation="tanh", output="relu"),
    "dictionary": Dictionary(n_atoms=7),
    "deep dictionary": Dictionary(hidden=(8,), n_atoms=9, code_activation="linear", unit_norm=False),
    **{
        f"{decoder}, padding {padding}": Conv(
            (3, 4), padding=padding, decoder=decoder, activation="silu", output=output
        )
        for decoder in UNPOOLINGS
        for padding, output in ((0, "sigmoid"), (1, "linear"))
    },
}
SHAPES = [SHAPE, (2, 12, 10)]  # of one channel, which has an accelerator of its own, and of several
every_part = pytest.mark.parametrize("name", PARTS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def built(name, shape=SHAPE, *, standardize=False):
    """A network in float64, with gradients that nobody wrote, and samples in [0, 1]."""
    part, n_features = PARTS[name], math.prod(shape)
    x = torch.rand((N, n_features), generator=seeded(1), dtype=torch.float64)
    network = build(part, n_features, seeded(), shape)
    if standardize:
        pixels = Pixels(x.float().numpy(), torch.device("cpu"))
        network.standardize(standardization_of(pixels, shape[0], part.output))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    return network.double(), x


def step(network, by, x, dtype, *, penalized, logits=False):
    """x_hat, code and every gradient of one step, whose objective has random gradients at x_hat and at the code."""
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with torch.no_grad():  # as in the loop
        (x_hat, code, _), tapes = by.record(x, dtype, logits=logits)
        assert not x_hat.requires_grad
        assert not code.requires_grad
        at_x_hat, at_code = (torch.randn(y.shape, generator=seeded(2), dtype=y.dtype) for y in (x_hat, code))
        by.backward(tapes, Gradients(at_x_hat, at_code if penalized else None))
    return [x_hat, code, *(parameter.grad.clone() for parameter in network.parameters())]


def test_every_kind_of_network_is_held_against_the_default():
    assert {type(part) for part in PARTS.values()} | {Module} == set(NETWORKS.values())
    kinds = {type(built(name)[0]) for name in PARTS}
    assert set(PASSES) <= kinds
    assert set(DECODERS) <= kinds


@every_part
def test_the_part_knows_whether_its_decoder_adds_atoms(name):
    assert PARTS[name].adds_atoms is built(name)[0].is_one_layer("decoder")


@every_part
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("penalized", [False, True])
def test_a_written_out_pass_is_autograds(name, shape, standardize, penalized):
    network, x = built(name, shape, standardize=standardize)
    accelerator = training_pass(network)
    assert accelerator is not network
    logits = {False, PARTS[name].output == "sigmoid" and not standardize}
    for given in logits:
        expected = step(network, network, x, torch.float64, penalized=penalized, logits=given)
        found = step(network, accelerator, x, torch.float64, penalized=penalized, logits=given)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)
        assert max(float(gradient.abs().max()) for gradient in expected[2:]) > 1e-3


@every_part
def test_products_in_bfloat16_are_near_by_default_too(name):
    network, x = built(name)
    network, x = network.float(), x.float()
    expected = step(network, network, x, torch.float32, penalized=True)
    found = step(network, network, x, torch.bfloat16, penalized=True)
    for ours, theirs in zip(found[:2], expected[:2], strict=True):
        assert ours.dtype == torch.float32
        assert 0 < (ours - theirs).norm() < 0.05 * theirs.norm()


@every_part
def test_a_loss_sees_all_digits_of_what_products_in_bfloat16_give(name):
    network, x = built(name, standardize=False)
    network, x = network.float(), x.float()
    with torch.no_grad():
        x_hat = training_pass(network).record(x, torch.bfloat16)[0].x_hat
    assert (x_hat != x_hat.bfloat16()).float().mean() > 0.3, "the last layer's are not rounded"


@every_part
def test_derivatives_of_a_decoder_are_those_by_default(name):
    network, y = built(name, standardize=True)
    code = torch.rand((N, network.code_size), generator=seeded(1), dtype=torch.float64)
    decoder, reference = decoder_of(network, torch.float64), Decoder(network, torch.float64)
    torch.testing.assert_close(decoder.decode(code), network.decode(code).detach())
    torch.testing.assert_close(decoder.gradient(code, y), reference.gradient(code, y))
    torch.testing.assert_close(decoder.normal_equations(code, y), reference.normal_equations(code, y))


@every_part
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_counts_are_those_of_a_dry_run(name, shape):
    network, _ = built(name, shape)
    before = copy.deepcopy(network.state_dict())
    part, n_features = PARTS[name], math.prod(shape)
    assert network.multiplications == part.multiplications(n_features, shape)
    assert count_multiplications(network, n_features) == network.multiplications > 0
    down = sum(p.numel() for p in network.encoder.parameters())
    assert network.n_decoder_weights == sum(p.numel() for p in network.parameters()) - down > 0
    assert part.n_weights(n_features, shape) == sum(p.numel() for p in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items()), "the run was dry"


class Changed(DenseNetwork):
    """A network that computes something else than the one it inherits from."""

    def decode(self, code):
        return 2 * super().decode(code)

    decode_both = Network.decode_both


def test_an_accelerator_is_not_inherited():
    network = Changed(PARTS["one layer"], 90, seeded(), None).double()
    assert training_pass(network) is network
    x = torch.rand((N, 90), generator=seeded(1), dtype=torch.float64)
    gradients = step(network, network, x, torch.float64, penalized=False)[2:]
    x_hat = 2 * network.decoder(network.encoder(x))
    at_x_hat = torch.randn(x_hat.shape, generator=seeded(2), dtype=x_hat.dtype)
    expected = torch.autograd.grad(x_hat, list(network.parameters()), at_x_hat)
    for ours, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


class Partial(Network):
    """Half of it is never used, and some of it is frozen."""

    n_features, code_size = 5, 3

    def __init__(self):
        super().__init__()
        self.down, self.up, self.unused = nn.Linear(5, 3), nn.Linear(3, 5), nn.Linear(2, 2)
        self.up.requires_grad_(False)

    def encode(self, x):
        return self.down(x).tanh()

    def decode(self, code):
        return self.up(code).sigmoid()


@pytest.fixture
def partial():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Partial().double()


def test_the_default_gives_no_gradient_to_what_is_unused_and_leaves_what_is_frozen(partial):
    x = torch.rand((N, 5), generator=seeded(1), dtype=torch.float64)
    step(partial, partial, x, torch.float64, penalized=True)
    assert (partial.unused.weight.grad == 0).all()
    assert partial.up.weight.grad.isnan().all()
    assert (partial.down.weight.grad != 0).all()


def test_by_default_logits_are_what_would_go_into_a_sigmoid(partial):
    x = torch.rand((N, 5), generator=seeded(1), dtype=torch.float64)
    logits, code, _ = partial(x, logits=True)
    torch.testing.assert_close(logits, partial.up(code))
    with torch.no_grad():
        partial.up.bias.fill_(100)
    assert partial(x, logits=True)[0].isfinite().all()


class Sampled(Partial):
    """A code that is sampled in training, and a term of its own."""

    def forward(self, x, *, logits=False, generator=None):
        code = sampled = self.encode(x)
        if generator is not None:
            sampled = code + 0.5 * torch.randn(code.shape, generator=generator, dtype=code.dtype)
        return Output(self.decode(sampled), code, {"size": Term(code.square(), 0.1)})


@pytest.mark.parametrize("penalty", [None, L1(0.1)])
def test_a_networks_own_terms_are_in_the_objective_and_in_its_gradients(penalty):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Sampled().double()
    x, objective = torch.rand((N, 5), generator=seeded(1), dtype=torch.float64), Objective(MSE(2.0), penalty)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with torch.no_grad():
        output, tapes = network.record(x, torch.float64, generator=seeded(4))
        value, at = objective.with_gradients(output.x_hat, output.code, x, terms=output.terms)
        network.backward(tapes, at)
    code = network.encode(x)
    noise = torch.randn(code.shape, generator=seeded(4), dtype=code.dtype)
    x_hat, size = network.decode(code + 0.5 * noise), 0.1 * code.square().sum() / N
    expected = 2 * (x_hat - x).square().mean() + size + (0 if penalty is None else 0.1 * code.abs().sum() / N)
    torch.testing.assert_close(value, expected.detach())
    terms = {"size": Term(code.square(), 0.1)}
    torch.testing.assert_close(objective(x_hat, code, x, terms=terms), expected)
    weights = [network.down.weight, network.down.bias]
    for ours, theirs in zip(weights, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(ours.grad, theirs)


def test_by_default_multiplications_are_counted(partial):
    assert partial.multiplications == 5 * 3 + 3 * 5


def test_products_are_half_of_what_torch_counts():
    """With attention, and gradients."""
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.rand(2, 5, 8)
    with FlopCounterMode(display=False) as counter:
        layer(x).sum().backward()
    with Products() as products:
        layer(x).sum().backward()
    assert products.n == counter.get_total_flops() // 2 > 0
