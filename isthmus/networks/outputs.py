"""What a network makes of samples, the gradients that it is given there, and where autograd takes them from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

NONE: Mapping[str, Any] = MappingProxyType({})


class Term(NamedTuple):
    """What a network, or its code, adds to the objective, in its unit: weight · ramp · the average of values.

    values: of each sample, (n,) or (n, units), or of the whole batch, () or (units,). per: what they are averaged over,
    as of `parts.Penalty`; the objective does it. "draw": values of each of a sample's k draws, (n, k), which with the
    loss of each make one bound. warmup: epochs over which the weight grows from 0, step by step.
    """

    values: torch.Tensor
    weight: float = 1.0
    per: str = "sample"
    warmup: float = 0.0


class Output(NamedTuple):
    """What a network makes of samples: x_hat, (n, n_features), code, (n, code_size), and terms of its own, by name.

    Of a code that draws k times, x_hat is (n * k, n_features), a sample's rows one after the other.
    """

    x_hat: torch.Tensor
    code: torch.Tensor
    terms: Mapping[str, Term] = NONE


class Coded(NamedTuple):
    """What a code makes of what the encoder gives: the code, what the decoder sees, (n, code_size) each, and terms."""

    code: torch.Tensor
    seen: torch.Tensor
    terms: Mapping[str, Term] = NONE


class Gradients(NamedTuple):
    """The gradients of the objective at an `Output`: at x_hat; beyond what comes through x_hat, at the code; at each of
    a term's values, by its name, one number for all or each its own.
    """

    x_hat: torch.Tensor
    code: torch.Tensor | None = None
    terms: Mapping[str, float | torch.Tensor] = NONE


def detached(terms: Mapping[str, Term]) -> dict[str, Term]:
    """The terms without what made them."""
    return {name: term._replace(values=term.values.detach()) for name, term in terms.items()}


def gradients_at(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    terms: Mapping[str, Term],
    at: Gradients,
    inputs: Sequence[torch.Tensor],
) -> tuple[torch.Tensor | None, ...]:
    """The gradient at each input by autograd, from those at outputs and at terms; None where nothing depends on it."""
    known = list(pairs)
    for name, each in at.terms.items():
        values = terms[name].values
        known.append((values, each if isinstance(each, torch.Tensor) else torch.full_like(values, each)))
    known = [(output, each) for output, each in known if each is not None and output.requires_grad]
    outputs, at_outputs = [output for output, _ in known], [each for _, each in known]
    return torch.autograd.grad(outputs, inputs, at_outputs, allow_unused=True)
