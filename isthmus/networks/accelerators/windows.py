"""Images seen through windows, a kernel at the four positions of a window, and which of the four is the maximum.

The operations of `networks.windowed`. Images are (shares, channels, height, width, m): a batch of shares * m samples.
"""

from __future__ import annotations

import math
from typing import Any

import torch

Halves = tuple[torch.Tensor, ...]  # of four places, the left and the right ones: (shares, c, 2, L) each


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
        self._flat, self._channels_last = self._seen.flatten(2), self._added.permute(0, 2, 3, 4, 1)
        of_share, of_c, of_h, of_w, _ = self._seen.stride()
        self._views = self._seen.as_strided(
            (shares, c, kh, kw, h, w, m), (of_share, of_c, of_h, of_w, 2 * of_h, 2 * of_w, 1)
        )
        self.columns = like.new_ones(shares, rows + ones, h * w * m)
        self.columns_t = self.columns.transpose(1, 2)
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

    def fold(self, start: torch.Tensor | None = None) -> torch.Tensor:
        """`added`: at each pixel the sum of what `folded` has for it, plus start, (c,), if it is given."""
        if start is None:
            self._added.zero_()
        else:
            self._channels_last.copy_(start)
        for there, part in self._sums:
            there += part
        return self.added

    def sum_seen(self, out: torch.Tensor) -> None:
        """The sum over the images in `seen`, into out, (c,)."""
        torch.sum(self._flat, (0, 2), out=out)  # what is around them is 0, and together they are one run


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
        self._weight, self._column = blocks.as_strided(*shifted), blocks[..., -1].permute(1, 2, 0)
        matrix = blocks.flatten(0, 2)
        self.matrix, self.back = matrix.expand(shares, -1, -1), matrix[:, :rows].t().expand(shares, -1, -1)
        self.grad = like.new_empty(shares, *matrix.shape)
        # the gradients of the shares in one, of the four positions one by one, of the weight
        self._whole, self._places = (
            like.new_empty(matrix.shape),
            torch.arange(blocks.numel()).as_strided(*shifted).flatten(),
        )
        self._whole_flat, self._whole_column = self._whole.view(-1), self._whole[:, -1].view(maps, -1)
        self._positions, self._sum = like.new_empty(q * q, module.weight.numel()), like.new_empty(shape)
        self._picked, self._sum_flat = self._positions.view(-1), self._sum.view(-1)

    def read(self) -> None:
        """Take the module's weights, as they are now."""
        weight = self._module.weight
        self._weight.copy_(_turned(weight) if self._turned else weight)
        if self._bias:
            self._column.copy_(self._module.bias)

    def write(self) -> None:
        """The module's gradients, from `grad`."""
        torch.sum(self.grad, 0, out=self._whole)
        # picked by their numbers: a sum over the strided view takes five times as long
        torch.index_select(self._whole_flat, 0, self._places, out=self._picked)
        torch.sum(self._positions, 0, out=self._sum_flat)
        self._module.weight.grad.copy_(_turned(self._sum) if self._turned else self._sum)
        if self._bias:
            torch.sum(self._whole_column, 1, out=self._module.bias.grad)


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


def _turned(weight: torch.Tensor) -> torch.Tensor:
    """What makes of a convolution the transposed one with the same result, and the other way round."""
    return weight.transpose(0, 1).flip(2, 3)
