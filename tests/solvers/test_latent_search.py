"""The search of codes: known answers, bounds, each image by itself, and the theory of decoders as priors."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from isthmus.networks import build
from isthmus.networks.accelerators import decoder_of, dense_decoder
from isthmus.networks.decoders import Decoder
from isthmus.parts import Conv, Dense, Dictionary
from isthmus.solvers import latent_search
from isthmus.solvers.latent_search import CONVERGED, DIVERGED, ITERATIONS, REASONS, SOLVERS, Search, search

PARTS = [
    Dense(hidden=(12,), bottleneck=4, activation="relu", output="relu"),
    Dense(hidden=(12, 9), bottleneck=4, activation="tanh", output="sigmoid"),
    Dense(hidden=(8,), bottleneck=3, activation="gelu", output="linear"),
    Dense(bottleneck=5, output="linear"),
    Dense(bottleneck=5, output="relu"),
    Dictionary(n_atoms=6),
    Conv((3, 4), image_shape=(1, 5, 6), output="sigmoid"),
    Conv((3, 4), image_shape=(1, 5, 6), decoder="deconv-unpool"),
]
every_part = pytest.mark.parametrize("part", PARTS, ids=repr)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def made(part, n=30):
    """A decoder in float64, five codes and five images."""
    network = build(part, n, seeded()).double()
    generator = seeded(1)
    code = torch.rand((5, network.code_size), generator=generator, dtype=torch.float64)
    return network, code, torch.rand((5, n), generator=generator, dtype=torch.float64)


def linear_decoder(n=40, k=6):
    network = build(Dense(bottleneck=k, output="linear"), n, seeded()).double()
    layer = network.decoder.layers[0]
    return decoder_of(network, torch.float64), layer.weight.detach(), layer.bias.detach()


@every_part
def test_normal_equations_are_those_of_the_jacobian(part):
    network, code, y = made(part)
    decoder = decoder_of(network, torch.float64)
    matrix, gradient = decoder.normal_equations(code, y)
    for i in range(len(code)):
        jacobian = torch.autograd.functional.jacobian(lambda z: network.decode(z[None])[0], code[i])
        residual = network.decode(code[i : i + 1])[0].detach() - y[i]
        torch.testing.assert_close(matrix[i], jacobian.T @ jacobian)
        torch.testing.assert_close(gradient[i], jacobian.T @ residual)
    assert matrix.abs().max() > 1e-6


@every_part
def test_the_gradient_is_autograds(part):
    network, code, y = made(part)
    decoder = decoder_of(network, torch.float64)
    torch.testing.assert_close(decoder.gradient(code, y), Decoder(network, torch.float64).gradient(code, y))
    torch.testing.assert_close(decoder.decode(code), network.decode(code).detach())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_linear_decoder_gives_the_least_squares_solution(solver):
    decoder, weight, bias = linear_decoder()
    y = torch.rand((7, 40), generator=seeded(2), dtype=torch.float64)
    rates = {"gradient-descent": 5.0, "adam": 0.05, "gauss-newton": 1.0}
    tol = 1e-10 if solver == "gauss-newton" else 1e-14
    options = {"max_iter": 20_000, "tol": tol, "learning_rate": rates[solver]}
    found = search(decoder, y, torch.zeros(7, 6, dtype=torch.float64), solver=solver, **options)
    expected = torch.linalg.lstsq(weight, (y - bias).T).solution.T
    torch.testing.assert_close(found.code, expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(found.objective, (decoder.decode(found.code) - y).square().mean(dim=1))
    if solver == "gauss-newton":
        assert found.n_iter.max() < 12
        assert (found.reason == CONVERGED).all()


@pytest.mark.parametrize("solver", ["gauss-newton", "gradient-descent"])
def test_bounded_codes_are_those_of_non_negative_least_squares(solver):
    decoder, weight, bias = linear_decoder()
    y = torch.rand((5, 40), generator=seeded(3), dtype=torch.float64)
    start = torch.ones(5, 6, dtype=torch.float64)
    options = {"max_iter": 20_000, "tol": 1e-15, "learning_rate": 5.0}
    found = search(decoder, y, start, lower=0.0, solver=solver, **options)
    expected = np.stack([nnls(weight.numpy(), one)[0] for one in (y - bias).numpy()])
    assert (expected == 0).any()
    assert (found.reason == CONVERGED).all(), "a number that stays at its bound promises nothing"
    np.testing.assert_allclose(found.code.numpy(), expected, atol=2e-4)
    assert found.code.min() >= 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_each_image_is_searched_by_itself(solver):
    """A search in a batch ends where it ends alone; one that diverges harms no other."""
    network, code, y = made(PARTS[0])
    decoder = decoder_of(network, torch.float64)
    options = {"solver": solver, "max_iter": 200, "learning_rate": 0.05}
    together = search(decoder, y, code, **options)
    for i in range(len(y)):
        alone = search(decoder, y[i : i + 1], code[i : i + 1], **options)
        torch.testing.assert_close(alone.code[0], together.code[i])
        assert alone.n_iter[0] == together.n_iter[i]
    spoiled = y.clone()
    spoiled[2] = torch.inf
    found = search(decoder, spoiled, code, **options)
    others = [0, 1, 3, 4]
    assert (REASONS[found.reason[2]], int(found.n_iter[2])) == ("diverged", 0)
    torch.testing.assert_close(found.code[others], together.code[others])


def test_a_rate_that_is_too_large_is_called_diverged_and_the_search_stops():
    decoder, _, _ = linear_decoder()
    y = torch.rand((3, 40), generator=seeded(2), dtype=torch.float64)
    start = torch.zeros(3, 6, dtype=torch.float64)
    found = search(decoder, y, start, solver="gradient-descent", learning_rate=1e6, max_iter=5000)
    assert (found.reason == DIVERGED).all()
    assert (found.n_iter < 5000).all()
    torch.testing.assert_close(found.code, start)  # the best that there was


def test_the_best_code_is_kept_where_steps_lead_away_again():
    decoder, _, _ = linear_decoder()
    y, seen = torch.rand((3, 40), generator=seeded(2), dtype=torch.float64), []
    start = torch.zeros(3, 6, dtype=torch.float64)
    options = {"solver": "adam", "learning_rate": 0.3, "tol": 0, "max_iter": 30}
    found = search(decoder, y, start, on_step=lambda code, objective: seen.append(objective), **options)
    least = torch.stack(seen).amin(dim=0)
    assert (least < seen[-1]).any()
    torch.testing.assert_close(found.objective, least)
    torch.testing.assert_close((decoder.decode(found.code) - y).square().mean(dim=1), least)


def test_the_limit_of_steps_is_a_reason():
    decoder, _, _ = linear_decoder()
    y = torch.rand((3, 40), generator=seeded(2), dtype=torch.float64)
    found = search(decoder, y, torch.zeros(3, 6, dtype=torch.float64), solver="adam", learning_rate=1e-3, max_iter=5)
    assert (found.reason == ITERATIONS).all()
    assert (found.n_iter == 5).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_search_never_ends_above_its_start(solver):
    network, code, y = made(PARTS[0])
    decoder = decoder_of(network, torch.float64)
    before = (decoder.decode(code) - y).square().mean(dim=1)
    found = search(decoder, y, code, solver=solver, learning_rate=0.02, max_iter=100)
    assert (found.objective < before).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_whoever_looks_on_sees_every_image_after_every_step_and_changes_nothing(solver):
    network, code, y = made(PARTS[0])
    decoder = decoder_of(network, torch.float64)
    options = {"solver": solver, "learning_rate": 0.05, "max_iter": 30}
    seen = []
    found = search(decoder, y, code, **options, on_step=lambda *step: seen.append(step))
    assert len(seen) == found.n_iter.max()
    for codes, objective in seen:
        torch.testing.assert_close((decoder.decode(codes) - y).square().mean(dim=1), objective)
    torch.testing.assert_close(seen[-1], (found.code, found.objective))
    alone = search(decoder, y, code, **options)
    assert torch.equal(alone.code, found.code)


def test_the_better_of_two_is_chosen_image_by_image():
    network, code, y = made(PARTS[0])
    decoder = decoder_of(network, torch.float64)
    one = search(decoder, y, code, max_iter=1)
    two = search(decoder, y, torch.rand(code.shape, generator=seeded(9), dtype=torch.float64), max_iter=1)
    best = one.better_of(two)
    torch.testing.assert_close(best.objective, torch.minimum(one.objective, two.objective))
    torch.testing.assert_close((decoder.decode(best.code) - y).square().mean(dim=1), best.objective)
    torch.testing.assert_close(best.n_iter, one.n_iter + two.n_iter)


def test_a_damped_step_by_hand():
    """Damping is added to the diagonal, as a share of its largest element; a number at its bound stays."""
    matrix = torch.tensor([[[4.0, 1.0], [1.0, 2.0]]], dtype=torch.float64)
    gradient = torch.tensor([[3.0, -1.0]], dtype=torch.float64)
    damping, free = torch.tensor([0.5], dtype=torch.float64), torch.tensor([[True, True]])
    step = latent_search._solved(matrix, gradient, free, damping)
    torch.testing.assert_close(step, torch.linalg.solve(matrix[0] + 0.5 * 4 * torch.eye(2).double(), gradient[0])[None])
    alone = latent_search._solved(matrix, gradient, torch.tensor([[True, False]]), damping)
    torch.testing.assert_close(alone, torch.tensor([[3.0 / (4 + 0.5 * 4), 0.0]], dtype=torch.float64))
    code = torch.tensor([[0.0, 0.0, 0.5, 0.0]])
    slope = torch.tensor([[0.3, -0.3, 0.3, 0.0]])
    assert latent_search._free(code, slope, 0.0).tolist() == [[False, True, True, False]]
    assert latent_search._free(code, slope, None).all()


def test_damping_is_a_share_so_the_units_of_images_do_not_matter():
    jacobian = torch.rand((4, 9, 3), generator=seeded(4), dtype=torch.float64)
    matrix, gradient = jacobian.transpose(1, 2) @ jacobian, torch.rand((4, 3), generator=seeded(5), dtype=torch.float64)
    damping, free = torch.full((4,), 0.3, dtype=torch.float64), torch.tensor([[True, True, False]]).expand(4, 3)
    step = latent_search._solved(matrix, gradient, free, damping)
    for c in (1e-6, 1e4):
        torch.testing.assert_close(latent_search._solved(c * matrix, c * gradient, free, damping), step)


def test_a_promise_is_what_a_linear_decoder_would_gain():
    """And that of some of its numbers, if the others stay; float32 has as much of it as float32 can."""
    jacobian = torch.rand((4, 9, 3), generator=seeded(4), dtype=torch.float64)
    residual = torch.rand((4, 9, 1), generator=seeded(5), dtype=torch.float64)
    matrix, gradient = jacobian.transpose(1, 2) @ jacobian, (jacobian.transpose(1, 2) @ residual)[:, :, 0]
    for columns in ([0, 1, 2], [0, 2]):
        free = torch.tensor([[i in columns for i in range(3)]]).expand(4, 3)
        left = residual - jacobian[:, :, columns] @ torch.linalg.lstsq(jacobian[:, :, columns], residual).solution
        gained = (residual.square() - left.square()).sum(dim=(1, 2))
        torch.testing.assert_close(latent_search._promise(matrix, gradient, free), gained, rtol=1e-5, atol=0)
        single = latent_search._promise(matrix.float(), gradient.float(), free)
        torch.testing.assert_close(single, gained.float(), rtol=1e-3, atol=0)
    flat = torch.zeros_like(matrix)
    assert latent_search._promise(flat, torch.zeros_like(gradient), free).tolist() == [0] * 4


def test_converged_is_said_at_once_exactly_where_no_more_than_the_tolerance_is_left():
    """Of a linear decoder it is known what is left: tol is a share of the objective, whatever the images' units."""
    decoder, weight, bias = linear_decoder()
    for unit in (1.0, 1e-3, 30.0):
        y = bias + unit * torch.rand((5, 40), generator=seeded(2), dtype=torch.float64)
        best = torch.linalg.lstsq(weight, (y - bias).T).solution.T
        start = best + unit * torch.rand((5, 6), generator=seeded(3), dtype=torch.float64)
        least, before = ((decoder.decode(code) - y).square().mean(dim=1) for code in (best, start))
        for i, share in enumerate(((before - least) / before).tolist()):
            one = {"decoder": decoder, "y": y[i : i + 1], "start": start[i : i + 1]}
            enough, not_yet = search(**one, tol=1.001 * share), search(**one, tol=0.999 * share)
            assert (REASONS[enough.reason[0]], int(enough.n_iter)) == ("converged", 1)
            assert int(not_yet.n_iter) > 1


