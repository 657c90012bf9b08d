"""A network from outside the package: any torch module with `encode` and `decode`; here one with a single weight."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from isthmus.networks import register
from isthmus.parts import NetworkPart


@dataclass(frozen=True, repr=False)
class Tied(NetworkPart):
    """code = relu(W x + b), x_hat = Wᵀ code + c."""

    kind: ClassVar[str] = "tied"
    output: ClassVar[str] = "linear"
    code_activation: ClassVar[str] = "relu"
    bottleneck: int = 32


class TiedNetwork(nn.Module):
    def __init__(self, n_features, bottleneck):
        super().__init__()
        self.encoder = nn.Linear(n_features, bottleneck)
        self.offset = nn.Parameter(torch.zeros(n_features))

    def encode(self, x):
        return self.encoder(x).relu()

    def decode(self, code):
        return code @ self.encoder.weight + self.offset


register(Tied, lambda part, n_features, generator, image_shape: TiedNetwork(n_features, part.bottleneck))
