"""A fitted network run over samples: in their precision, in chunks of bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import as_tensor
from isthmus.data.images import Images
from isthmus.networks import Network

_CHUNK = 2048  # samples that go through the network at a time: bounded memory for any number of them


def for_inference(model: Any, X: Images | np.ndarray) -> tuple[Network, torch.device, torch.dtype]:
    """A fitted model's network, its device and its type for samples in float32 or float64: the precision they have."""
    network, device = model.network_, torch.device(model.device_)
    if isinstance(X, Images) or X.dtype != np.float64:
        return network, device, torch.float32
    if device.type == "mps":  # which has no float64
        device = torch.device("cpu")
    return copy.deepcopy(network).to(device, torch.float64), device, torch.float64


def infer(model: Any, X: Images | np.ndarray, compute: Callable[[Any, torch.Tensor], torch.Tensor]) -> np.ndarray:
    """`compute(network, samples)` of a fitted model, chunk by chunk: (n, ...). X: samples or codes, checked before."""
    network, device, dtype = for_inference(model, X)
    result = None
    with torch.inference_mode():
        for start in range(0, len(X), _CHUNK):
            which = slice(start, start + _CHUNK)
            x = as_tensor(X.floats(which) if isinstance(X, Images) else X[which])
            y = compute(network, x.to(device, dtype))
            if result is None:
                result = torch.empty((len(X), *y.shape[1:]), dtype=dtype)
            result[which] = y
    assert result is not None
    return result.numpy()
