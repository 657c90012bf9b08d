"""Convolutional networks: the published ones, any image size, gradients like autograd's, and what switches carry."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from isthmus.errors import RequestError
from isthmus.networks import Gradients, build
from isthmus.networks.accelerators import training_pass
from isthmus.networks.conv import convolution
from isthmus.parts import ACTIVATIONS, DECODERS, Conv, ConvLayer

pytestmark = pytest.mark.usefixtures("small_products_in_bfloat16")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def network(part, shape, seed=0):
    return build(part, math.prod(shape), seeded(seed), shape)


def samples(n, shape, seed=1, dtype=torch.float32):
    return torch.randn((n, math.prod(shape)), generator=seeded(seed), dtype=dtype)


# --- the published ones, by STUDIES.md and by hand ---

PUBLISHED = {
    "lab": Conv((8, 16, 16), padding=0, decoder="deconv-unpool", output="sigmoid"),
    "imaging unpool": Conv((8, 16, 16), decoder="unpool", code_activation="linear", output="relu"),
    "imaging deconv": Conv((8, 16, 16), decoder="deconv", output="relu"),
    "imaging deconv-unpool": Conv((8, 16, 16), decoder="deconv-unpool", output="relu"),
}
every_published = pytest.mark.parametrize("name", PUBLISHED)
ENCODER = (1 * 8 * 9 + 8) + (8 * 16 * 9 + 16) + (16 * 16 * 9 + 16)
BACK = (16 * 16 * 9 + 16) + (16 * 8 * 9 + 8) + (8 * 1 * 9 + 1)
SIZES = {  # code, switches, parameters
    "lab": (16, 1768, ENCODER + BACK),
    "imaging unpool": (144, 2496, ENCODER + (16 * 8 * 9 + 8) + (8 * 9 + 1)),
    "imaging deconv": (144, 0, ENCODER + (16 * 16 * 9 + 16) + (16 * 8 * 16 + 8) + (8 * 16 + 1)),
    "imaging deconv-unpool": (144, 2496, ENCODER + BACK),
}
MAPS = dict.fromkeys(PUBLISHED, ((14, 14), (7, 7), (3, 3))) | {"lab": ((13, 13), (5, 5), (1, 1))}


@every_published
def test_published_networks_have_the_published_sizes(name):
    part, built = PUBLISHED[name], network(PUBLISHED[name], (1, 28, 28))
    found = built.code_size, built.n_switches, sum(p.numel() for p in built.parameters())
    assert found == SIZES[name]
    assert tuple(layer.pool for layer in part.encoder_layers((1, 28, 28))) == MAPS[name]


def padded(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1)


class Published(nn.Module):
    """A network as the notebooks write it: torch's layers, pooling with indices, unpooling by them, or not."""

    def __init__(self, down, up, unpools, last):
        super().__init__()
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.unpools, self.last = unpools, last

    def forward(self, x):
        kept = []
        for i, layer in enumerate(self.down):
            x = layer(x)
            if i < 2 or self.last != "no relu":
                x = functional.relu(x)
            size = x.size()
            x, where = functional.max_pool2d(x, 2, 2, return_indices=True)
            kept.append((where, size))
        for i, layer in enumerate(self.up):
            where, size = kept.pop()
            x = layer(functional.max_unpool2d(x, where, 2, 2, output_size=size) if self.unpools else x)
            if not isinstance(layer, nn.Identity):
                x = torch.sigmoid(x) if i == 2 and self.last == "sigmoid" else functional.relu(x)
        return x.flatten(1)


REFERENCES = {
    "lab": lambda: Published(
        [nn.Conv2d(1, 8, 3), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 16, 3)],
        [nn.ConvTranspose2d(16, 16, 3), nn.ConvTranspose2d(16, 8, 3), nn.ConvTranspose2d(8, 1, 3)],
        unpools=True,
        last="sigmoid",
    ),
    "imaging unpool": lambda: Published(
        [padded(1, 8), padded(8, 16), padded(16, 16)],
        [nn.Identity(), padded(16, 8), padded(8, 1)],
        unpools=True,
        last="no relu",
    ),
    "imaging deconv": lambda: Published(
        [padded(1, 8), padded(8, 16), padded(16, 16)],
        [
            nn.ConvTranspose2d(16, 16, 3, stride=2),
            nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),
            nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
        ],
        unpools=False,
        last="relu",
    ),
    "imaging deconv-unpool": lambda: Published(
        [padded(1, 8), padded(8, 16), padded(16, 16)],
        [nn.ConvTranspose2d(a, b, 3, padding=1) for a, b in ((16, 16), (16, 8), (8, 1))],
        unpools=True,
        last="relu",
    ),
}


