"""A residual network as an autoencoder: `Autoencoder(Module(build, {"width": 16, "code": 8}))`."""

import torch
from torch import nn


class Block(nn.Module):
    """x + f(x), and half the size where `stride` is 2 (He, Zhang, Ren, Sun 2016)."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.short = nn.Conv2d(n_in, n_out, 1, stride) if stride > 1 or n_in != n_out else nn.Identity()

    def forward(self, x):
        return torch.relu(self.short(x) + self.residual(x))


def build(shape, width=16, code=8, encoded=1):
    """shape: (channels, height, width) of images. encoded: 2 for a code that is Gaussian."""
    channels, *sides = shape
    encoder = nn.Sequential(
        Block(channels, width, 2), Block(width, 2 * width, 2), nn.Flatten(), nn.LazyLinear(encoded * code)
    )
    small = [-(-side // 4) for side in sides]
    decoder = nn.Sequential(
        nn.Linear(code, 2 * width * small[0] * small[1]),
        nn.Unflatten(1, (2 * width, *small)),
        Block(2 * width, width, 1),
        nn.Upsample(size=sides),
        nn.Conv2d(width, channels, 3, padding=1),
    )
    return encoder, decoder
