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

A step of the README's conv-unpool takes 0.7 of the time that torch's convolutions need in `networks.conv`, with one
thread and with two: there each of 17 calls takes some 100 µs before it computes. The price is the zeros in the shifted
kernels, (k + 1)² / k² times the multiplications, and buffers: so it pays for small networks alone (`pays`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from isthmus.networks.activations import ACTIVATIONS, BACKWARD, IN_PLACE
from isthmus.parts import ConvLayer

Halves = tuple[torch.Tensor, ...]  # of four places, the left and the right ones: (shares, c, 2, L) each
Parts = Iterable[tuple[ConvLayer, str, Any]]  # a chain's layers, activations and modules

_ROWS_IN_ORDER = 128  # as many terms of a sum as every BLAS adds in order
_LEAST_SHARE = 16  # samples: shorter runs cost more than a thread gains


class Windows:
    """Images seen through windows, two pixels apart, grid[0]×grid[1] of them; what lies outside an image is 0.

    like: (shares, m). seen: images (shares, c, height, width, m). columns: their windows, (shares, c * kh * kw, L),
    L = grid[0] * grid[1] * m; with `ones`, a row of ones more. folded: of the same shape, numbers for the pixels of
    each window. added: images, into which these are added up.
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
        (shares, m), (kh, kw), (h, w), rows = like.shape, window, grid, c * math.prod(window)
        # what is padded, and what the last windows need; even, so that it is pairs of rows and of columns
        height, width = (
            max(side + 2 * pad, 2 * (count - 1) + k) + 1 & ~1
            for side, pad, count, k in zip(size, padding, grid, window, strict=True)
        )
        self._seen, self._added = like.new_zeros(2, shares, c, height, width, m)
        inside = (..., *(slice(pad, pad + side) for pad, side in zip(padding, size, strict=True)), slice(None))
        self.seen, self.added = self._seen[inside], self._added[inside]
        of_share, of_c, of_h, of_w, _ = self._seen.stride()
        self._views = self._seen.as_strided(
            (shares, c, kh, kw, h, w, m), (of_share, of_c, of_h, of_w, 2 * of_h, 2 * of_w, 1)
        )
        self.columns = like.new_ones(shares, rows + ones, h * w * m)
        self._gathered = self.columns[:, :rows].view(self._views.shape)
        self.folded = like.new_empty(shares, rows, h * w * m)
        # 2×2 pixels of all windows at a time, for these do not overlap
        pairs = self._added.view(shares, c, height // 2, 2, width // 2, 2, m)
        parts = self.folded.view(self._views.shape)
        self._sums = []
        for i in range(0, kh, 2):
            for j in range(0, kw, 2):
                part = parts[:, :, i : i + 2, j : j + 2].permute(0, 1, 4, 2, 5, 3, 6)
                there = pairs[:, :, i // 2 : i // 2 + h, : part.shape[3], j // 2 : j // 2 + w, : part.shape[5]]
                self._sums.append((there, part))

    def gather(self) -> torch.Tensor:
        """`columns` of the images in `seen`."""
        self._gathered.copy_(self._views)
        return self.columns

    def fold(self, start: torch.Tensor | float) -> torch.Tensor:
        """`added`: at each pixel start, (c,) or a number, plus the sum of what `folded` has for it."""
        if isinstance(start, torch.Tensor):
            self._added.copy_(start.view(-1, 1, 1, 1))
        else:
            self._added.fill_(start)
        for there, part in self._sums:
            there += part
        return self.added

    def sum_seen(self, out: torch.Tensor) -> None:
        """The sum over the images in `seen`, into out, (c,)."""
        torch.sum(self._seen.flatten(2), (0, 2), out=out)  # what is around them is 0, and together they are one run


class Kernel:
    """A module's weight as (maps, c, kh, kw), at q×q neighbouring positions in a window: `maps` on the pooled side.

    matrix: (shares, maps * q * q, c * (kh + q - 1) * (kw + q - 1)); with `bias`, a column more. back: the same without
    it, transposed. grad: of the matrix' shape. turned: for a convolution, what makes a transposed one of it.
    """

    def __init__(self, like: torch.Tensor, module: Any, q: int, *, turned: bool = False, bias: bool = False) -> None:
        self._module, self._turned, self._bias = module, turned, bias
        maps, c, kh, kw = shape = (_turned(module.weight) if turned else module.weight).shape
        self.window = kh + q - 1, kw + q - 1
        rows, shares = c * math.prod(self.window), like.shape[0]
        blocks = like.new_zeros(maps, q, q, rows + bias)  # what is not written stays 0
        of_map, below, beside, _ = blocks.stride()
        of_c, of_h = math.prod(self.window), self.window[1]
        shifted = (q, q, *shape), (below + of_h, beside + 1, of_map, of_c, of_h, 1)
        self._weight, self._column = blocks.as_strided(*shifted), blocks[..., -1]
        self._places = torch.arange(blocks.numel()).as_strided(*shifted).flatten()
        matrix = blocks.flatten(0, 2)
        self.matrix, self.back = matrix.expand(shares, -1, -1), matrix[:, :rows].t().expand(shares, -1, -1)
        self.grad = like.new_empty(shares, *matrix.shape)

    def read(self) -> None:
        """Take the module's weights, as they are now."""
        weight, bias = self._module.weight, self._module.bias
        self._weight.copy_(_turned(weight) if self._turned else weight)
        if self._bias:
            self._column.copy_(bias[:, None, None])

    def write(self) -> None:
        """The module's gradients, from `grad`."""
        weight, bias = self._module.weight, self._module.bias
        grad = self.grad.sum(0)
        # picked by their numbers: a sum over the strided view takes five times as long
        whole = grad.view(-1).index_select(0, self._places).view(-1, weight.numel()).sum(0)
        whole = _turned(whole.view(self._weight.shape[2:])) if self._turned else whole.view_as(weight)
        weight.grad.copy_(whole)
        if self._bias:
            torch.sum(grad[:, -1].view(len(bias), -1), 1, out=bias.grad)


class Switches:
    """Which of four places has the maximum, the first of them in a tie: as factors of 0 and 1.

    What is pooled is (shares, c, h, w, m), L = h * w * m; four places, row by row, are (shares, c * 4, L).
    """

    def __init__(self, like: torch.Tensor, c: int, grid: tuple[int, int]) -> None:
        (shares, m), (h, w) = like.shape, grid
        self.grid, self._four = grid, (shares, c, 2, 2, h * w * m)
        self._right = like.new_empty(shares, c, 2, h * w * m)  # in the upper row, in the lower row: the right place
        self._lower = like.new_empty(shares, c, h, w, m)
        self._rows = torch.empty_like(self._right)
        self._upper_row, self._lower_row = self._rows.view(shares, c, 2, h, w, m).unbind(2)

    def halves(self, four: torch.Tensor) -> Halves:
        """The left places and the right places."""
        return four.view(self._four).unbind(3)

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
        """The numbers at the places: a new (shares, c, h, w, m)."""
        left, right = four
        torch.lerp(left, right, self._right, out=self._rows)
        return torch.lerp(self._upper_row, self._lower_row, self._lower)


class Down:
    """A layer of the encoder: convolution, pooling, activation; ReLU before the pooling, as in `networks.conv`."""

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
        torch.bmm(self.four, self.windows.columns.transpose(1, 2), out=self.kernel.grad)
        self.kernel.write()
        if not to_input:
            return grad
        torch.bmm(self.kernel.back, self.four, out=self.windows.folded)
        return self.windows.fold(0.0)


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The images of the maps x."""
        if self.switches is None:
            self.placed.view(self.pooled).copy_(x)
        else:
            self.switches.place(x, self.halves)
        if self.kernel is None:
            self.z = self.windows.fold(0.0)
        else:
            self.kernel.read()
            torch.bmm(self.kernel.back, self.placed, out=self.windows.folded)
            self.z = self.windows.fold(self.module.bias)
        self.y = _activated(self.activation, self.z)
        return self.y

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the weights; return that at the maps."""
        self.windows.seen.copy_(BACKWARD[self.activation](grad, self.y, self.z))
        columns = self.windows.gather()
        if self.kernel is not None:
            self.windows.sum_seen(self.module.bias.grad)
            torch.bmm(self.placed, columns.transpose(1, 2), out=self.kernel.grad)
            self.kernel.write()
            torch.bmm(self.kernel.matrix, columns, out=self.grad)
        return self.grad.view(self.pooled) if self.switches is None else self.switches.pick(self.grad_halves)


class WindowedPass:
    """`ConvNetwork.record` and `backward` for batches of one size: what one step leaves, the next one writes over.

    like: (shares, m), of the dtype; n = shares * m. shape: (channels, height, width).
    """

    def __init__(self, like: torch.Tensor, shape: tuple[int, int, int], encoder: Parts, decoder: Parts) -> None:
        (shares, m), self.like = like.shape, like
        self.down = [Down(like, *part) for part in encoder]
        found = [down.switches for down in reversed(self.down)]
        self.up = [
            Up(like, *part, switches if part[0].unpool is not None else None)
            for part, switches in zip(decoder, found, strict=True)
        ]
        code = like.new_empty(shares, self.down[-1].four.shape[1] // 4, *found[0].grid, m)
        self.outs = [*(down.windows.seen for down in self.down[1:]), code]
        self.grad, self.grad_code = like.new_empty(shares, *shape, m), torch.empty_like(code)

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
            grad = grad + _batch_last(grad_code, self.grad_code)
        for i, down in reversed(list(enumerate(self.down))):
            grad = down.backward(grad, to_input=i > 0)


def shares(n: int, threads: int) -> int:
    """Into how many shares a batch of n is divided: as many as there are threads, if they are equal and not small."""
    return max(s for s in range(1, threads + 1) if n % s == 0 and (s == 1 or n // s >= _LEAST_SHARE))


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """What makes of a convolution the transposed one with the same result, and the other way round."""
    return weight.transpose(0, 1).flip(2, 3)


def _activated(activation: str, z: torch.Tensor) -> torch.Tensor:
    return IN_PLACE.get(activation, ACTIVATIONS[activation])(z)


def _batch_last(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """(n, n_features) into (shares, c, h, w, m)."""
    shares, *shape, m = out.shape
    return out.copy_(x.view(shares, m, *shape).permute(0, 2, 3, 4, 1))


def _batch_first(x: torch.Tensor) -> torch.Tensor:
    """(shares, c, h, w, m) as a new (n, n_features)."""
    return x.permute(0, 4, 1, 2, 3).clone(memory_format=torch.contiguous_format).flatten(0, 1).flatten(1)
