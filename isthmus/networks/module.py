"""Any torch module that has `encode` and `decode`, as a `Network`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from isthmus.errors import RequestError
from isthmus.networks.counting import dry_copy
from isthmus.networks.network import Network


class ModuleNetwork(Network):
    """A module with `encode`, (n, n_features) → (n, code_size), and `decode` back, standardized at its two ends.

    What else it may have: buffers, and `after_step`. Raises RequestError if it does not give back what it was given.
    """

    def __init__(self, module: Any, n_features: int, encoded: int = 1) -> None:
        super().__init__()
        self.module, self.n_features = module, n_features
        if missing := [name for name in ("encode", "decode") if not callable(getattr(module, name, None))]:
            raise RequestError(f"a network needs encode and decode; a {type(module).__name__} has no {missing[0]}")
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise RequestError(f"a network needs weights to train; a {type(module).__name__} has none")
        dry = dry_copy(module)
        with torch.no_grad():
            dtype = next(module.parameters()).dtype
            z = dry.encode(torch.empty(2, n_features, device="meta", dtype=dtype))
            if z.ndim != 2 or len(z) != 2 or z.shape[1] % encoded:
                size = "code_size" if encoded == 1 else f"{encoded} * code_size"
                raise RequestError(f"encode must give (n, {size}) for (n, n_features), got {_shape(z)} for n = 2")
            self.code_size = z.shape[1] // encoded
            x_hat = dry.decode(z[:, : self.code_size])
        if x_hat.shape != (2, n_features):
            raise RequestError(
                f"decode must give (n, {n_features}), as encode was given, got {_shape(x_hat)} for n = 2"
            )

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.module.encode(self.inward(x))

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self.outward(self.module.decode(code))

    def after_step(self) -> None:
        """The module's own, if it has one."""
        if after_step := getattr(self.module, "after_step", None):
            after_step()


@contextlib.contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Seed torch's global generator, from which its layers draw their start, by this one, and put it back after."""
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _shape(tensor: torch.Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
