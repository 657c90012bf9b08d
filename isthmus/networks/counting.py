"""Counts of a network by a dry run: its products of a pass, and the weights of its decoder."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Products(TorchDispatchMode):
    """Counts the products of a number and a weight of what runs in it: of matrices, convolutions and attention.

    What torch's FlopCounterMode does, which imports torch's compiler for it: a second and more, in each process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; else the compiler is imported to be told to keep away

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func._overloadpacket):
            self.n += count(*args, **(kwargs or {}), out_val=out) // 2  # a product and a sum
        return out


def dry_copy(module: Any) -> Any:
    """A copy on the meta device, for inference. Its tensors are there from the first: a large network is not copied."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor.detach().to("meta") for tensor in tensors}).eval()


def _of_zeros(module: Any) -> Any:
    """A copy on the CPU for inference, of zeros, for which the system has memory at once, and takes none.

    Passes run faster on it than on the meta device, where torch imports SymPy and its compiler to learn the shapes.
    """
    tensors = [*module.parameters(), *module.buffers()]
    zeros = {id(x): torch.from_numpy(np.zeros(x.nbytes, np.uint8)).view(x.dtype).view(x.shape) for x in tensors}
    return copy.deepcopy(module, zeros).eval()


@torch.no_grad()
def count_multiplications(network: Any, n_features: int) -> int:
    """The `Products` of one pass of one sample."""
    dtype = next(network.parameters()).dtype
    with torch.device("cpu"), Products() as products:
        _of_zeros(network)(torch.zeros(1, n_features, dtype=dtype))
    return products.n


def count_decoder_weights(network: Any) -> int:
    """Numbers in the weights of which a network's `decode` makes use."""
    dry, dtype = _of_zeros(network).requires_grad_(True), next(network.parameters()).dtype
    with torch.device("cpu"), torch.enable_grad():
        x_hat = dry.decode(torch.zeros(2, network.code_size, dtype=dtype))
    weights = list(dry.parameters())
    used = torch.autograd.grad(x_hat.sum(), weights, allow_unused=True)
    return sum(weight.numel() for weight, gradient in zip(weights, used, strict=True) if gradient is not None)