class InUnits(torch.nn.Module):
    """A decoder whose images are in other units."""

    def __init__(self, network, unit):
        super().__init__()
        self.network, self.unit = network, unit

    def decode(self, code):
        return self.unit * self.network.decode(code)


def test_how_gauss_newton_ends_does_not_depend_on_the_images_units():
    """Its tolerance is a share of the objective; what first-order searches are judged by is none, and not for it."""
    network, _, y = made(Dense(hidden=(12, 9), bottleneck=4, activation="tanh"))
    start, reasons = torch.zeros((5, 4), dtype=torch.float64), []
    for unit in (1e-3, 1.0, 1e3):
        found = search(Decoder(InUnits(network, unit), torch.float64), unit * y, start, tol=0.01)
        assert found.reason.eq(CONVERGED).all()
        reasons.append((found.reason.tolist(), found.n_iter.tolist()))
    assert reasons[0] == reasons[1] == reasons[2]


class Kink(torch.nn.Module):
    """|z| + 1: a minimum with a slope on each side, as where rectifiers switch."""

    def decode(self, code):
        return code.abs() + 1


def test_damping_rises_by_8_where_a_step_does_not_help_until_the_search_has_stalled():
    """Of each image by itself: beside it is one whose step helps, and whose damping falls to a fifth."""
    y, start = torch.zeros((2, 1), dtype=torch.float64), torch.tensor([[1e-9], [5.0]], dtype=torch.float64)
    batch = latent_search._Batch(Decoder(Kink(), torch.float64), y, start, None)
    latent_search._gauss_newton(batch, 1, 0.0)
    assert batch.damping.tolist() == pytest.approx([0.08, 0.002])
    found = search(Decoder(Kink(), torch.float64), y[:1], start[:1])
    # 8⁷ is the first power by which a hundredth passes ten thousand
    assert (REASONS[found.reason[0]], int(found.n_iter)) == ("stalled", 7)
    assert torch.equal(found.code, start[:1])
    few = search(Decoder(Kink(), torch.float64), y[:1], start[:1], max_iter=6)
    assert (REASONS[few.reason[0]], int(few.n_iter)) == ("iterations", 6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_below_the_bound_is_at_the_bound(solver):
    decoder, _, _ = linear_decoder()
    y, start = torch.rand((3, 40), generator=seeded(2), dtype=torch.float64), torch.full((3, 6), -1.0).double()
    found = search(decoder, y, start, solver=solver, lower=0.25, max_iter=0)
    assert torch.equal(found.code, torch.full_like(start, 0.25))
    torch.testing.assert_close(found.objective, (decoder.decode(found.code) - y).square().mean(dim=1))
    assert found.n_iter.tolist() == [0] * 3
    assert found.n_iter.dtype == found.reason.dtype == torch.int64


def test_adam_is_torchs():
    """With one gradient that is about as small as what is added to its root."""
    decoder, _, _ = linear_decoder()
    start = torch.rand((2, 6), generator=seeded(3), dtype=torch.float64)
    y = decoder.decode(start) + torch.tensor([[0.5], [3e-7]], dtype=torch.float64)
    code = start.clone().requires_grad_()
    optimizer, expected = torch.optim.Adam([code], lr=1e-9), []
    for _ in range(4):
        optimizer.zero_grad()
        (decoder.decode(code) - y).square().mean(dim=1).sum().backward()
        optimizer.step()
        expected.append(code.detach() - start)
    seen = []
    options = {"solver": "adam", "learning_rate": 1e-9, "tol": 0, "max_iter": 4}
    found = search(decoder, y, start, on_step=lambda code, _: seen.append(code - start), **options)
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=0)
    assert found.n_iter.tolist() == [4, 4]


