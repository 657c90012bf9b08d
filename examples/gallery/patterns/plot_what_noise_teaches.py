"""
What does noise teach a unit?
=============================

The weights of a unit, as an image, show what it looks for. Trained on clean images, many units of a wide code look
for single pixels, or for nothing that one could name. Under noise a single pixel tells little, so units look for
strokes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, GaussianNoise
from isthmus.probe import filters

X = load_digits().data.astype("float32") / 16
levels = (0.0, 0.3, 0.6)
shown = {}
for sigma in levels:
    model = Autoencoder(
        Dense(bottleneck=64, output="sigmoid"),
        corruption=GaussianNoise(sigma),
        epochs=100,
        learning_rate=5e-3,
        random_state=0,
    ).fit(X)
    weights = filters(model, (1, 8, 8))[""][:, 0]  # (64, 8, 8)
    shown[sigma] = weights[np.argsort(-np.square(weights).sum(axis=(1, 2)))[:24]]

# %%
# The 24 longest of each, all on one scale about zero, or else "smaller weights" could not be seen.

largest = max(np.abs(weights).max() for weights in shown.values())
fig, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
for ax, (sigma, weights) in zip(axes, shown.items(), strict=True):
    tiles = np.pad(weights, ((0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    picture = tiles.reshape(4, 6, 9, 9).transpose(0, 2, 1, 3).reshape(36, 54)
    drawn = ax.imshow(picture, cmap="RdBu_r", vmin=-largest, vmax=largest)
    ax.set(title=f"trained on σ = {sigma:g}", xticks=[], yticks=[])
fig.colorbar(drawn, ax=axes, label="weight", shrink=0.8)
