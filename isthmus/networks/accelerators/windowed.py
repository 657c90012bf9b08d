"""The training pass of a convolutional network on a CPU, as products over windows.

2×2 pooling chooses among four neighbouring positions of a convolution. A k×k kernel at these four sees one window of
(k + 1)×(k + 1) pixels, and the windows of neighbouring choices are two pixels apart. So a layer of the encoder is: the
windows as the columns of a matrix (`Windows.gather`); one product, with a matrix that holds the kernel four times, each
shifted by a pixel (`Kernel`); and of four blocks of its rows the maximum (`Switches.pool`). Unpooling and convolution
are the same way back: a number to its place among four, one product, and the windows added up where they overlap
(`Windows.fold`). A transposed convolution of stride 2 is that with one place instead of four. The gradient of the one
direction is the other direction.

Images are (shares, channels, height, width, m) here. The batch is last, so that every operation runs along samples,
however small an image is; and each thread has a share of it, m samples, in every operation the same. The buffers, and
the views of them, are made once for a batch size and used in every step.

A step of the README's conv-unpool takes 0.7 of the time that torch's convolutions need in `accelerators.conv`, with one
thread and with two: there each of 17 calls takes some 100 µs before it computes. The price is the zeros in the shifted
kernels, (k + 1)² / k² times the multiplications, and buffers: so it pays for small networks alone (`pays`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from isthmus.networks.accelerators.windows import Kernel, Switches, Windows
from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE
from isthmus.parts import ConvLayer

Parts = Iterable[tuple[ConvLayer, str, Any]]  # a chain's layers, activations and modules

_ROWS_IN_ORDER = 128  # as many terms of a sum as every BLAS adds in order
_LEAST_SHARE = 16  # samples: shorter runs cost more than a thread gains
# of a batch's pass; up to it the step took 0.5 to 0.9 of the time, at 50 million 0.9 to 1, beyond that often more. With
# three channels torch's convolutions, which are slow for one, were as fast or faster at 12 million already
_MULTIPLICATIONS = 30e6


class Down:
    """A layer of the encoder: convolution, pooling, activation; ReLU before the pooling, as in `accelerators.conv`."""

    def __init__(self, like: torch.Tensor, layer: ConvLayer, activation: str, module: Any) -> None:
        assert layer.pool is not None
        c, self.activation = layer.n_out, activation
        self.kernel = Kernel(like, module, 2, bias=True)
        window = self.kernel.window
        self.windows = Windows(like, layer.n_in, layer.size_in, layer.padding, window, layer.pool, ones=True)
        columns, matrix = self.windows.columns, self.kernel.matrix
        self.switches = Switches(like, c, layer.pool)
        self.four = like.new_empty(len(columns), 4 * c, columns.shape[2])
        self.halves, self.upper_left = self.switches.halves(self.four), self.four[:, ::4]
        # Some channels at a time. In one product with many rows a BLAS would sum up the four positions in different
        # orders, and where an image is all of one colour the switches would follow the rounding.
        some = max(1, _ROWS_IN_ORDER // math.prod(window)) * math.prod(window)
        ends = [*range(some, columns.shape[1] - 1, some), columns.shape[1]]
        parts = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        self.products = [(matrix[:, :, rows], columns[:, rows]) for rows in parts]

    def forward(self, out: torch.Tensor) -> torch.Tensor:
        """The maps of the images in `windows.seen`, into out."""
        self.kernel.read()
        self.windows.gather()
        torch.bmm(*self.products[0], out=self.four)
        for factors in self.products[1:]:
            self.four.baddbmm_(*factors)
        if self.activation == "relu":
            self.upper_left.clamp_(min=0)  # so, in a window that is all off, it is the maximum: and that is ReLU
        self.y = self.z = self.switches.pool(self.halves, out)
        if self.activation != "relu":
            y = _activated(self.activation, out)
            if y is not out:
                self.z = out.clone()  # its derivative needs what was there before
                out.copy_(y)
        return self.y

    def backward(self, grad: torch.Tensor, *, to_input: bool) -> torch.Tensor:
        """Write the gradients of the weights; return that at the images, if it is asked for."""
        self.switches.place(BACKWARD[self.activation](grad, self.y, self.z), self.halves)
        torch.bmm(self.four, self.windows.columns_t, out=self.kernel.grad)
        self.kernel.write()
        if not to_input:
            return grad
        torch.bmm(self.kernel.back, self.four, out=self.windows.folded)
        return self.windows.fold()


class Up:
    """A layer of the decoder: unpooling by `switches`, if it has some, transposed convolution, activation."""

    def __init__(
        self, like: torch.Tensor, layer: ConvLayer, activation: str, module: Any, switches: Switches | None
    ) -> None:
        self.switches, self.module, self.activation = switches, module, activation
        q, grid = (1, layer.size_in) if switches is None else (2, switches.grid)
        self.kernel, window, padding = None, (2, 2), (0, 0)
        if layer.kernel is None:
            self.activation = "linear"
        else:
            # a convolution with some padding, turned, is the transposed one with what the padding is short of
            turned, padding = not layer.transposed, layer.padding
            if turned:
                padding = layer.kernel[0] - 1 - padding[0], layer.kernel[1] - 1 - padding[1]
            self.kernel = Kernel(like, module, q, turned=turned)
            window = self.kernel.window
        self.windows = Windows(like, layer.n_out, layer.size_out, padding, window, grid)
        (shares, m), c = like.shape, layer.n_in
        self.pooled = shares, c, *grid, m
        # without a convolution, the four places are what is added up
        self.placed, self.grad = self.windows.folded, self.windows.columns
        if self.kernel is not None:
            self.placed, self.grad = like.new_empty(2, shares, c * q * q, math.prod(grid) * m)
        if switches is not None:
            self.halves, self.grad_halves = switches.halves(self.placed), switches.halves(self.grad)

    def forward(self, x: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
        """The images of the maps x. logits: before their activation, of which `backward` then knows nothing either."""
        if self.switches is None:
            self.placed.view(self.pooled).copy_(x)
        else:
            self.switches.place(x, self.halves)
        if self.kernel is None:
            self.z = self.windows.fold()
        else:
            self.kernel.read()
            torch.bmm(self.kernel.back, self.placed, out=self.windows.folded)
            self.z = self.windows.fold(self.module.bias)
        self.applied = "linear" if logits else self.activation
        self.y = _activated(self.applied, self.z)
        return self.y

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the weights; return that at the maps."""
        self.windows.seen.copy_(BACKWARD[self.applied](grad, self.y, self.z))
        columns = self.windows.gather()
        if self.kernel is not None:
            self.windows.sum_seen(self.module.bias.grad)
            torch.bmm(self.placed, self.windows.columns_t, out=self.kernel.grad)
            self.kernel.write()
            torch.bmm(self.kernel.matrix, columns, out=self.grad)
        return self.grad.view(self.pooled) if self.switches is None else self.switches.pick(self.grad_halves)


