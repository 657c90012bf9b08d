"""A fitted network run over samples: in their precision, in chunks of bounded memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import at_a_time, floats
from isthmus.networks import Network
from isthmus.training.hardware import keep_freed_memory

_CHUNK = 2048  # samples that go through the network at a time: bounded memory for any number of them


def for_inference(model: Any, X: Any) -> tuple[Network, torch.device, torch.dtype]:
    """A fitted model's network, its device and its type for samples in float32 or float64: the precision they have."""
    network, device = model.network_, torch.device(model.device_)
    if getattr(X, "dtype", np.float32) != np.float64:
        return network, device, torch.float32
    if device.type == "mps":  # which has no float64
        device = torch.device("cpu")
    return copy.deepcopy(network).to(device, torch.float64), device, torch.float64


def infer(
    model: Any, X: Any, compute: Callable[[Any, torch.Tensor], torch.Tensor], most: int | None = None
) -> np.ndarray:
    """`compute(network, samples)` of a fitted model, chunk by chunk: (n, ...). X: samples or codes, checked before.

    most: of the first so many; None for all. One sample goes in twice: alone, torch convolves it with another program,
    whose rounding can move the maximum that a pooling finds between equal pixels.
    """
    n = len(X) if most is None else min(most, len(X))
    network, device, dtype = for_inference(model, X)
    result = None
    keep_freed_memory()
    with torch.inference_mode():
        chunk = at_a_time(_CHUNK, X.n_features if hasattr(X, "n_features") else X.shape[1])
        for start in range(0, n, chunk):
            which = slice(start, min(start + chunk, n))
            x = floats(X, which).to(device, dtype)
            y = compute(network, x if len(x) > 1 else torch.cat([x, x]))
            if result is None:
                result = torch.empty((n, *y.shape[1:]), dtype=dtype)
            result[which] = y[: len(x)]
    assert result is not None
    return result.numpy()
