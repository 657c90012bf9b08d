"""The code's part of a step, between a written-out encoder and a written-out decoder: autograd over the code alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from isthmus.networks.network import Code
from isthmus.networks.outputs import Coded, Gradients, detached, gradients_at


class CodeTape(NamedTuple):
    """What the encoder gives, a leaf, and what the code makes of it."""

    z: torch.Tensor
    coded: Coded


class Tapes(NamedTuple):
    """What the backward pass needs of a network: of encoder and decoder as each pass has it, and of the code."""

    encoder: Any
    code: CodeTape | None
    decoder: Any


def record_code(code: Code, z: torch.Tensor, generator: torch.Generator | None) -> tuple[Coded, CodeTape | None]:
    """The code of what the encoder gives, (n, encoded * code_size), and what `backward_code` needs; None if plain."""
    if type(code) is Code:
        return Coded(z, z), None
    with torch.enable_grad():
        leaf = z.detach().requires_grad_()
        tape = CodeTape(leaf, code(leaf, generator))
    given, seen, terms = tape.coded
    return Coded(given.detach(), seen.detach(), detached(terms)), tape


def backward_code(code: Code, tape: CodeTape | None, grad_seen: torch.Tensor, at: Gradients) -> torch.Tensor:
    """Write the gradients of the code's weights; return that at what the encoder gives.

    grad_seen: the gradient at what the decoder saw. Of `at`, those at the code and at the terms.
    """
    if tape is None:
        return grad_seen if at.code is None else grad_seen + at.code
    coded, parameters = tape.coded, [each for each in code.parameters() if each.requires_grad]
    pairs = [(coded.seen, grad_seen.to(coded.seen.dtype)), (coded.code, at.code)]
    grad, *others = gradients_at(pairs, coded.terms, at, [tape.z, *parameters])
    for parameter, gradient in zip(parameters, others, strict=True):
        assert parameter.grad is not None
        if gradient is None:  # nothing that came out depends on it
            parameter.grad.zero_()
        else:
            parameter.grad.copy_(gradient)
    return torch.zeros_like(tape.z) if grad is None else grad
