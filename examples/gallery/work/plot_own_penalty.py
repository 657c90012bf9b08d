"""
Add a penalty of one's own
==========================

A penalty is a small class that says what it is, and a function that computes it for each sample. Registered, it works
in estimators, grid searches, studies and saved models. Hoyer's ratio below does not care how long a code is, so it
cannot be evaded by a small code with large atoms.
"""

from dataclasses import dataclass
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import isthmus.objective
from isthmus import L1, Autoencoder, Dense
from isthmus.metrics import l0
from isthmus.parts import Penalty


@dataclass(frozen=True, repr=False)
class Ratio(Penalty):
    """weight · (Σ|code|)² / Σ code², between 1 (one unit is on) and the number of units (all alike)."""

    kind: ClassVar[str] = "ratio"
    averages: ClassVar[tuple[str, ...]] = ("sample",)
    code_activation: ClassVar[str] = "relu"
    turns_off: ClassVar[bool] = True
    weight: float
    per: str = "sample"
    warmup: float = 0.0


def ratio(part, code):
    return code.abs().sum(dim=1).square() / (code.square().sum(dim=1) + 1e-6)


isthmus.objective.register(Ratio, ratio)

# %%
X = load_digits().data.astype("float32") / 16
network = Dense(bottleneck=64, output="sigmoid")
penalties = {"none": None, "L1": L1(2e-3), "ratio": Ratio(5e-4)}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained", sharey=True)
for ax, (name, penalty) in zip(axes, penalties.items(), strict=True):
    model = Autoencoder(network, penalty=penalty, epochs=60, learning_rate=5e-3, random_state=0).fit(X)
    code = np.sort(model.transform(X), axis=1)[:, ::-1].mean(axis=0)
    on = l0(model.transform(X)).mean()
    ax.plot(code)
    ax.set(
        yscale="log",
        ylim=(1e-3, 100),
        title=f"{name}: {on:.0f} on, MSE {-model.score(X):.4f}",
        xlabel="units, largest first",
    )
axes[0].set_ylabel("mean activation")
