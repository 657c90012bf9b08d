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
    """Images (c, height, width, n) seen through windows that lie two pixels apart, grid[0]×grid[1] of them.

    In each window a kernel has q×q neighbouring positions. seen: images to be gathered from. columns: what the kernel
    sees of them, (c * kh * kw, q * q * L), L = grid[0] * grid[1] * n; with `ones`, a row of ones more. folded: numbers
    for the pixels of each window, (c * (kh + q - 1) * (kw + q - 1), L). added: images, into which they are added up.
    """

    def __init__(
        self,
        like: torch.Tensor,
        c: int,
        size: tuple[int, int],
        padding: tuple[int, int],
        kernel: tuple[int, int],
        q: int,
        grid: tuple[int, int],
        *,
        ones: bool = False,
    ) -> None:
        n, rows, (kh, kw), (h, w) = len(like), c * math.prod(kernel), kernel, grid
        window = kh + q - 1, kw + q - 1
        # what is padded, and what the last windows need; even, so that it is pairs of rows and of columns
        height, width = (
            max(side + 2 * pad, 2 * (count - 1) + k) + 1 & ~1
            for side, pad, count, k in zip(size, padding, grid, window, strict=True)
        )
        self._seen, self._added = like.new_zeros(2, c, height, width, n)
        inside = (slice(None), *(slice(pad, pad + side) for pad, side in zip(padding, size, strict=True)))
        self.seen, self.added = self._seen[inside], self._added[inside]
        of_c, of_h, of_w, _ = self._seen.stride()
        self._views = self._seen.as_strided(
            (c, kh, kw, q, q, h, w, n), (of_c, of_h, of_w, of_h, of_w, 2 * of_h, 2 * of_w, 1)
        )
        self.columns = like.new_ones(rows + ones, q * q * h * w * n)
        self._gathered = self.columns[:rows].view(self._views.shape)
        self.folded = like.new_empty(c * math.prod(window), h * w * n)
        # 2×2 pixels of all windows at a time, for these do not overlap
        pairs, parts = self._added.view(c, height // 2, 2, width // 2, 2, n), self.folded.view(c, *window, h, w, n)
        self._sums = []
        for i in range(0, window[0], 2):
            for j in range(0, window[1], 2):
                part = parts[:, i : i + 2, j : j + 2].permute(0, 3, 1, 4, 2, 5)
                there = pairs[:, i // 2 : i // 2 + h, : part.shape[2], j // 2 : j // 2 + w, : part.shape[4]]
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


class Shifted:
    """A kernel (maps, c, kh, kw) at q×q neighbouring positions: what each gives to the pixels of its window."""

    def __init__(self, like: torch.Tensor, shape: tuple[int, ...], q: int) -> None:
        maps, c, kh, kw = shape
        blocks = like.new_zeros(maps, q, q, c, kh + q - 1, kw + q - 1)  # what is not written stays 0
        of_map, below, beside, of_c, of_h, of_w = blocks.stride()
        self._there = blocks.as_strided((q, q, *shape), (below + of_h, beside + of_w, of_map, of_c, of_h, of_w))
        self._matrix = blocks.view(maps * q * q, -1).t()

    def of(self, kernel: torch.Tensor) -> torch.Tensor:
        """(c * (kh + q - 1) * (kw + q - 1), maps * q * q)."""
        self._there.copy_(kernel)
        return self._matrix


class Switches:
    """Which of four places has the maximum, the first of them in a tie: as factors of 0 and 1.

    What is pooled is (c, h, w, n), L = h * w * n; four places, row by row, are (c * 4, L) or, the same, (c, 4 * L).
    """

    def __init__(self, like: torch.Tensor, c: int, grid: tuple[int, int]) -> None:
        self.grid, self._pooled = grid, (c, *grid, len(like))
        n_places = math.prod(grid) * len(like)
        self._four = c, 2, 2, n_places
        self._right = like.new_empty(c, 2, n_places)  # in the upper row, in the lower row: the right place
        self._lower = like.new_empty(self._pooled)
        self._rows = like.new_empty(c, 2, n_places)
        self._upper_row, self._lower_row = self._rows.view(c, 2, *self._pooled[1:]).unbind(1)

    def halves(self, four: torch.Tensor) -> Halves:
        """The left places and the right places, (c, 2, L) each."""
        return four.view(self._four).unbind(2)

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
        assert layer.kernel is not None
        c, self.activation, self.module = layer.n_out, activation, module
        self.windows = Windows(like, layer.n_in, layer.size_in, layer.padding, layer.kernel, 2, layer.pool, ones=True)
        rows, n_places = self.windows.columns.shape
        self.weight, self.grad = like.new_empty(2, c, rows)  # the bias is the last column: what the ones get
        self.four = like.new_empty(c, n_places)
        self.switches = Switches(like, c, layer.pool)
        self.halves, self.upper_left = self.switches.halves(self.four), self.four[:, : n_places // 4]
        self.four_rows = self.four.view(4 * c, -1)
        self.shifted = Shifted(like, module.weight.shape, 2)

    def forward(self, out: torch.Tensor) -> torch.Tensor:
        """The maps of the images in `windows.seen`, into out."""
        torch.cat((self.module.weight.flatten(1), self.module.bias[:, None]), 1, out=self.weight)
        torch.mm(self.weight, self.windows.gather(), out=self.four)
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
        torch.mm(self.four, self.windows.columns.t(), out=self.grad)
        self.module.weight.grad.flatten(1).copy_(self.grad[:, :-1])
        self.module.bias.grad.copy_(self.grad[:, -1])
        if not to_input:
            return grad
        torch.mm(self.shifted.of(self.module.weight), self.four_rows, out=self.windows.folded)
        return self.windows.fold(0.0)


class Up:
    """A layer of the decoder: unpooling by `switches`, if it has some, transposed convolution, activation."""

    def __init__(
        self, like: torch.Tensor, layer: ConvLayer, activation: str, module: Any, switches: Switches | None
    ) -> None:
        self.switches, self.module, self.activation = switches, module, activation
        q, grid = (1, layer.size_in) if switches is None else (2, switches.grid)
        c, padding, kernel = layer.n_in, layer.padding, layer.kernel
        # a convolution with some padding, turned, is the transposed one with what the padding is short of
        self.turned = kernel is not None and not layer.transposed
        if kernel is None:  # as if by a kernel of a single 1
            self.activation, padding, kernel, self.shifted = "linear", (0, 0), (1, 1), None
        else:
            if self.turned:
                padding = kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1]
            self.shifted = Shifted(like, (c, layer.n_out, *kernel), q)
        self.windows = Windows(like, layer.n_out, layer.size_out, padding, kernel, q, grid)
        self.pooled = c, *grid, len(like)
        n_places = math.prod(self.pooled[1:])
        if self.shifted is None:
            self.placed, self.grad = self.windows.folded, self.windows.columns
        else:
            self.placed, self.grad = like.new_empty(c * q * q, n_places), like.new_empty(c, q * q * n_places)
        if switches is not None:
            self.halves, self.grad_halves = switches.halves(self.placed), switches.halves(self.grad)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The images of the maps x."""
        if self.switches is None:
            self.placed.view(self.pooled).copy_(x)
        else:
            self.switches.place(x, self.halves)
        if self.shifted is None:
            self.z = self.windows.fold(0.0)
        else:
            self.weight = _turned(self.module.weight) if self.turned else self.module.weight
            torch.mm(self.shifted.of(self.weight), self.placed, out=self.windows.folded)
            self.z = self.windows.fold(self.module.bias)
        self.y = _activated(self.activation, self.z)
        return self.y

    def backward(self, grad: torch.Tensor) -> torch.Tensor:
        """Write the gradients of the weights; return that at the maps."""
        self.windows.seen.copy_(BACKWARD[self.activation](grad, self.y, self.z))
        columns = self.windows.gather()
        if self.shifted is not None:
            torch.sum(self.windows.seen, (1, 2, 3), out=self.module.bias.grad)
            at_weight = (self.placed.view_as(self.grad) @ columns.t()).view_as(self.weight)
            self.module.weight.grad.copy_(_turned(at_weight) if self.turned else at_weight)
            torch.mm(self.weight.flatten(1), columns, out=self.grad)
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
        code = like.new_empty(len(self.down[-1].four), *last.grid, self.n)
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


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """What makes of a convolution the transposed one with the same result, and the other way round."""
    return weight.transpose(0, 1).flip(2, 3)


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
