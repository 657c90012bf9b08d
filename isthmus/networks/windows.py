"""The training pass of a convolutional network on a CPU, as products over windows.

2×2 pooling chooses among four neighbouring positions of a convolution. A k×k kernel at these four sees one window of
(k + 1)×(k + 1) pixels, and the windows of neighbouring choices are two pixels apart. So a layer of the encoder is: the
windows as the columns of a matrix (`Windows.gather`); one product, with a matrix that holds the kernel four times, each
shifted by a pixel (`Kernel`); and of four blocks of its rows the maximum (`Switches.pool`). Unpooling and convolution
are the same way back: a number to its place among four, one product, and the windows added up where they overlap
(`Windows.fold`). A transposed convolution of stride 2 is that with one place in place of four. The gradient of one
direction is the other direction.

Images are (channels, height, width, n) here, the batch last: so every operation runs along the samples, however small
an image is. The buffers, and the views of them, are made once for a batch size and used in every step.

A step of the README's conv-unpool takes 0.7 of the time of torch's convolutions in `networks.conv`, with one thread and
with two: there each of 17 calls takes some 100 µs before it computes. The zeros of the shifted kernels are the price:
(k + 1)² / k² times the multiplications, so it pays for few channels alone (`pays`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE
from isthmus.parts import ConvLayer

Halves = tuple[torch.Tensor, ...]  # of (4 * c, L), the left and the right places: (2, c, L) each
Parts = Iterable[tuple[ConvLayer, str, Any]]  # a chain's layers, activations and modules


class Windows:
    """The windows of images (c, height, width, n), two pixels apart: grid[0]×grid[1] of them.

    columns: (kh * kw * c, L), L = grid[0] * grid[1] * n, a window of a sample each; with `ones`, a row of ones more.
    """

    def __init__(
        self,
        like: torch.Tensor,
        c: int,
        size: tuple[int, int],
        padding: tuple[int, int],
        window: tuple[int, int],
        grid: tuple[int, int],
        *,
        ones: bool = False,
    ) -> None:
        n, rows, (kh, kw), (h, w) = len(like), math.prod(window) * c, window, grid
        # what is padded, and what the last windows need; even, so that it is pairs of rows and of columns
        height, width = (
            max(side + 2 * pad, 2 * (count - 1) + k) + 1 & ~1
            for side, pad, count, k in zip(size, padding, grid, window, strict=True)
        )
        inside = (
            slice(None),
            slice(padding[0], padding[0] + size[0]),
            slice(padding[1], padding[1] + size[1]),
        )
        self._seen, self._added = like.new_zeros(2, c, height, width, n)
        self.seen, self.added = self._seen[inside], self._added[inside]  # the images: gathered from, folded into
        of_c, of_h, of_w, _ = self._seen.stride()
        self._windows = self._seen.as_strided((kh, kw, c, h, w, n), (of_h, of_w, of_c, 2 * of_h, 2 * of_w, 1))
        self.columns = like.new_ones(rows + ones, h * w * n)
        self._gathered = self.columns[:rows].view(self._windows.shape)
        self.folded = like.new_empty(rows, h * w * n)  # what `fold` adds up, as columns
        # 2×2 pixels of all windows at a time, for these do not overlap
        pairs, parts = self._added.view(c, height // 2, 2, width // 2, 2, n), self.folded.view(kh, kw, c, h, w, n)
        self._sums = []
        for i in range(0, kh, 2):
            for j in range(0, kw, 2):
                part = parts[i : i + 2, j : j + 2].permute(2, 3, 0, 4, 1, 5)
                there = pairs[:, i // 2 : i // 2 + h, : part.shape[2], j // 2 : j // 2 + w, : part.shape[4]]
                self._sums.append((there, part))

    def gather(self) -> torch.Tensor:
        """`columns` of the images in `seen`."""
        self._gathered.copy_(self._windows)
        return self.columns

    def fold(self, start: torch.Tensor | float) -> torch.Tensor:
        """`added`: start, (c,) or a number, and at each pixel the sum of what `folded` has for it."""
        if isinstance(start, torch.Tensor):
            self._added.copy_(start.view(-1, 1, 1, 1))
        else:
            self._added.fill_(start)
        for there, part in self._sums:
            there += part
        return self.added


class Kernel:
    """A convolution's weight, for q×q neighbouring positions at once.

    matrix: (q * q * n_maps, kh * kw * c), n_maps the channels on the pooled side and c those on the images'; with
    `bias`, a column more. grad: of its shape, its gradient.
    """

    def __init__(self, module: Any, n_maps: int, c: int, q: int, *, turned: bool = False, bias: bool = False) -> None:
        self.module, self.turned = module, turned
        kernel = module.weight.shape[2:]
        self.window = kernel[0] + q - 1, kernel[1] + q - 1
        rows = math.prod(self.window) * c
        self._blocks = module.weight.new_zeros(q, q, n_maps, rows + bias)
        self._grad_blocks = torch.zeros_like(self._blocks)
        down, right, each, _ = self._blocks.stride()
        of_h, of_w = self.window[1] * c, c
        shifted = (q, q, n_maps, c, *kernel), (down + of_h, right + of_w, each, 1, of_h, of_w)
        self._shifted, self._grad_shifted = self._blocks.as_strided(*shifted), self._grad_blocks.as_strided(*shifted)
        self._grad_dense = torch.empty(shifted[0], dtype=module.weight.dtype)
        self.bias = bias
        self.matrix, self.grad = self._blocks.flatten(0, 2), self._grad_blocks.flatten(0, 2)
        self.back = self.matrix[:, :rows].t()

    def read(self) -> None:
        """Take the module's weights, as they are now."""
        self._shifted.copy_(_turned(self.module.weight) if self.turned else self.module.weight)
        if self.bias:
            self._blocks[..., -1] = self.module.bias

    def write(self) -> None:
        """The module's gradients, from `grad`."""
        self._grad_dense.copy_(self._grad_shifted)  # a sum that reads them where they are takes five times as long
        grad = self._grad_dense.flatten(0, 1).sum(0)
        self.module.weight.grad.copy_(_turned(grad) if self.turned else grad)
        if self.bias:
            torch.sum(self._grad_blocks[..., -1], (0, 1), out=self.module.bias.grad)


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """What makes of a convolution the transposed one with the same result, and the other way round."""
    return weight.transpose(0, 1).flip(2, 3)


