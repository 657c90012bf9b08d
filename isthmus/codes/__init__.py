"""What happens at the bottleneck: a module for each kind of code. `build` puts a network and its code together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from isthmus import kinds, networks
from isthmus.codes.gaussian import GaussianCode
from isthmus.codes.plain import plain
from isthmus.codes.quantized import QuantizedCode
from isthmus.errors import RequestError
from isthmus.networks import Code, Coded, Network, Shape, Term
from isthmus.networks.module import seeded
from isthmus.parts import CodePart, Gaussian, NetworkPart, Plain, Quantized

# (part, code_size, generator) → the module
Build = Callable[[Any, int, torch.Generator], Code]
_BUILDS: dict[type[CodePart], Build] = kinds.COMPUTES["code"]
_BUILDS |= {Plain: plain, Gaussian: GaussianCode, Quantized: QuantizedCode}


def build(
    network: NetworkPart, code: CodePart, n_features: int, generator: torch.Generator, image_shape: Shape = None
) -> Network:
    """The module for a network and its code: see `networks.build`. Raises RequestError if they do not go together."""
    network = code.within(network)
    module = networks.build(network, n_features, generator, image_shape, code.encoded)
    module.code_part = code
    if code.is_of(network):
        return module
    if type(module).forward is not Network.forward:
        raise RequestError(f"{network!r} has a forward of its own, so it takes no code, got {code!r}")
    if code.encoded != 1 and module.n_switches:
        raise RequestError(f"{network!r} unpools by its encoder's places, which the code {code!r} has more of")
    with seeded(generator):
        module.code = _BUILDS[type(code)](code, module.code_size, generator)
        module.code.place(module.code_shape)
    vars(module).pop("multiplications", None)  # the part's are without the code: counted from here on
    return module


def register(kind: type[CodePart], make: Build) -> None:
    """Let codes of one's own take part, from here on and in this process, also in studies and saved models.

    kind: a frozen dataclass with the class variable `kind`. make: (part, code_size, generator) → a `Code`, whose
    weights are drawn from the generator or by torch's own starts. Raises RequestError for a kind that there is.
    """
    kinds.register("code", kind, make)


def dry_run(code: CodePart, network: NetworkPart, n_features: int, image_shape: Shape = None) -> Network:
    """The module for a network and its code, on torch's meta device: see `networks.dry_run`."""
    with torch.device("meta"):
        return build(network, code, n_features, torch.Generator(), image_shape)


CodePart.dry_run = dry_run

__all__ = ["Code", "Coded", "Term", "build", "dry_run", "register"]
