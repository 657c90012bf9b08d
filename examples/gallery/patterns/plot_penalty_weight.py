"""
How strong should a penalty be?
===============================

A penalty buys sparseness with error, and too much of it kills units. A sweep shows the whole bargain; it should end
before all units are dead. ``warmup`` lets the weight grow, so that units are not killed before they have learned.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import L1, Autoencoder, Dictionary
from isthmus.metrics import l0

X, X_test = train_test_split(load_digits().data.astype("float32") / 16, test_size=360, random_state=0)
weights = [3e-4, 1e-3, 3e-3, 1e-2]
results = {}
for warmup in (0, 30):
    for weight in weights:
        penalty = L1(weight, warmup=warmup)
        model = Autoencoder(Dictionary(n_atoms=96), penalty=penalty, epochs=60, learning_rate=5e-3, random_state=0)
        code = model.fit(X).transform(X_test)
        dead = (np.abs(code).max(axis=0) <= 1e-6).sum()
        results[warmup, weight] = l0(code).mean(), dead, -model.score(X_test)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for warmup in (0, 30):
    on, dead, mse = zip(*(results[warmup, weight] for weight in weights), strict=True)
    name = f"grown over {warmup} epochs" if warmup else "at once"
    left.plot(on, mse, marker="o", label=name)
    right.plot(weights, dead, marker="o", label=name)
left.set(xlabel="atoms on for an image", ylabel="MSE of held-out images", xscale="log", yscale="log")
right.set(xlabel="weight of the penalty", ylabel="dead atoms of 96", xscale="log")
left.legend()

# %%
# Right: at full weight from the start, the penalty kills atoms before they have learned anything; grown slowly, it
# leaves nearly as many as there are without it. (Some forty die at this learning rate whatever the penalty.) Left,
# lower and further left is better: here a few living atoms serve as well as many, for these images have 64 pixels. Of
# larger ones they do not, so look at both.
