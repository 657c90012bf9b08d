"""What no part can know alone: which of them go together."""

from __future__ import annotations

from typing import Any


def contradiction(network: Any, penalty: Any, loss: Any, code: Any = None) -> str | None:
    """The sentence that says why these cannot be trained together; None if they can."""
    wrong = loss and loss.contradiction(getattr(network, "output", None))
    for part in filter(None, (penalty, code)):
        wrong = wrong or part.contradiction(getattr(network, "code_output", None))
    return f"{wrong} in {network!r}" if wrong else None


def doubt(network: Any, penalty: Any) -> str | None:
    """The sentence that says why these may not do what is hoped for; None if nothing speaks against them."""
    return penalty.doubt(getattr(network, "code_output", None)) if penalty else None
