"""What no part can know alone: which of them go together."""

from __future__ import annotations

from typing import Any

from isthmus.parts.objective import BCE, KL, L1


def contradiction(network: Any, penalty: Any, loss: Any) -> str | None:
    """The sentence that says why these cannot be trained together; None if they can."""
    output, code = getattr(network, "output", None), _code_activation(network)
    if isinstance(loss, BCE) and output != "sigmoid":
        return f'loss "bce" needs output="sigmoid", got output="{output}" in {network!r}'
    if isinstance(penalty, KL) and code != "sigmoid":
        return f'penalty "kl" needs codes between 0 and 1, code_activation="sigmoid", got "{code}" in {network!r}'
    return None


def doubt(network: Any, penalty: Any) -> str | None:
    """The sentence that says why these may not do what is hoped for; None if nothing speaks against them."""
    code = _code_activation(network)
    if isinstance(penalty, L1) and penalty.weight > 0 and code != "relu":
        return (
            f'L1 makes this code small but never exactly zero, because its activation is "{code}"; '
            'with code_activation="relu" units can be off'
        )
    return None


def _code_activation(network: Any) -> str | None:
    return getattr(network, "code_activation", None) or getattr(network, "activation", None)
