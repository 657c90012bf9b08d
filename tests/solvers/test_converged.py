"""What is called converged has converged: searched again from where it ended, it gains about nothing."""

import itertools

import pytest
import torch

from isthmus.networks import build
from isthmus.networks.accelerators import decoder_of
from isthmus.parts import Conv, Dense, Dictionary
from isthmus.solvers.latent_search import CONVERGED, ITERATIONS, STALLED, search

N, IMAGES, TOL = 64, 50, 1e-4
DECODERS = {
    "linear": Dense(bottleneck=6, activation="linear", output="linear"),
    "dictionary": Dictionary(n_atoms=8),
    "rectified output": Dense(bottleneck=8, output="relu"),
    "rectified": Dense(hidden=(32,), bottleneck=6, activation="relu", output="sigmoid"),
    "deep and smooth": Dense(hidden=(32, 16), bottleneck=5, activation="tanh", output="sigmoid"),
    "convolutions": Conv((3, 2), activation="silu", output="sigmoid", image_shape=(1, 8, 8)),
}


def problem(name, dtype):
    """A decoder whose weights keep lengths, images that it draws with noise on them, and random starts."""
    generator = torch.Generator().manual_seed(5)
    network = build(DECODERS[name], N, generator).to(dtype)
    if isinstance(DECODERS[name], Dense):
        for layer in network.decoder.layers:
            scale = (2 / layer.weight.shape[1]) ** 0.5
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator).to(dtype) * scale
    size = network.code_size
    code, start = torch.rand((2, IMAGES, size), generator=generator).to(dtype) * 2
    decoder = decoder_of(network, dtype)
    with torch.no_grad():
        y = decoder.decode(code)
        y = y + 0.3 * y.std() * torch.randn((IMAGES, N), generator=generator).to(dtype)
    return decoder, y, start


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_converged_search_gains_about_nothing_when_it_is_searched_again(dtype):
    gains, again, ended = [], [], 0
    for name, lower in itertools.product(DECODERS, (None, 0.0)):
        decoder, y, start = problem(name, dtype)
        found = search(decoder, y, start, lower=lower, tol=TOL)
        whole = search(decoder, y, found.code, lower=lower, tol=1e-9, max_iter=100)
        same = search(decoder, y, found.code, lower=lower, tol=TOL)
        converged = found.reason == CONVERGED
        assert converged.any(), name
        if name in ("linear", "dictionary"):
            assert converged.all(), name
        ended += int((found.reason != ITERATIONS).sum())
        gains.append(((found.objective - whole.objective) / (TOL * found.objective))[converged])
        again.append(((found.objective - same.objective) / (TOL * found.objective))[converged])
    share = len(torch.cat(gains)) / (len(gains) * IMAGES)
    assert share > 0.5, "a word that is never said proves nothing"
    assert ended > 0.9 * len(gains) * IMAGES
    # in units of the tolerance, with as many steps as it takes, which end in another valley now and then
    assert (torch.cat(gains) > 2).double().mean() < 0.02
    assert (torch.cat(gains) > 10).double().mean() < 0.01
    # and with the same request as before
    assert (torch.cat(again) > 1).double().mean() < 0.01
    assert torch.cat(again).max() < 10


@pytest.mark.parametrize(("solver", "rate"), [("gradient-descent", 0.5), ("adam", 0.01)])
def test_first_order_searches_that_merely_went_slowly_are_not_called_converged(solver, rate):
    tol, gains, words = 1e-5, [], []
    for name, lower in itertools.product(("linear", "rectified", "deep and smooth"), (None, 0.0)):
        decoder, y, start = problem(name, torch.float64)
        found = search(decoder, y, start, solver=solver, lower=lower, tol=tol, learning_rate=rate, max_iter=1000)
        best = search(decoder, y, found.code, lower=lower, tol=1e-9, max_iter=100)
        gains.append((found.objective - best.objective) / tol)
        words.append(found.reason)
    gained, word = torch.cat(gains), torch.cat(words)
    assert set(word.tolist()) >= {CONVERGED, STALLED}
    assert (gained[word == CONVERGED] > 2).double().mean() < 0.02
    assert gained[word == STALLED].median() > 1, "there is much left where it is said so"


def test_a_slow_rate_has_stalled_and_the_same_search_with_a_fast_one_converges():
    decoder, y, start = problem("linear", torch.float64)
    options = {"solver": "gradient-descent", "tol": 1e-6, "max_iter": 2000}
    slow = search(decoder, y, start, learning_rate=1e-8, **options)
    fast = search(decoder, y, start, learning_rate=2.0, **options)
    assert (slow.reason == STALLED).all()
    assert (fast.reason == CONVERGED).all()
    assert (slow.objective > 1.1 * fast.objective).all()


def test_first_order_searches_are_judged_in_parts_of_bounded_size(monkeypatch):
    from isthmus.solvers import latent_search

    decoder, y, start = problem("rectified", torch.float64)
    options = {"solver": "gradient-descent", "learning_rate": 0.5, "tol": 1e-5, "max_iter": 1000}
    whole = search(decoder, y, start, **options)
    sizes = []

    def watched(code, y):
        sizes.append(code.numel())
        return type(decoder).normal_equations(decoder, code, y)

    monkeypatch.setattr(decoder, "normal_equations", watched)
    monkeypatch.setattr(latent_search, "_JUDGED", 60)
    parts = search(decoder, y, start, **options)
    assert max(sizes) <= 60
    assert len(sizes) > 3
    ended = (whole.reason == CONVERGED) | (whole.reason == STALLED)
    assert sum(sizes) == int(ended.sum()) * start.shape[1], "each once"
    assert torch.equal(parts.reason, whole.reason)
