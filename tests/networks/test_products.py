"""Products by either library are the same products, and which is taken depends on the machine and the size alone."""

import pytest
import torch

from isthmus import Autoencoder, Dense, Dictionary, Module
from isthmus.networks.accelerators import products
from isthmus.networks.accelerators.linear import LinearProducts
from isthmus.networks.accelerators.products import affine, multiplied, multiply_into, put_gradient

HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
ONEDNN = pytest.param(True, id="oneDNN", marks=pytest.mark.skipif(not HAS_ONEDNN, reason="torch without oneDNN"))


@pytest.fixture(params=[ONEDNN, pytest.param(False, id="MKL")])
def library(request, monkeypatch):
    """Which of them multiplies, and the calls of oneDNN."""
    calls, by_onednn = [], products._by_onednn

    def counted(*arguments):
        calls.append(arguments)
        return by_onednn(*arguments)

    monkeypatch.setattr(products, "is_faster_by_onednn", lambda: request.param)
    monkeypatch.setattr(products, "_by_onednn", counted)
    return request.param, calls


def matrices(n, k, m):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for shape in ((n, k), (m, k), (m,), (n, m))]


@pytest.mark.parametrize(
    "shape", [(64, 784, 300), (1000, 50, 40), (3, 5, 7), (1, 2000, 1000), (64, 300, 784), (4000, 20, 60)], ids=str
)
def test_a_layer_and_its_gradients(shape, library):
    x, weight, bias, grad = matrices(*shape)
    into = torch.full_like(weight, torch.nan)
    multiply_into(into, grad.t(), x)
    made = affine(bias, x, weight), multiplied(grad, weight), into
    xs, weights, biases, grads = (each.double() for each in (x, weight, bias, grad))
    for result, exact in zip(made, (xs @ weights.t() + biases, grads @ weights, grads.t() @ xs), strict=True):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.double(), exact, rtol=1e-4, atol=1e-3)
    n = shape[0] * shape[1] * shape[2]
    assert len(library[1]) == (3 if library[0] and n >= 1_500_000 else 0)


@pytest.mark.parametrize("shape", [(64, 784, 300), (3, 5, 7), (4000, 20, 60)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_is_written_over_or_stays_where_onednn_makes_it(shape, dtype, library):
    x, weight, _, grad = (each.to(dtype) for each in matrices(*shape))
    parameter = torch.nn.Parameter(weight.float())
    before = parameter.grad = torch.full_like(parameter, torch.nan)
    expected = torch.empty_like(parameter)
    multiply_into(expected, grad.t(), x)
    for _ in range(2):
        put_gradient(parameter, grad.t(), x)
        assert torch.equal(parameter.grad, expected)
        assert parameter.grad.is_contiguous()
        assert parameter.grad.dtype == torch.float32
    stays = library[0] and dtype == torch.float32 and shape == (64, 784, 300)  # of many samples it is made transposed
    assert (parameter.grad is before) != stays


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_numbers_are_torchs(dtype, library):
    x, weight, bias, _ = (each.to(dtype) for each in matrices(64, 784, 300))
    assert torch.equal(affine(bias, x, weight), torch.addmm(bias, x, weight.t()))
    into = torch.empty(64, 300)
    multiply_into(into, x, weight.t())
    assert torch.equal(into, (x @ weight.t()).float())
    assert not library[1]


def pair(shape):
    return torch.nn.Linear(784, 64), torch.nn.Linear(64, 784, bias=False)


@pytest.mark.parametrize(
    "part", [Dense(bottleneck=64), Dictionary(n_atoms=64), Module(pair)], ids=["dense", "dictionary", "module"]
)
def test_a_fit_is_within_rounding_of_the_other_librarys_and_the_same_each_time(part, library, monkeypatch):
    x = torch.rand(200, 784, generator=torch.Generator().manual_seed(0)).numpy()

    def losses():
        model = Autoencoder(part, epochs=3, batch_size=64, precision="float32", random_state=0).fit(x)
        return [row.loss for row in model.history_]

    first = losses()
    assert bool(library[1]) is library[0]
    assert losses() == first
    monkeypatch.setattr(products, "is_faster_by_onednn", lambda: not library[0])
    assert losses() == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize("shape", [(64, 784), (8, 8, 784)], ids=str)
@pytest.mark.parametrize("has_bias", [True, False])
def test_autograd_through_a_linear_layer_in_double_too(shape, has_bias, library):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(784, 300, bias=has_bias), torch.randn(*shape, requires_grad=True)

    def results():
        y = layer(x)
        grads = torch.autograd.grad(y.square().sum(), [x, *layer.parameters()], create_graph=True)
        twice = torch.autograd.grad(grads[0].square().sum(), [layer.weight])
        return [y, *grads, *twice]

    plain = results()
    with LinearProducts():
        ours = results()
        assert bool(library[1]) is library[0]
        with torch.no_grad():
            n = len(library[1])
            assert torch.equal(layer(x), plain[0])  # what is not differentiated, and sees no mode later, is torch's
            assert len(library[1]) == n
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3 * float(b.detach().abs().max()))


def test_transformed_functions_bfloat16_and_empty_layers_are_torchs(library):
    layer, x = torch.nn.Linear(784, 300), torch.randn(3, 64, 784)
    with LinearProducts():
        assert torch.func.vmap(layer)(x).shape == (3, 64, 300)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        assert torch.nn.functional.linear(torch.ones(4, 0), torch.ones(5, 0)).shape == (4, 5)
        assert torch.nn.functional.linear(input=x, weight=layer.weight).shape == (3, 64, 300)
    assert not library[1]


@pytest.mark.parametrize(
    ("maker", "capability", "is_faster"),
    [
        ("vendor_id : AuthenticAMD", "AVX512", HAS_ONEDNN),
        ("vendor_id : GenuineIntel", "AVX512", False),
        ("vendor_id : AuthenticAMD", "AVX2", False),
        ("", "NEON", False),
    ],
)
def test_onednn_is_taken_where_mkl_leaves_avx512_out(maker, capability, is_faster, monkeypatch):
    monkeypatch.setattr(products, "_maker", lambda: maker)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert products.is_faster_by_onednn.__wrapped__() is is_faster
