"""Bytes of all that a step's forward pass makes of one sample, counted on torch's meta device."""

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


def activations(context: Context, model: Model) -> int:
    """Bytes of what a forward pass in float32 makes of one sample, its input and its target too; 0 if unknown.

    Of these a step keeps at most all for the way back. In bfloat16 it is about half.
    """
    shape = context.shape
    try:
        if model.part is not None:
            assert model.part.of_crops
            part, side = model.part.of_crops
            n_inputs, n_targets = (shape[0] + 1) * side * side, shape[0] * side * side
            with torch.device("meta"):
                network: Any = build(part, shape[0], torch.Generator())
        else:
            n_inputs, image_shape = inputs(context.study, model, shape)
            n_targets = n_inputs
            network = model.code.dry_run(model.network, n_inputs, image_shape)
        x = torch.empty(1, n_inputs, device="meta")
        with _Counter(x, *network.parameters(), *network.buffers()) as counter:
            network(x)
    except (NotImplementedError, RuntimeError):  # a module whose pass has to know numbers
        return 0
    return counter.n_bytes + 4 * (n_inputs + n_targets)
