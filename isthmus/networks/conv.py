"""Convolutional autoencoders: encode (n, n_features) → (n, code_size), decode back.

Inside, images are in channels-last order, in which a convolution of few channels takes half the time. Small training
steps on a CPU are computed in `networks.windowed`, without torch's convolutions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from isthmus.errors import RequestError
from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE, SATURATING
from isthmus.networks.dense import without_last
from isthmus.networks.empty import empty
from isthmus.networks.network import Network
from isthmus.networks.windowed import Parts, WindowedPass, pays, shares
from isthmus.parts import Conv, ConvLayer

aten = torch.ops.aten
Switches = list[torch.Tensor | None]  # of each unpooling, where in the large image each number goes: (n, c, h, w)


class Tape(NamedTuple):
    """What the backward pass needs of one layer: x and weight were convolved; where y overwrote z, both are y."""

    activation: str
    x: torch.Tensor
    weight: torch.Tensor | None
    convolved: torch.Tensor  # before pooling
    switches: torch.Tensor | None
    z: torch.Tensor
    y: torch.Tensor


Tapes = WindowedPass | tuple[list[Tape], list[Tape]]  # of a network: in windows, or of the encoder and the decoder


def channels_last(x: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
    """Samples (n, n_features) as images (n, c, h, w) in channels-last order."""
    c, h, w = shape
    if c == 1:  # said in the strides, which for one channel are anyone's choice: convolutions look at them
        return x.reshape(-1, h, w, 1).permute(0, 3, 1, 2)
    return x.reshape(-1, c, h, w).contiguous(memory_format=torch.channels_last)


def upper_left(layer: ConvLayer, pooled: torch.Tensor) -> torch.Tensor:
    """Switches that send each number to the upper-left pixel of its window: all that is known without the encoder's."""
    h, w = pooled.shape[2:]
    rows, columns = torch.arange(h, device=pooled.device), torch.arange(w, device=pooled.device)
    assert layer.unpool is not None
    places = 2 * rows[:, None] * layer.unpool[1] + 2 * columns
    return places.expand(pooled.shape).contiguous(memory_format=torch.channels_last)


class ConvChain(nn.Module):
    """Convolutions, each with the unpooling before it, the pooling after it and its activation.

    As in `networks.dense`, `forward` is for autograd and for inference, `record` and `backward` are for training.
    """

    def __init__(self, layers: list[ConvLayer], activations: tuple[str, ...], generator: torch.Generator) -> None:
        super().__init__()
        self.plan = layers
        self.layers: Any = nn.ModuleList(convolution(layer, generator) for layer in layers)
        # where there is no convolution, there is nothing to be activated
        self.activations = tuple(
            "linear" if layer.kernel is None else activation
            for layer, activation in zip(layers, activations, strict=True)
        )

    def forward(self, x: torch.Tensor, switches: Switches, *, logits: bool = False) -> tuple[torch.Tensor, Switches]:
        """The output, and the switches of each pooling. switches: of each unpooling; None for the upper left."""
        found: Switches = []
        activations = without_last(self.activations, logits)
        for layer, activation, module, given in zip(self.plan, activations, self.layers, switches, strict=True):
            if layer.unpool is not None:
                x = aten.max_unpool2d(x, upper_left(layer, x) if given is None else given, layer.unpool)
            x = module(x)
            function = ACTIVATIONS[activation]
            if not torch.is_grad_enabled() and layer.kernel is not None:
                function = IN_PLACE.get(activation, function)
            places, first = None, _is_first(layer, activation)
            if first:
                x = function(x)
            if layer.pool is not None:
                x, places = nn.functional.max_pool2d(x, 2, return_indices=True)
            found.append(places)
            if not first:
                x = function(x)
        return x, found

    def up_to(self, number: int) -> ConvChain:
        """The first `number` layers, the same weights."""
        part = ConvChain([], (), torch.Generator())
        part.plan, part.activations, part.layers = self.plan[:number], self.activations[:number], self.layers[:number]
        return part

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, switches: Switches, *, is_last: bool = False, logits: bool = False
    ) -> tuple[torch.Tensor, list[Tape]]:
        """The output, and what `backward` needs. Arguments as of `networks.dense.Chain.record`."""
        tapes: list[Tape] = []
        full, activations = self.layers[-1].weight.dtype, without_last(self.activations, logits)
        for layer, activation, module, given in zip(self.plan, activations, self.layers, switches, strict=True):
            # thin ones because oneDNN's bfloat16 kernels for AMX (3.12) read memory there that nobody has written: what
            # it holds is multiplied by 0, and NaN if that was no number
            x = x.to(full if layer.is_thin or (is_last and layer is self.plan[-1]) else dtype)
            if layer.unpool is not None:
                assert given is not None
                x = aten.max_unpool2d(x, given, layer.unpool)
            places, weight, y = given, None, x
            if layer.kernel is not None:
                weight, bias = module.weight.to(x.dtype), module.bias.to(x.dtype)
                if layer.transposed and layer.n_out == 1:
                    y = spread(x, weight, bias, layer)
                else:
                    y = aten.convolution(x, weight, bias, *_options(layer))
            function, first = IN_PLACE.get(activation, ACTIVATIONS[activation]), _is_first(layer, activation)
            convolved = y = function(y) if first else y
            if layer.pool is not None:
                y, places = aten.max_pool2d_with_indices(y, [2, 2])
            z = y.to(full) if activation in SATURATING else y
            y = function(z) if layer.kernel is not None and not first else z
            tapes.append(Tape(activation, x, weight, convolved, places, z, y))
            x = y
        return x, tapes

    def backward(self, tapes: list[Tape], grad: torch.Tensor, *, to_input: bool) -> torch.Tensor:
        """Write each weight's gradient into its `.grad`, over what was there; return the gradient at the input.

        Without `to_input`, the gradient at the input is not computed, and what is returned has no meaning.
        """
        steps = list(zip(self.plan, self.layers, tapes, strict=True))
        for i, (layer, module, tape) in reversed(list(enumerate(steps))):
            grad = BACKWARD[tape.activation](grad.to(tape.y.dtype), tape.y, tape.z).to(tape.convolved.dtype)
            if layer.n_out == 1:  # the strides of one channel got lost, and with them three quarters of the speed
                grad = channels_last(grad.flatten(1), (1, *(layer.pool or layer.size_out)))
            if layer.kernel is not None:
                # by a sum of its own: convolution_backward takes three times as long for it. After the pooling, where
                # numbers are fewer: each is passed on to one place before it, so their sum is the same
                torch.sum(grad, (0, 2, 3), dtype=module.bias.dtype, out=module.bias.grad)
            if layer.pool is not None:
                pooling = [2, 2], [2, 2], [0, 0], [1, 1], False
                grad = aten.max_pool2d_with_indices_backward(grad, tape.convolved, *pooling, tape.switches)
            if layer.kernel is not None:
                wanted = [bool(i or to_input), True, False]
                options = _options(layer)
                grad, at_weight, _ = aten.convolution_backward(grad, tape.x, tape.weight, None, *options, wanted)
                module.weight.grad.copy_(at_weight)
            if layer.unpool is not None and (i or to_input):
                grad = _at_switches(grad, tape.switches)
        return grad


