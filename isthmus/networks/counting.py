"""Counts of a network by a dry run: its tensors and one sample on torch's meta device, where nothing is computed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def count_multiplications(network: Any, n_features: int) -> int:
    """Products of a number and a weight in one pass of one sample: of matrices, convolutions and attention."""
    tensors = [*network.parameters(), *network.buffers()]
    # a copy whose tensors are on the meta device from the first: a large network's are not copied for this
    dry = copy.deepcopy(network, {id(tensor): tensor.to("meta") for tensor in tensors}).eval()
    with FlopCounterMode(display=False) as counter:
        dry(torch.empty(1, n_features, device="meta", dtype=tensors[0].dtype))
    return counter.get_total_flops() // 2  # a product and a sum