class Switches:
    """Which of four places has the maximum, the first of them in a tie: as factors of 0 and 1.

    Four places are the blocks of (4 * c, L), row by row; what is pooled is (c, h, w, n).
    """

    def __init__(self, like: torch.Tensor, c: int, grid: tuple[int, int]) -> None:
        n = len(like)
        self.grid, self._four = grid, (2, 2, c, math.prod(grid) * n)
        self._right = like.new_empty(2, *self._four[2:])  # in the upper row, in the lower row: the right place
        self._lower = like.new_empty(c, *grid, n)
        self._rows = like.new_empty(2, *self._four[2:])
        self._upper_row, self._lower_row = self._rows.view(2, *self._lower.shape)

    def halves(self, four: torch.Tensor) -> Halves:
        """(4 * c, L) as its left and its right places."""
        return four.view(self._four).unbind(1)

    def pool(self, four: Halves, out: torch.Tensor) -> torch.Tensor:
        """The maxima, into out."""
        left, right = four
        torch.gt(right, left, out=self._right)
        torch.maximum(left, right, out=self._rows)
        torch.gt(self._lower_row, self._upper_row, out=self._lower)
        return torch.maximum(self._upper_row, self._lower_row, out=out)

    def place(self, pooled: torch.Tensor, four: Halves) -> None:
        """Each number to its place, 0 to the other three."""
        torch.mul(pooled, self._lower, out=self._lower_row)
        torch.sub(pooled, self._lower_row, out=self._upper_row)
        left, right = four
        torch.mul(self._rows, self._right, out=right)
        torch.sub(self._rows, right, out=left)

    def pick(self, four: Halves) -> torch.Tensor:
        """The numbers at the places: a new (c, h, w, n)."""
        left, right = four
        torch.lerp(left, right, self._right, out=self._rows)
        return torch.lerp(self._upper_row, self._lower_row, self._lower)


class Down:
    """A layer of the encoder: convolution, pooling, activation; ReLU before the pooling, as in `networks.conv`."""

    def __init__(self, like: torch.Tensor, layer: ConvLayer, activation: str, module: Any) -> None:
        assert layer.pool is not None
        c, self.activation = layer.n_out, activation
        self.kernel = Kernel(module, c, layer.n_in, 2, bias=True)
        self.windows = Windows(
            like, layer.n_in, layer.size_in, layer.padding, self.kernel.window, layer.pool, ones=True
        )
        self.four = like.new_empty(4 * c, self.windows.columns.shape[1])
        self.switches = Switches(like, c, layer.pool)
        self.halves, self.upper_left = self.switches.halves(self.four), self.four[:c]

    def forward(self, out: torch.Tensor) -> torch.Tensor:
        """The maps of the images in `windows.seen`, into out."""
        self.kernel.read()
        torch.mm(self.kernel.matrix, self.windows.gather(), out=self.four)
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
        torch.mm(self.four, self.windows.columns.t(), out=self.kernel.grad)
        self.kernel.write()
        if not to_input:
            return grad
        torch.mm(self.kernel.back, self.four, out=self.windows.folded)
        return self.windows.fold(0.0)


