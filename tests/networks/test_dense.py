"""Dense networks: the published sizes, nn.Linear's own start, the activations where they were asked for."""

import math

import pytest
import torch
from torch import nn

from isthmus.networks import build
from isthmus.networks.dense import linear
from isthmus.parts import ACTIVATIONS, Dense


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def n_parameters(part, n_features=784):
    return sum(p.numel() for p in build(part, n_features, seeded()).parameters())


@pytest.mark.parametrize("k", [2, 32, 64, 256, 1024])
def test_a_single_layer_has_the_published_size(k):
    assert n_parameters(Dense(bottleneck=k)) == 784 * k + k + 784 * k + 784


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Dense(hidden=(512, 256, 128), bottleneck=30, decoder_hidden=(128, 256)), 808_494),
        (Dense(hidden=(256, 64), bottleneck=32, decoder_hidden=(64, 256)), 439_728),
        (Dense(hidden=(64,), bottleneck=8), 102_296),
    ],
    ids=["deep-30", "deep-32", "manifold-8"],
)
def test_deep_networks_have_the_published_sizes(part, expected):
    # 784-512-256-128-30 and 30-128-256-784; 784-256-64-32-64-256-784; 784-64-8-64-784: weights and biases by hand
    assert n_parameters(part) == expected


def test_the_decoder_mirrors_the_encoder_unless_told_otherwise():
    def shapes(part):
        return [tuple(layer.weight.shape) for layer in build(part, 50, seeded()).decoder.layers]

    assert shapes(Dense(hidden=(20, 10), bottleneck=3)) == [(10, 3), (20, 10), (50, 20)]
    assert shapes(Dense(hidden=(20, 10), bottleneck=3, decoder_hidden=(7,))) == [(7, 3), (50, 7)]
    assert shapes(Dense(hidden=(20, 10), bottleneck=3, decoder_hidden=())) == [(50, 3)]


@pytest.mark.parametrize("decoder_hidden", [None, (), (5, 6, 7)])
def test_shapes_and_that_the_output_moves(decoder_hidden):
    network = build(Dense(hidden=(12,), bottleneck=4, decoder_hidden=decoder_hidden, activation="tanh"), 9, seeded())
    x = torch.randn((6, 9), generator=seeded(1))
    x_hat, code, _ = network(x)
    assert x_hat.shape == x.shape
    assert code.shape == (6, 4)
    assert (x_hat.std(dim=0) > 0).all()
    assert torch.equal(network.encode(x), code)
    assert torch.equal(network.decode(code), x_hat), "the decoder reads the code alone"


def test_layers_start_like_nn_linear():
    n_in, n_out = 100, 2000
    ours, bound = linear(n_in, n_out, seeded()), 1 / math.sqrt(n_in)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = nn.Linear(n_in, n_out)
    quantiles = torch.linspace(0, 1, 21)
    for name, tolerance in (("weight", 0.02), ("bias", 0.1)):
        mine, reference = getattr(ours, name).detach(), getattr(theirs, name).detach()
        assert mine.abs().max() <= bound
        # a sample of the weights: torch.quantile takes no more than 16 million
        torch.testing.assert_close(
            mine.flatten()[:100_000].quantile(quantiles) / bound,
            reference.flatten()[:100_000].quantile(quantiles) / bound,
            rtol=0,
            atol=tolerance,
        )


def test_the_start_comes_from_the_generator_alone(global_generators):
    part, state = Dense(hidden=(8,), bottleneck=3), global_generators()
    first = build(part, 10, seeded(5)).state_dict()
    again = build(part, 10, seeded(5)).state_dict()
    other = build(part, 10, seeded(6)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert global_generators() == state


KNOWN = {  # at -1, 0 and 2
    "gelu": (-0.158655, 0.0, 1.954500),
    "leakyrelu": (-0.01, 0.0, 2.0),
    "linear": (-1.0, 0.0, 2.0),
    "relu": (0.0, 0.0, 2.0),
    "sigmoid": (0.268941, 0.5, 0.880797),
    "silu": (-0.268941, 0.0, 1.761594),
    "tanh": (-0.761594, 0.0, 0.964028),
}


def with_identity_weights(part, n):
    """The network of `part`, all of whose layers are n wide and pass on what they get."""
    network = build(part, n, seeded())
    with torch.no_grad():
        for layer in [*network.encoder.layers, *network.decoder.layers]:
            layer.weight.copy_(torch.eye(n))
            layer.bias.zero_()
    return network


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_has_its_known_values_at_each_place(activation):
    x, expected = torch.tensor([[-1.0, 0.0, 2.0]]), torch.tensor([KNOWN[activation]])
    places = {
        "code": Dense(bottleneck=3, activation="linear", code_activation=activation),
        "output": Dense(bottleneck=3, activation="linear", output=activation),
        "hidden": Dense(hidden=(3,), bottleneck=3, decoder_hidden=(), activation=activation, code_activation="linear"),
    }
    for place, part in places.items():
        x_hat, code, _ = with_identity_weights(part, 3)(x)
        torch.testing.assert_close(x_hat, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(code, x if place == "output" else expected, rtol=1e-4, atol=1e-5)


def test_the_code_activation_is_as_the_hidden_one_unless_told_otherwise():
    x = torch.tensor([[-1.0, 0.0, 2.0]])
    assert torch.equal(with_identity_weights(Dense(bottleneck=3), 3).encode(x), x.relu())
    assert torch.equal(with_identity_weights(Dense(bottleneck=3, code_activation="linear"), 3).encode(x), x)
