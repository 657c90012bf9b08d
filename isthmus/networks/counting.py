"""Counts of a network by a dry run: its tensors and one sample on torch's meta device, where nothing is computed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


def dry_copy(module: Any) -> Any:
    """A copy on the meta device, for inference. Its tensors are there from the first: a large network is not copied."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor.detach().to("meta") for tensor in tensors}).eval()


@torch.no_grad()
def count_multiplications(network: Any, n_features: int) -> int:
    """Products of a number and a weight in one pass of one sample: of matrices, convolutions and attention."""
    dry, dtype = dry_copy(network), next(network.parameters()).dtype
    with FlopCounterMode(display=False) as counter:
        dry(torch.empty(1, n_features, device="meta", dtype=dtype))
    return counter.get_total_flops() // 2  # a product and a sum


def count_decoder_weights(network: Any) -> int:
    """Numbers in the weights of which a network's `decode` makes use."""
    dry, dtype = dry_copy(network).requires_grad_(True), next(network.parameters()).dtype
    with torch.enable_grad():
        x_hat = dry.decode(torch.empty(2, network.code_size, device="meta", dtype=dtype))
    weights = list(dry.parameters())
    used = torch.autograd.grad(x_hat.sum(), weights, allow_unused=True)
    return sum(weight.numel() for weight, gradient in zip(weights, used, strict=True) if gradient is not None)