def test_a_tolerance_of_0_ends_no_first_order_search():
    decoder, _, _ = linear_decoder()
    start = torch.rand((2, 6), generator=seeded(3), dtype=torch.float64)
    found = search(decoder, decoder.decode(start), start, solver="gradient-descent", tol=0, max_iter=5)
    assert found.reason.tolist() == [ITERATIONS] * 2
    assert found.n_iter.tolist() == [5, 5]


def test_what_is_not_finite_is_never_the_better_and_a_draw_is_the_firsts():
    def made_up(objective, first, reason):
        numbers = torch.tensor(objective)
        code = first + torch.arange(len(objective), dtype=torch.float32)[:, None]
        return Search(code, numbers, torch.full((len(objective),), 2), torch.full((len(objective),), reason))

    one = made_up([0.5, torch.nan, 0.3, torch.inf, 0.2, torch.nan], 0, CONVERGED)
    two = made_up([0.5, 0.4, torch.nan, 0.1, torch.inf, torch.nan], 10, ITERATIONS)
    best = one.better_of(two)
    assert best.code[:, 0].tolist() == [0, 11, 2, 13, 4, 5]
    assert best.objective[:5].tolist() == pytest.approx([0.5, 0.4, 0.3, 0.1, 0.2])
    assert best.reason.tolist() == [CONVERGED, ITERATIONS, CONVERGED, ITERATIONS, CONVERGED, CONVERGED]
    assert best.n_iter.tolist() == [4] * 6
    both = Search.join([one, two])
    assert both.code[:, 0].tolist() == [*range(6), *range(10, 16)]
    assert both.reason.tolist() == [CONVERGED] * 6 + [ITERATIONS] * 6


