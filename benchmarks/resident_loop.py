"""The strongest plain rival: eight lines of torch, with the pixels resident as floats, and Adam in one kernel.

What anybody can write who knows that a DataLoader is slow: no item is decoded, collated or copied by itself, the order
of an epoch is one index, and nothing waits for a loss. Networks, start and losses are the notebook loop's.
"""

from __future__ import annotations

import time

import torch
from torch.nn.functional import mse_loss

from benchmarks.notebook_loop import MODELS


def seconds_per_epoch(
    name: str, images: torch.Tensor, epochs: int, batch_size: int, *, autocast: bool = False
) -> tuple[float, float]:
    """Seconds, and the last epoch's mean loss. images: (n, 28, 28) uint8, which are floats before the clock starts.

    It runs on the images' device. autocast: with products in bfloat16.
    """
    torch.manual_seed(0)
    device = images.device.type
    model, x = MODELS[name]().to(device), images.unsqueeze(1).float().div(255)
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    for _ in range(epochs):
        losses = []
        for which in torch.randperm(len(x), device=device).split(batch_size):
            batch = x[which]
            optimizer.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=autocast):
                x_hat = model(batch)
            loss = mse_loss(x_hat.float(), batch.flatten(1))
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    mean_loss = float(torch.stack(losses).mean())  # for which it waits
    return (time.perf_counter() - start) / epochs, mean_loss
