"""Figures of how samples use a model's code, which its kind of code brings: silent units, vectors in use."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch

from isthmus.data.batches import as_tensor
from isthmus.errors import RequestError
from isthmus.estimators.inference import for_inference
from isthmus.networks import Code


class CodeFigures:
    """Figures of samples that come in parts. Of a model whose code brings none there are none."""

    def __init__(self, model: Any) -> None:
        self.model, self.n, self.total = model, 0, torch.zeros(())
        self.code: Code | None = getattr(getattr(model, "network_", None), "code", None)
        if self.code is not None and type(self.code).tally is Code.tally:
            self.code = None

    def add(self, x: np.ndarray) -> None:
        """Take in samples, (n, n_features)."""
        if self.code is None:
            return
        network, device, dtype = for_inference(self.model, x)
        with torch.inference_mode():
            tally = network.code.tally(network.encode(as_tensor(x).to(device, dtype)))
        assert tally is not None
        self.total, self.n = self.total + tally.double().cpu(), self.n + len(x)

    def values(self, known: tuple[str, ...]) -> dict[str, float]:
        """By name. Raises RequestError for a name that is no word, or one of these, which mean something else."""
        if self.code is None or not self.n:
            return {}
        figures = {name: float(value) for name, value in self.code.figures(self.total, self.n).items()}
        for name in figures:
            if name in known or not re.fullmatch("[a-z][a-z0-9_]*", name):
                rule = "is a metric of its own" if name in known else "is no word of a-z, 0-9 and _"
                raise RequestError(f"{type(self.code).__name__}.figures: {name!r} {rule}; give it another name")
        return figures