@pytest.mark.parametrize("k", [5, 10, 20, 40])
def test_noise_error_is_k_over_n_of_the_noise_for_images_in_the_range(k):
    """Heckel, Huang, Hand, Voroninski 2021: what is left of noise σ is (k/n) σ², linear in both, within 15 %."""
    n, images = 784, 100
    part = Dense(hidden=(400,), bottleneck=k, activation="relu", output="linear")
    network = build(part, n, seeded(k)).double()
    generator = seeded(k + 1)
    with torch.no_grad():  # a decoder that spreads its codes well: random weights of a network that keeps lengths
        for layer in network.decoder.layers:
            n_in = layer.weight.shape[1]
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64) / n_in**0.5)
            layer.bias.zero_()
    decoder = decoder_of(network, torch.float64)
    code = torch.randn((images, k), generator=generator, dtype=torch.float64)
    clean = decoder.decode(code)
    left = []
    for sigma2 in (1e-4, 4e-4):
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64) * sigma2**0.5
        found = search(decoder, clean + noise, code + 0.05, max_iter=60, tol=1e-9)
        left.append(float((decoder.decode(found.code) - clean).square().mean()))
        assert left[-1] == pytest.approx(k / n * sigma2, rel=0.15)
    assert left[1] / left[0] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("solver", ["gauss-newton", "adam"])
