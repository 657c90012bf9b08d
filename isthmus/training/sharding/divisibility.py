"""What of a training is not a sum over the samples of a batch, and so cannot be had from its shards."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from isthmus.data.batches import Samples, evenly
from isthmus.errors import RequestError
from isthmus.networks.network import Trainable
from isthmus.objective.averages import OF_MEAN, VALUES
from isthmus.training.setup import Setup
from isthmus.training.sharding.shards import averaged_buffers

_TRIED, _WAY_OUT = 8, "train without shards"


@torch.no_grad()
def check_divisible(network: Trainable, samples: Samples, setup: Setup) -> None:
    """Raise RequestError, before a step is taken, for what depends on all samples of a batch at once.

    It is tried with a few samples, so kinds from outside are told apart too; the network stays as it is.
    """
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm):
            kind = type(module).__name__
            raise _refused(f"{name}, a {kind}, normalizes by all samples of a batch", "take a GroupNorm or a LayerNorm")
    objective = setup.objective
    for role, part, n_arguments in (("loss", objective.loss, 2), ("penalty", objective.penalty, 1)):
        if part is not None and type(part) not in OF_MEAN and not _is_of_each_sample(part, n_arguments):
            raise _refused(f"{role} {part!r} depends on all samples of a batch at once", f"take another {role}")
    _check_forward(network, evenly(samples, _TRIED), setup)


def _refused(sentence: str, way_out: str) -> RequestError:
    return RequestError(f"shards: {sentence}; {way_out}, or {_WAY_OUT}")


def _is_of_each_sample(part: Any, n_arguments: int) -> bool:
    """Whether its values of a sample are the same without the others. Of a loss the first is x_hat, then x."""
    stream = torch.Generator().manual_seed(0)
    arguments = [torch.rand((_TRIED, 6), generator=stream) for _ in range(n_arguments)]
    whole = VALUES[type(part)](part, *arguments)
    if not whole.ndim or len(whole) != _TRIED:
        return False
    half = VALUES[type(part)](part, *(each[: _TRIED // 2] for each in arguments))
    return torch.allclose(whole[: _TRIED // 2], half, rtol=1e-4, atol=1e-6, equal_nan=True)


def _check_forward(network: Trainable, x: torch.Tensor, setup: Setup) -> None:
    tried = copy.deepcopy(network).train()
    known = {id(buffer) for buffer in averaged_buffers(tried)}
    before = {name: buffer.clone() for name, buffer in tried.named_buffers() if id(buffer) not in known}
    stream = torch.Generator(x.device).manual_seed(0)
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        x_in, _ = setup.pair(setup.augmented(x, stream), stream)
        output = tried(x_in, logits=setup.objective.takes_logits, generator=stream)
    for name, term in output.terms.items():
        if not term.values.ndim or len(term.values) != len(x):
            raise _refused(
                f"the term {name} is of all samples of a batch at once", f"take a {_code(network)} without it"
            )
    buffers = dict(tried.named_buffers())
    if moved := next((name for name, former in before.items() if not torch.equal(buffers[name], former)), None):
        raise _refused(f"each batch as a whole moves {moved} in {_code(network)}", "take another")


def _code(network: Any) -> str:
    part = getattr(network, "code_part", None)
    return "network" if part is None or part.is_plain else repr(part)