def convolution(layer: ConvLayer, generator: torch.Generator) -> nn.Module:
    """nn.Conv2d or nn.ConvTranspose2d with its own start, from `generator`; nn.Identity where there is none.

    Weights and bias ~ U(-1/√fan, 1/√fan), fan = the numbers in weight[0]: what goes into one output of a convolution.
    """
    if layer.kernel is None:
        return nn.Identity()
    kind = nn.ConvTranspose2d if layer.transposed else nn.Conv2d
    sizes = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
    module: Any = empty(kind, layer.n_in, layer.n_out, **sizes)
    bound = 1 / math.sqrt(module.weight[0].numel())
    with torch.no_grad():
        module.weight.uniform_(-bound, bound, generator=generator)
        module.bias.uniform_(-bound, bound, generator=generator)
    return module


def spread(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, layer: ConvLayer) -> torch.Tensor:
    """A transposed convolution to one channel, as one product and a shifted sum for each number of the kernel.

    Channels last, (n, c, h, w) → (n, 1, H, W). torch's own takes three times as long, a seventh of a step.
    """
    (n, c, h, w), (rows, columns), stride = x.shape, weight.shape[2:], layer.stride
    planes = weight.view(c, -1).t() @ x.permute(0, 2, 3, 1).reshape(-1, c).t()
    canvas = x.new_empty(n, (h - 1) * stride + rows, (w - 1) * stride + columns).copy_(bias)
    for place, plane in enumerate(planes.view(-1, n, h, w)):
        top, left = divmod(place, columns)
        there = canvas[:, top : top + (h - 1) * stride + 1 : stride, left : left + (w - 1) * stride + 1 : stride]
        there += plane  # `canvas[...] += plane` would copy what is there onto itself once more
    (above, before), (height, width) = layer.padding, layer.size_out
    image = canvas[:, above : above + height, before : before + width]
    return channels_last(image.flatten(1), (1, height, width))


def _is_first(layer: ConvLayer, activation: str) -> bool:
    """Whether the activation comes before the pooling. After it, it is cheaper, and for a monotone one the same.

    But for ReLU's switches, as published: in a window that is all off they point to the upper left, not to the maximum
    of what was there before. Its gradient is the same in either order: what is off passes none on.
    """
    return layer.pool is not None and activation == "relu"


