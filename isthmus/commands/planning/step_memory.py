"""Bytes of all that a step makes of one sample before it goes back, counted on torch's meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from isthmus.networks.denoisers import build
from isthmus.studies.plan.context import Context, inputs
from isthmus.studies.spec.study import Model


class _Counter(TorchDispatchMode):
    """Adds up the bytes of every new tensor; views of one and changes in place are none."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.storages: dict[int, torch.UntypedStorage] = {}  # held, so that no other one gets the same address
        self.known = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and leaf.untyped_storage()._cdata not in self.known:
                self.storages[leaf.untyped_storage()._cdata] = leaf.untyped_storage()
        return result

    @property
    def n_bytes(self) -> int:
        return sum(storage.nbytes() for storage in self.storages.values())


def forward_bytes(network: Any, n_inputs: int, n_targets: int) -> int:
    """Bytes of what a module on the meta device makes of one sample in float32: its input, its target, all between, and
    the gradients at what came out, which are there while nothing else is gone. 0 where a pass needs numbers.
    """
    x = torch.empty(1, n_inputs, device="meta")
    try:
        with _Counter(x, *network.parameters(), *network.buffers()) as counter:
            output = network(x)
    except (NotImplementedError, RuntimeError):
        return 0
    return counter.n_bytes + 4 * (n_inputs + n_targets + output.x_hat.numel() + output.code.numel())


def activations(context: Context, model: Model) -> int:
    """`forward_bytes` of a model that is trained by the loop."""
    shape = context.shape
    if model.part is None:
        n_features, image_shape = inputs(context.study, model, shape)
        return forward_bytes(model.code.dry_run(model.network, n_features, image_shape), n_features, n_features)
    assert model.part.of_crops
    part, side = model.part.of_crops
    with torch.device("meta"):
        network = build(part, shape[0], torch.Generator())
    return forward_bytes(network, (shape[0] + 1) * side * side, shape[0] * side * side)