def test_products_have_few_shapes_however_many_images_are_left(solver, monkeypatch):
    """oneDNN keeps what it compiles for each shape."""
    rows, columns = set(), set()

    def recorded(a, b):
        rows.add(len(a))
        columns.add(b.shape[1])
        return a @ b

    monkeypatch.setattr(dense_decoder, "multiplied", recorded)
    network = build(Dense((24,), 4, activation="tanh", output="relu"), 300, seeded()).double()
    decoder = decoder_of(network, torch.float64)
    y = decoder.decode(3 * torch.randn((900, 4), generator=seeded(1), dtype=torch.float64)).detach()
    y += 0.1 * torch.randn(y.shape, generator=seeded(2), dtype=torch.float64)
    start = torch.randn((900, 4), generator=seeded(3), dtype=torch.float64)
    options = {"learning_rate": 0.03, "tol": 2e-4, "max_iter": 300} if solver == "adam" else {}
    found = search(decoder, y, start, solver=solver, **options)
    assert len(found.n_iter.unique()) > 30
    of_what = 2 if solver == "adam" else 1  # steps, and a judgement in the end of whether they have converged
    assert len(rows) <= of_what * (5 + 15)  # powers of two, and what is left
    assert len(columns) <= of_what * 5  # pixels that are not black, by 64s
    alone = search(decoder, y[:1], start[:1], solver=solver, **options)
    torch.testing.assert_close(found.code[:1], alone.code)