def _options(layer: ConvLayer) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
    """stride, padding, dilation, transposed, output_padding, groups."""
    return [layer.stride] * 2, list(layer.padding), [1, 1], layer.transposed, [0, 0], 1


def _at_switches(grad: torch.Tensor, switches: torch.Tensor | None) -> torch.Tensor:
    """The backward pass of unpooling: of a large image the numbers at the switches, channels last throughout."""
    assert switches is not None
    (n, c), (h, w) = grad.shape[:2], switches.shape[2:]
    places = switches.permute(0, 2, 3, 1).reshape(n, h * w, c)
    found = grad.permute(0, 2, 3, 1).reshape(n, -1, c).gather(1, places)
    return found.view(n, h, w, c).permute(0, 3, 1, 2)


def _parts(chain: ConvChain) -> Parts:
    return zip(chain.plan, chain.activations, chain.layers, strict=True)


class ConvNetwork(Network):
    """The module that a `Conv` part describes."""

    def __init__(
        self, part: Conv, n_features: int, generator: torch.Generator, image_shape: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__()
        self.shape = part.shape(image_shape)
        if math.prod(self.shape) != n_features:
            raise RequestError(f"image_shape {self.shape} is not that of samples of {n_features} numbers")
        code = part.activation if part.code_activation is None else part.code_activation
        down, up = part.encoder_layers(self.shape), part.decoder_layers(self.shape)
        self.n_features, self.code_size = n_features, part.code_width(n_features, self.shape)
        self.n_switches = part.n_switches(self.shape)
        self.multiplications = part.multiplications(n_features, self.shape)
        assert down[-1].pool is not None
        self.code_shape = (down[-1].n_out, *down[-1].pool)
        self.encoder = ConvChain(down, (*[part.activation] * (len(down) - 1), code), generator)
        self.decoder = ConvChain(up, (*[part.activation] * (len(up) - 1), part.output), generator)
        self._passes: dict[tuple[int, int, torch.dtype], WindowedPass] = {}

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → (n, code_size), without the switches."""
        return self._encode(x)[0].flatten(1)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, code_size) → (n, n_features): from the code alone, unpooled to the upper left of each window."""
        return self.outward(self.decoder(channels_last(code, self.code_shape), self._upper_left())[0].flatten(1))

    def forward(self, x: torch.Tensor, *, logits: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
        """x → (x_hat, code); the decoder sees the switches, if it is one that unpools. logits: as of `Network`."""
        code, switches = self._encode(x)
        x_hat, _ = self.decoder(code, switches[::-1], logits=logits)
        return self.outward(x_hat.flatten(1)), code.flatten(1)

    def _encode(self, x: torch.Tensor) -> tuple[torch.Tensor, Switches]:
        return self.encoder(channels_last(self.inward(x), self.shape), self._upper_left())

    def _upper_left(self) -> Switches:
        return [None] * len(self.encoder.plan)

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, Tapes]:
        """(x_hat, code, what `backward` needs): see `Network.record`.

        What `backward` needs may be overwritten by the next `record`.
        """
        on_cpu = x.device.type == "cpu" and dtype == x.dtype == self.encoder.layers[0].weight.dtype
        if on_cpu and pays(self.shape[0], self.multiplications * len(x)):
            windowed = self._pass(x)
            x_hat, code = windowed.record(self.inward(x), logits=logits)
            return self.outward(x_hat), code, windowed
        code, down = self.encoder.record(channels_last(self.inward(x), self.shape), dtype, self._upper_left())
        switches = [tape.switches for tape in reversed(down)]
        x_hat, up = self.decoder.record(code, dtype, switches, is_last=True, logits=logits)
        return self.outward(x_hat.flatten(1)), code.flatten(1).to(x.dtype), (down, up)

    def _pass(self, x: torch.Tensor) -> WindowedPass:
        """The pass for batches of this size; kept, for its buffers are large and are used in every step."""
        n = len(x)
        key = n, shares(n, torch.get_num_threads()), x.dtype
        if key not in self._passes:
            like = x.new_empty(key[1], n // key[1])
            self._passes[key] = WindowedPass(like, self.shape, *map(_parts, (self.encoder, self.decoder)))
        return self._passes[key]

    def release(self) -> None:
        self._passes.clear()

    def backward(self, tapes: Tapes, grad_x_hat: torch.Tensor, grad_code: torch.Tensor | None) -> None:
        """Write the gradient of every weight, from those at x_hat and, beyond what comes through x_hat, at the code."""
        grad_x_hat = self.gradient_inward(grad_x_hat)
        if isinstance(tapes, WindowedPass):
            tapes.backward(grad_x_hat, grad_code)
            return
        down, up = tapes
        grad = self.decoder.backward(up, channels_last(grad_x_hat, self.shape), to_input=True)
        if grad_code is not None:
            grad = grad + channels_last(grad_code, self.code_shape)
        self.encoder.backward(down, grad, to_input=False)
