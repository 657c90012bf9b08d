"""The training pass of a convolutional network, its backward pass written out.

Small steps on a CPU are computed in `accelerators.windowed`, without torch's convolutions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from isthmus.networks.accelerators.code import Tapes, backward_code, record_code
from isthmus.networks.accelerators.windowed import Parts, WindowedPass, pays, shares
from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE, SATURATING
from isthmus.networks.conv import ConvChain, ConvNetwork, Switches, activates_first, aten, channels_last
from isthmus.networks.dense import without_last
from isthmus.networks.outputs import Gradients, Output
from isthmus.parts import ConvLayer


class Tape(NamedTuple):
    """What the backward pass needs of one layer: x and weight were convolved; where y overwrote z, both are y."""

    activation: str
    x: torch.Tensor
    weight: torch.Tensor | None
    convolved: torch.Tensor  # before pooling
    switches: torch.Tensor | None
    z: torch.Tensor
    y: torch.Tensor


Half = WindowedPass | list[Tape]  # of the encoder or the decoder: computed in windows, or not


class ConvPass:
    """`record` and `backward` of a `ConvNetwork`."""

    def __init__(self, network: ConvNetwork) -> None:
        self.network = network
        self.windowed: dict[tuple[int, int, torch.dtype], WindowedPass] = {}

    def record(
        self, x: torch.Tensor, dtype: torch.dtype, *, logits: bool = False, generator: torch.Generator | None = None
    ) -> tuple[Output, Tapes]:
        """The output, and what `backward` needs: see `Network.record`.

        What `backward` needs may be overwritten by the next `record`.
        """
        net, windowed = self.network, None
        on_cpu = x.device.type == "cpu" and dtype == x.dtype == net.encoder.layers[0].weight.dtype
        if on_cpu and pays(net.shape[0], net.multiplications * len(x)):
            windowed = self._pass(x)
        down: Half
        switches: Switches = [None] * len(net.encoder.plan)
        if windowed is not None:
            z, down = windowed.encode(net.inward(x)), windowed
        else:
            maps, down = _record(net.encoder, channels_last(net.inward(x), net.shape), dtype, switches)
            z, switches = maps.flatten(1).to(x.dtype), [tape.switches for tape in reversed(down)]
        (code, seen, terms), between = record_code(net.code, z, generator)
        if windowed is not None and len(seen) == len(x):  # and not one of several draws of each sample
            return Output(net.outward(windowed.decode(seen, logits=logits)), code, terms), Tapes(down, between, down)
        maps = channels_last(seen, net.code_shape)
        x_hat, up = _record(net.decoder, maps, dtype, switches, is_last=True, logits=logits)
        return Output(net.outward(x_hat.flatten(1)), code, terms), Tapes(down, between, up)

    def _pass(self, x: torch.Tensor) -> WindowedPass:
        """The pass for batches of this size; kept, for its buffers are large and are used in every step."""
        net, n = self.network, len(x)
        key = n, shares(n, torch.get_num_threads()), x.dtype
        if key not in self.windowed:
            like = x.new_empty(key[1], n // key[1])
            self.windowed[key] = WindowedPass(like, net.shape, *map(_parts, (net.encoder, net.decoder)))
        return self.windowed[key]

    def backward(self, tapes: Tapes, at: Gradients) -> None:
        net, (down, between, up) = self.network, tapes
        grad = net.gradient_inward(at.x_hat)
        if isinstance(up, WindowedPass):
            grad = up.backward_decoder(grad)
        else:
            grad = _backward(net.decoder, up, channels_last(grad, net.shape), to_input=True).flatten(1).to(grad.dtype)
        grad = backward_code(net.code, between, grad, at)
        if isinstance(down, WindowedPass):
            down.backward_encoder(grad)
        else:
            shape = net.encoder.plan[-1].n_out, *net.code_shape[1:]
            _backward(net.encoder, down, channels_last(grad, shape), to_input=False)


def _record(
    chain: ConvChain,
    x: torch.Tensor,
    dtype: torch.dtype,
    switches: Switches,
    *,
    is_last: bool = False,
    logits: bool = False,
) -> tuple[torch.Tensor, list[Tape]]:
    """The output, and what `_backward` needs. Arguments as of `accelerators.dense.record_chain`."""
    tapes: list[Tape] = []
    full, activations = chain.layers[-1].weight.dtype, without_last(chain.activations, logits)
    for layer, activation, module, given in zip(chain.plan, activations, chain.layers, switches, strict=True):
        # thin ones because oneDNN's bfloat16 kernels for AMX (3.12) read memory there that nobody has written: what
        # it holds is multiplied by 0, and NaN if that was no number
        x = x.to(full if layer.is_thin or (is_last and layer is chain.plan[-1]) else dtype)
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
        function, first = IN_PLACE.get(activation, ACTIVATIONS[activation]), activates_first(layer, activation)
        convolved = y = function(y) if first else y
        if layer.pool is not None:
            y, places = aten.max_pool2d_with_indices(y, [2, 2])
        z = y.to(full) if activation in SATURATING else y
        y = function(z) if layer.kernel is not None and not first else z
        tapes.append(Tape(activation, x, weight, convolved, places, z, y))
        x = y
    return x, tapes


def _backward(chain: ConvChain, tapes: list[Tape], grad: torch.Tensor, *, to_input: bool) -> torch.Tensor:
    """Write each weight's gradient into its `.grad`, over what was there; return the gradient at the input.

    Without `to_input`, the gradient at the input is not computed, and what is returned has no meaning.
    """
    steps = list(zip(chain.plan, chain.layers, tapes, strict=True))
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


def _options(layer: ConvLayer) -> tuple[list[int], list[int], list[int], bool, list[int], int]:
    """stride, padding, dilation, transposed, output_padding, groups."""
    return [layer.stride] * 2, list(layer.padding), [1, 1], layer.transposed, [0, 0], 1


def _at_switches(grad: torch.Tensor, switches: torch.Tensor | None) -> torch.Tensor:
    """The backward pass of unpooling: of a large image the numbers at the switches, channels last throughout."""
    assert switches is not None
    (n, c), (h, w) = grad.shape[:2], switches.shape[2:]
    places = switches.permute(0, 2, 3, 1).reshape(n, h * w, c)
    at_places = grad.permute(0, 2, 3, 1).reshape(n, -1, c).gather(1, places)
    return at_places.view(n, h, w, c).permute(0, 3, 1, 2)


def _parts(chain: ConvChain) -> Parts:
    return zip(chain.plan, chain.activations, chain.layers, strict=True)
