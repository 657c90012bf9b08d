"""A small vision transformer as an encoder: `Autoencoder(Module(build, {"patch": 4, "code": 8}))`."""

import math

import torch
from torch import nn


class Transformer(nn.Module):
    """Patches as tokens, with a place of their own each, and a class token (Dosovitskiy et al. 2021)."""

    def __init__(self, shape, patch, width, depth, code):
        super().__init__()
        channels, *sides = shape
        n_patches = math.prod(side // patch for side in sides)
        self.tokens = nn.Conv2d(channels, width, patch, patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 1 + n_patches, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.code = nn.Linear(width, code)

    def forward(self, x):
        tokens = self.tokens(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], dim=1) + self.places
        return self.code(self.layers(tokens)[:, 0])


def build(shape, patch=4, width=32, depth=2, code=8, encoded=1):
    """shape: (channels, height, width) of images, of whole patches. encoded: 2 for a code that is Gaussian."""
    decoder = nn.Sequential(
        nn.Linear(code, 128), nn.GELU(), nn.Linear(128, math.prod(shape)), nn.Unflatten(1, tuple(shape))
    )
    return Transformer(shape, patch, width, depth, encoded * code), decoder
