"""
What does a code of two numbers look like?
==========================================

Two numbers are few enough to draw. No model sees a label; the colours only show what became of the digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from isthmus import Autoencoder, Dense
from isthmus.displays import CodeDisplay

digits = load_digits()
X = digits.data.astype("float32") / 16

linear = PCA(2).fit(X)
bent = Autoencoder(
    Dense(hidden=(128, 64), bottleneck=2, code_activation="linear", output="sigmoid"),
    recipe="fast",
    epochs=60,
    validation_fraction=0.1,
    random_state=0,
).fit(X)

# %%
# PCA first: the plane on which the images are spread most.

display = CodeDisplay.from_estimator(linear, X, digits.target)

# %%
# The autoencoder is not bound to a plane, and its clusters come apart.

display = CodeDisplay.from_estimator(bent, X, digits.target)

# %%
# A decoder decodes every point. Here it is asked for a grid of them, from the 2nd to the 98th percentile of each
# number: between the clusters lie digits that nobody wrote.

low, high = np.percentile(bent.transform(X), [2, 98], axis=0)
across, down = (np.linspace(a, b, 15, dtype="float32") for a, b in zip(low, high, strict=True))
grid = np.stack(np.meshgrid(across, down[::-1]), axis=-1).reshape(-1, 2)
tiles = bent.inverse_transform(grid).reshape(15, 15, 8, 8).transpose(0, 2, 1, 3).reshape(120, 120)

fig, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.imshow(tiles, cmap="gray", vmin=0, vmax=1)
ax.set(xticks=[], yticks=[], xlabel="first number", ylabel="second number")