class Up:
    """A layer of the decoder: unpooling by `switches`, if it has some, transposed convolution, activation."""

    def __init__(
        self, like: torch.Tensor, layer: ConvLayer, activation: str, module: Any, switches: Switches | None
    ) -> None:
        c, self.activation, self.switches, self.kernel, q = layer.n_in, activation, switches, None, 2
        grid, window, padding = layer.size_in, (2, 2), (0, 0)
        if switches is None:
            q = 1
        else:
            grid = switches.grid
        if layer.kernel is None:
            self.activation = "linear"
        else:
            # the convolution with this padding, turned, is the transposed one with what the padding is short of
            turned, (above, before) = not layer.transposed, layer.padding
            padding = (layer.kernel[0] - 1 - above, layer.kernel[1] - 1 - before) if turned else (above, before)
            self.kernel = Kernel(module, c, layer.n_out, q, turned=turned)
            window = self.kernel.window
        self.windows = Windows(like, layer.n_out, layer.size_out, padding, window, grid)
        # without a convolution, the four places are what is folded
        self.placed = (
            self.windows.folded if self.kernel is None else like.new_empty(q * q * c, math.prod(grid) * len(like))
        )
        self.grad = self.windows.columns if self.kernel is None else torch.empty_like(self.placed)
        self.pooled = c, *grid, len(like)
        if switches is not None:
            self.halves, self.grad_halves = switches.halves(self.placed), switches.halves(self.grad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The images of the maps x."""
        if self.switches is None:
            self.placed.view(self.pooled).copy_(x)
        else:
            self.switches.place(x, self.halves)
        start: torch.Tensor | float = 0.0
        if self.kernel is not None:
            self.kernel.read()
            torch.mm(self.kernel.back, self.placed, out=self.windows.folded)
            start = self.kernel.module.bias
        self.z = self.windows.fold(start)
        self.y = _activated(self.activation, self.z)
        return self.y

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the weights; return that at the maps."""
        self.windows.seen.copy_(BACKWARD[self.activation](grad, self.y, self.z))
        columns = self.windows.gather()
        if self.kernel is not None:
            torch.sum(self.windows.seen, (1, 2, 3), out=self.kernel.module.bias.grad)
            torch.mm(self.placed, columns.t(), out=self.kernel.grad)
            self.kernel.write()
            torch.mm(self.kernel.matrix, columns, out=self.grad)
        return self.grad.view(self.pooled) if self.switches is None else self.switches.pick(self.grad_halves)


class WindowedPass:
    """`ConvNetwork.record` and `backward` for batches of one size: what the one leaves, the next one writes over.

    like: (n, …), a batch's size and dtype. shape: (channels, height, width).
    """

    def __init__(self, like: torch.Tensor, shape: tuple[int, int, int], encoder: Parts, decoder: Parts) -> None:
        self.n, self.dtype, self.shape = len(like), like.dtype, shape
        self.down = [Down(like, *part) for part in encoder]
        found = [down.switches for down in reversed(self.down)]
        self.up = [
            Up(like, *part, switches if part[0].unpool is not None else None)
            for part, switches in zip(decoder, found, strict=True)
        ]
        last = found[0]
        code = like.new_empty(self.down[-1].four.shape[0] // 4, *last.grid, self.n)
        self.outs = [*(down.windows.seen for down in self.down[1:]), code]
        self.grad = like.new_empty(*shape, self.n)

    def record(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(x_hat, code) of x, (n, n_features)."""
        _batch_last(x, self.down[0].windows.seen)
        for down, out in zip(self.down, self.outs, strict=True):
            code = down.forward(out)
        x_hat = code
        for up in self.up:
            x_hat = up.forward(x_hat)
        return _batch_first(x_hat), _batch_first(code)

    def backward(self, grad_x_hat: torch.Tensor, grad_code: torch.Tensor | None) -> None:
        """Write the gradient of every weight: see `Network.backward`."""
        grad = _batch_last(grad_x_hat, self.grad)
        for up in reversed(self.up):
            grad = up.backward(grad)
        if grad_code is not None:
            grad = grad + _batch_last(grad_code, torch.empty_like(self.outs[-1]))
        for i, down in reversed(list(enumerate(self.down))):
            grad = down.backward(grad, to_input=i > 0)


def _activated(activation: str, z: torch.Tensor) -> torch.Tensor:
    return IN_PLACE.get(activation, ACTIVATIONS[activation])(z)


def _batch_last(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """(n, n_features) into (c, h, w, n)."""
    return out.copy_(x.view(-1, *out.shape[:3]).permute(1, 2, 3, 0))


def _batch_first(x: torch.Tensor) -> torch.Tensor:
    """(c, h, w, n) as a new (n, n_features)."""
    return x.permute(3, 0, 1, 2).clone(memory_format=torch.contiguous_format).flatten(1)


def pays(layers: Sequence[ConvLayer]) -> bool:
    """Whether a network of these layers is trained faster in this way."""
    return True