class WindowedPass:
    """`ConvPass.record` and `backward` for batches of one size: what one step leaves, the next one writes over.

    like: (shares, m), of the dtype; n = shares * m. shape: (channels, height, width).
    """

    def __init__(self, like: torch.Tensor, shape: tuple[int, int, int], encoder: Parts, decoder: Parts) -> None:
        (shares, m), self.like = like.shape, like
        self.down = [Down(like, *part) for part in encoder]
        switches = [down.switches for down in reversed(self.down)]
        self.up = [
            Up(like, *part, places if part[0].unpool is not None else None)
            for part, places in zip(decoder, switches, strict=True)
        ]
        self.code = like.new_empty(shares, self.down[-1].four.shape[1] // 4, *switches[0].grid, m)
        self.outs = [*(down.windows.seen for down in self.down[1:]), self.code]
        self.seen, self.grad_code = like.new_empty(self.up[0].pooled), torch.empty_like(self.code)
        self.grad = like.new_empty(shares, *shape, m)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """(n, n_features) → what the encoder gives, (n, numbers)."""
        _batch_last(x, self.down[0].windows.seen)
        for down, out in zip(self.down, self.outs, strict=True):
            down.forward(out)
        return _batch_first(self.code)

    def decode(self, seen: torch.Tensor, *, logits: bool = False) -> torch.Tensor:
        """(n, code_size) → x_hat, (n, n_features). logits: as of `Network.record`."""
        x_hat = _batch_last(seen, self.seen)
        for up in self.up:
            x_hat = up.forward(x_hat, logits=logits and up is self.up[-1])
        return _batch_first(x_hat)

    def backward_decoder(self, grad_x_hat: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the decoder's weights; return that at what it saw."""
        grad = _batch_last(grad_x_hat, self.grad)
        for up in reversed(self.up):
            grad = up.backward(grad)
        return _batch_first(grad)

    def backward_encoder(self, grad: torch.Tensor) -> None:
        """Write the gradients of the encoder's weights, from that at what it gave."""
        grad = _batch_last(grad, self.grad_code)
        for i, down in reversed(list(enumerate(self.down))):
            grad = down.backward(grad, to_input=i > 0)


def pays(channels: int, multiplications: int) -> bool:
    """Whether it is faster than torch's convolutions. channels: of the images; multiplications: of a batch's pass."""
    return channels == 1 and multiplications <= _MULTIPLICATIONS


def shares(n: int, threads: int) -> int:
    """Into how many shares a batch of n is divided: as many as there are threads, if they are equal and not small."""
    return max(s for s in range(1, threads + 1) if n % s == 0 and (s == 1 or n // s >= _LEAST_SHARE))


def _activated(activation: str, z: torch.Tensor) -> torch.Tensor:
    return IN_PLACE.get(activation, ACTIVATIONS[activation])(z)


def _batch_last(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """(n, n_features) into (shares, c, h, w, m)."""
    shares, *shape, m = out.shape
    return out.copy_(x.view(shares, m, *shape).permute(0, 2, 3, 4, 1))


def _batch_first(x: torch.Tensor) -> torch.Tensor:
    """(shares, c, h, w, m) as a new (n, n_features)."""
    return x.permute(0, 4, 1, 2, 3).clone(memory_format=torch.contiguous_format).flatten(0, 1).flatten(1)