@every_published
def test_published_networks_do_what_the_notebooks_do(name):
    """The same layers, one by one, and with the same weights the same output and the same gradients."""
    ours = network(PUBLISHED[name], (1, 28, 28))
    with torch.random.fork_rng():
        theirs = REFERENCES[name]()
    for mine, reference in zip([*ours.encoder.layers, *ours.decoder.layers], [*theirs.down, *theirs.up], strict=True):
        assert type(mine) is type(reference)
        for option in ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding"):
            assert getattr(mine, option, None) == getattr(reference, option, None)
        reference.load_state_dict(mine.state_dict())
    x = torch.rand((5, 784), generator=seeded(1))
    x_hat = ours(x)[0]
    expected = theirs(x.view(-1, 1, 28, 28))
    torch.testing.assert_close(x_hat, expected)
    assert x_hat.std(dim=0).max() > 1e-4
    functional.mse_loss(x_hat, x).backward()
    functional.mse_loss(expected, x).backward()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)


# --- any image ---


@st.composite
def parts_and_shapes(draw):
    kernel = draw(st.integers(1, 5))
    part = Conv(
        tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))),
        kernel,
        draw(st.integers(0, kernel - 1)),
        draw(st.sampled_from(DECODERS)),
        activation="tanh",
    )
    return part, (draw(st.integers(1, 4)), draw(st.integers(8, 40)), draw(st.integers(8, 40)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(parts_and_shapes())
def test_an_image_of_any_size_comes_back_in_its_size_or_is_refused(part_and_shape):
    part, shape = part_and_shape
    sides = [shape[1:]]
    for _ in part.channels:
        sides.append(tuple((side + 2 * part.padding - part.kernel + 1) // 2 for side in sides[-1]))
    if min(min(side) for side in sides) < 1:
        with pytest.raises(RequestError, match="is deeper than images of"):
            network(part, shape)
        return
    built, x = network(part, shape), samples(3, shape)
    x_hat, code, _ = built(x)
    assert x_hat.shape == x.shape
    assert x_hat.isfinite().all()
    assert x_hat.std(dim=0).max() > 0, "the output moves"
    assert code.shape == (3, built.code_size) == (3, part.channels[-1] * math.prod(sides[-1]))
    assert built.n_switches == part.n_switches(shape)
    assert torch.equal(built.encode(x), code)
    from_code = built.decode(code)
    assert from_code.shape == x.shape
    assert from_code.isfinite().all()
    # what a training step does, for the same layers
    for parameter in built.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with torch.no_grad():
        step = training_pass(built)
        (recorded, same_code, _), tapes = step.record(x, x.dtype)
        step.backward(tapes, Gradients(torch.ones_like(x), torch.ones_like(code)))
    torch.testing.assert_close(recorded, x_hat, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(same_code, code, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad.isfinite().all() for parameter in built.parameters())


@pytest.mark.parametrize(
    ("part", "shape", "words"),
    [
        (Conv((2, 2, 2, 2)), (1, 8, 8), "4 layers is deeper than images of 8×8 allow: layer 4 gets 1×1"),
        (Conv((2, 2), padding=0), (1, 28, 6), "2 layers is deeper than images of 28×6 allow: layer 2 gets 13×2"),
        (Conv((2,), kernel=9, padding=0), (3, 8, 9), "1 layer is deeper than images of 8×9 allow: layer 1 gets 8×9"),
    ],
)
def test_a_network_deeper_than_the_image_names_the_layer_and_the_sizes(part, shape, words):
    with pytest.raises(RequestError, match=words) as refused:
        network(part, shape)
    rest = f"too little for a {part.kernel}×{part.kernel} convolution and pooling; use fewer layers, or more padding"
    assert rest in str(refused.value)


def test_a_shape_that_is_not_the_samples_is_refused():
    with pytest.raises(RequestError, match=r"image_shape \(1, 8, 8\) is not that of samples of 63 numbers"):
        build(Conv((2,), image_shape=(1, 8, 8)), 63, seeded())
    with pytest.raises(RequestError, match="needs images"):
        build(Conv((2,)), 64, seeded())


# --- record and backward against forward and autograd ---


def gradients(built, x, at_x_hat, at_code):
    """Autograd's, of the sum of output and code, times what stands for their gradients."""
    built.zero_grad()
    x_hat, code, _ = built(x)
    ((x_hat * at_x_hat).sum() + (code * at_code).sum()).backward()
    return [p.grad.clone() for p in built.parameters()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("shape", [(1, 11, 9), (3, 8, 12)])
def test_a_training_steps_gradients_are_autograds(shape, decoder, activation):
    part = Conv((4, 5, 5), decoder=decoder, activation=activation, output=activation)
    built, x = network(part, shape).double(), samples(6, shape, dtype=torch.float64)
    at_x_hat = samples(6, shape, 2, torch.float64)
    at_code = torch.randn((6, built.code_size), generator=seeded(3), dtype=torch.float64)
    expected, before = gradients(built, x, at_x_hat, at_code), x.clone()
    x_hat, code, _ = built(x)
    for _ in range(2):  # the second step writes over the first one's gradients
        with torch.no_grad():
            step = training_pass(built)
            (recorded, same_code, _), tapes = step.record(x, torch.float64)
            step.backward(tapes, Gradients(at_x_hat, at_code))
        torch.testing.assert_close(recorded, x_hat)
        torch.testing.assert_close(same_code, code)
        for parameter, gradient in zip(built.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-11)
    assert torch.equal(x, before)
    assert sum(gradient.abs().sum() for gradient in expected) > 1


@pytest.mark.parametrize("channels", [(1,), (4, 1), (1, 1), (1, 4)])
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_gradients_through_maps_of_one_channel_are_autograds(padding, decoder, channels):
    shape = (1, 13, 10)
    built = network(Conv(channels, padding=padding, decoder=decoder, activation="tanh"), shape).double()
    x, at_x_hat = samples(4, shape, dtype=torch.float64), samples(4, shape, 2, torch.float64)
    at_code = torch.randn((4, built.code_size), generator=seeded(3), dtype=torch.float64)
    expected = gradients(built, x, at_x_hat, at_code)
    with torch.no_grad():
        step = training_pass(built)
        _, tapes = step.record(x, torch.float64)
        step.backward(tapes, Gradients(at_x_hat, at_code))
    for parameter, gradient in zip(built.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("decoder", DECODERS)
def test_without_a_gradient_at_the_code_it_comes_through_the_image_alone(decoder):
    shape = (2, 9, 8)
    built = network(Conv((3, 3), decoder=decoder, activation="silu"), shape).double()
    x, at_x_hat = samples(4, shape, dtype=torch.float64), samples(4, shape, 2, torch.float64)
    expected = gradients(built, x, at_x_hat, torch.zeros(()))
    with torch.no_grad():
        step = training_pass(built)
        _, tapes = step.record(x, torch.float64)
        step.backward(tapes, Gradients(at_x_hat, None))
    for parameter, gradient in zip(built.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("decoder", DECODERS)
def test_bfloat16_products_are_near_float32s(decoder):
    shape = (1, 16, 16)
    built, x = network(Conv((8, 8), decoder=decoder, activation="silu"), shape), samples(20, shape)
    expected = gradients(built, x, x, torch.ones(()))
    with torch.no_grad():
        step = training_pass(built)
        (x_hat, code, _), tapes = step.record(x, torch.bfloat16)
        step.backward(tapes, Gradients(x, torch.ones_like(code)))
        exact, exact_code, _ = built(x)
    assert x_hat.dtype == code.dtype == torch.float32
    # where two numbers of a window are as good as equal, rounding moves a switch, and the whole number with it
    margin = 0.02 if decoder == "deconv" else 0.15
    for low, full in ((x_hat, exact), (code, exact_code)):
        assert not torch.equal(low, full)
        assert (low - full).norm() < margin * full.norm()
    for parameter, gradient in zip(built.parameters(), expected, strict=True):
        assert parameter.grad.dtype == torch.float32
        assert (parameter.grad - gradient).norm() < margin * gradient.norm()


def spoil_freed_memory():
    """Leave NaN where what is not initialised may be taken from."""
    spoilt = [torch.full((size,), torch.nan) for size in (240, 600, 1000, 2000, 4000, 5000, 8400, 20_000, 100_000)]
    del spoilt


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("shape", [(4, 21, 5), (1, 40, 3), (3, 27, 2)])
def test_bfloat16_products_read_no_memory_but_their_own(shape, decoder):
    """Where a map is one pixel wide, tiles of AMX do, and a white image's freed bytes are NaN as numbers."""
    part = Conv((4, 6), decoder=decoder, activation="silu") if shape[2] > 3 else Conv((6,), decoder=decoder)
    built, x = network(part, shape), samples(20, shape)
    for parameter in built.parameters():
        parameter.grad = torch.empty_like(parameter)
    for _ in range(5):
        with torch.no_grad():
            spoil_freed_memory()
            step = training_pass(built)
            (x_hat, code, _), tapes = step.record(x, torch.bfloat16)
            spoil_freed_memory()
            step.backward(tapes, Gradients(torch.ones_like(x_hat), torch.ones_like(code)))
        for tensor in (x_hat, code, *(parameter.grad for parameter in built.parameters())):
            assert tensor.isfinite().all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_inference_leaves_its_input_alone_and_is_training_s_forward(decoder):
    shape = (1, 12, 12)
    built, x = network(Conv((3, 3), decoder=decoder), shape), samples(4, shape)
    before, (x_hat, code, _) = x.clone(), built(x)
    with torch.inference_mode():
        again, same_code, _ = built(x)
        given = same_code.clone()
        built.decode(given)
    assert torch.equal(x, before)
    assert torch.equal(given, same_code)
    torch.testing.assert_close(again, x_hat)
    torch.testing.assert_close(same_code, code)


# --- switches ---


def passing_on(decoder, shape):
    """A network whose convolutions pass on what they get: only pooling and unpooling are left."""
    built = network(Conv((1,), kernel=1, padding=0, decoder=decoder, activation="linear"), shape)
    with torch.no_grad():
        for layer in (*built.encoder.layers, *built.decoder.layers):
            layer.weight.fill_(1)
            layer.bias.zero_()
    return built


@pytest.mark.parametrize("decoder", ["unpool", "deconv-unpool"])
def test_a_code_alone_is_unpooled_to_the_upper_left_and_with_switches_to_where_it_was(decoder):
    image = torch.tensor(
        [
            [1.0, 2.0, 0.0, 7.0, 5.0],
            [4.0, 3.0, 0.0, 0.0, 9.0],
            [0.0, 8.0, 6.0, 0.0, 9.0],
            [0.0, 0.0, 0.0, 0.0, 9.0],
            [9.0, 9.0, 9.0, 9.0, 9.0],
        ]
    )
    seen, upper_left = torch.zeros(5, 5), torch.zeros(5, 5)
    seen[1, 0], seen[0, 3], seen[2, 1], seen[2, 2] = 4, 7, 8, 6
    upper_left[0, 0], upper_left[0, 2], upper_left[2, 0], upper_left[2, 2] = 4, 7, 8, 6
    built = passing_on(decoder, (1, 5, 5))
    x_hat, code, _ = built(image.view(1, -1))
    assert code.tolist() == [[4, 7, 8, 6]], "the row and column that are left over are not pooled"
    assert torch.equal(x_hat.view(5, 5), seen)
    assert torch.equal(built.decode(code).view(5, 5), upper_left)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_that_unpools_sees_more_than_the_code(decoder):
    shape = (2, 14, 11)
    built, x = network(Conv((4, 4), decoder=decoder, activation="tanh"), shape), samples(6, shape)
    x_hat, code, _ = built(x)
    assert torch.equal(built.decode(code), x_hat) is (decoder == "deconv")
    assert (built.n_switches == 0) is (decoder == "deconv")


# --- the start ---


@pytest.mark.parametrize("transposed", [False, True])
def test_layers_start_like_torchs_own(transposed):
    layer = ConvLayer(40, 60, (9, 9), (9, 9), (5, 3), transposed=transposed)
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    ours = convolution(layer, seeded())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = kind(40, 60, (5, 3))
    quantiles = torch.linspace(0, 1, 11)
    for name, tolerance in (("weight", 0.03), ("bias", 0.25)):
        mine, reference = (getattr(one, name).detach().flatten() for one in (ours, theirs))
        bound = 1 / math.sqrt((60 if transposed else 40) * 15)
        assert mine.shape == reference.shape
        assert mine.abs().max() <= bound
        torch.testing.assert_close(
            mine.quantile(quantiles) / bound, reference.quantile(quantiles) / bound, rtol=0, atol=tolerance
        )


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_start_comes_from_the_generator_alone(decoder, global_generators):
    part, state = Conv((3, 4), decoder=decoder), global_generators()
    first, again, other = (network(part, (1, 9, 9), seed).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert global_generators() == state
