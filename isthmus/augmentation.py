"""Computation of augmentations: (part, x, generator, image_shape) → x_aug, the input and the target of a training.

All random numbers come from the generator that is passed in. image_shape is (channels, height, width).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from isthmus import kinds
from isthmus.parts import Affine, Augmentation

ImageShape = tuple[int, int, int]
_PADDINGS = {"edge": "border", "reflect": "reflection", "zeros": "zeros"}  # torch's words


def augment(
    part: Augmentation, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None = None
) -> torch.Tensor:
    """The augmented x, (n, n_features), in a new tensor; x is left as it is. Raises as `part.check`."""
    part.check(x.shape[1], image_shape)
    return _COMPUTES[type(part)](part, x, generator, image_shape)


def affine(
    part: Affine, x: torch.Tensor, generator: torch.Generator, image_shape: ImageShape | None = None
) -> torch.Tensor:
    """A share of the images, each with a random affine map of its own."""
    shape = image_shape or part.image_shape
    assert shape is not None, "checked by the part"
    count = round(part.share * len(x))
    if count == 0 or not (part.rotation or part.scale or part.shear or part.shift):
        return x.clone()  # the same bits, which a grid from -1 to 1 would round
    # which images: always the first would be always the same ones, where the order is always the same
    chosen = torch.rand(len(x), generator=generator, device=x.device).argsort()[:count]
    images = x.index_select(0, chosen).view(-1, *shape)
    moved = warped(images, *random_maps(part, count, generator, x), part.fill)
    return x.index_copy(0, chosen, moved.view(count, x.shape[1]))


Compute = Callable[[Any, torch.Tensor, torch.Generator, ImageShape | None], torch.Tensor]
_COMPUTES: dict[type[Augmentation], Compute] = kinds.COMPUTES["augmentation"]
_COMPUTES[Affine] = affine


def register(kind: type[Augmentation], compute: Compute) -> None:
    """Let augmentations of one's own be used like the package's: in estimators, saved models, studies and commands.

    kind: a frozen dataclass, with the class variable `kind`. compute: (part, x, generator, image_shape) → x_aug, in
    a new tensor of x's shape, type and device. Raises RequestError for a kind that there is.
    """
    kinds.register("augmentation", kind, compute)


def random_maps(
    part: Affine, n: int, generator: torch.Generator, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """n random maps for `warped`: matrices (n, 2, 2) and shifts (n, 2), in the type and on the device of `like`."""
    u = torch.rand((6, n), generator=generator, device=like.device, dtype=like.dtype).mul_(2).sub_(1)
    angle, shear = u[0] * math.radians(part.rotation), u[1] * part.shear
    across, down = 1 + u[2] * part.scale, 1 + u[3] * part.scale
    cos, sin = angle.cos(), angle.sin()
    # a rotation, then a shear, then a scaling
    rows = [cos + shear * sin, shear * cos - sin, sin, cos]
    matrix = torch.stack([rows[0] / across, rows[1] / across, rows[2] / down, rows[3] / down], dim=1)
    return matrix.view(n, 2, 2), (u[4:] * part.shift).T


def warped(images: torch.Tensor, matrix: torch.Tensor, shift: torch.Tensor, fill: str = "zeros") -> torch.Tensor:
    """The images with what was at matrix @ p + shift now at p; p = (x, y) in pixels from the middle, y downwards.

    images: (n, channels, height, width); matrix: (n, 2, 2); shift: (n, 2). fill: as of `Affine`. Bilinear.
    """
    # torch's grid goes from -1 to 1 along each side; twice as fast as gathering by hand, in pixels (batches of 128).
    # affine_grid would make it by tiny products, four times as slowly, and a CUDA graph cannot copy from the host
    height, width = images.shape[2:]
    x, y = (_middles(n, images) for n in (width, height))
    across, down = matrix[:, 0, :, None, None], matrix[:, 1, :, None, None]
    to_x, to_y = (shift[:, i, None, None] * (2 / n) for i, n in ((0, width), (1, height)))
    grid = torch.stack(
        [
            across[:, 0] * x + (across[:, 1] * (height / width) * y[:, None] + to_x),
            down[:, 1] * y[:, None] + (down[:, 0] * (width / height) * x + to_y),
        ],
        dim=-1,
    )
    return functional.grid_sample(images, grid, padding_mode=_PADDINGS[fill], align_corners=False)


def _middles(n: int, like: torch.Tensor) -> torch.Tensor:
    """The centres of n pixels on a side from -1 to 1."""
    return torch.arange(1 - n, n, 2, device=like.device, dtype=like.dtype) / n
